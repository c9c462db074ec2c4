//! Under which conditions figures were taken.

use std::fmt;

use super::Failed;

/// The machine, the server and the build.
pub(crate) struct Machine {
    cpus: usize,
    load: String,
    server: String,
}

impl Machine {
    /// `kind` says whose server it is.
    pub(crate) async fn look(url: &str, kind: &str) -> Result<Self, Failed> {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        let settings = "select format('PostgreSQL %s %s, fsync=%s, synchronous_commit=%s but for claims, \
             full_page_writes=%s, shared_buffers=%s', current_setting('server_version'), $1::text, \
             current_setting('fsync'), current_setting('synchronous_commit'), \
             current_setting('full_page_writes'), current_setting('shared_buffers'))";
        let row = client.query_one(settings, &[&kind]).await?;
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Ok(Self {
            cpus: std::thread::available_parallelism()?.get(),
            load: load.split(' ').next().unwrap_or("unknown").to_owned(),
            server: row.get(0),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let build = if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        };
        write!(
            f,
            "callboard {} ({build}), {}, {} CPUs, load {} at the start",
            env!("CARGO_PKG_VERSION"),
            self.server,
            self.cpus,
            self.load
        )
    }
}
