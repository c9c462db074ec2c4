//! Under which conditions the figures were taken.

use std::fmt;

use crate::stage::Failed;

/// The machine, the server and the build.
pub(crate) struct Machine {
    cpus: usize,
    load: String,
    postgres: String,
}

impl Machine {
    pub(crate) async fn look(url: &str) -> Result<Self, Failed> {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        let row = client.query_one("show server_version", &[]).await?;
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Ok(Self {
            cpus: std::thread::available_parallelism()?.get(),
            load: load.split(' ').next().unwrap_or("unknown").to_owned(),
            postgres: row.get(0),
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
            "callboard {} ({build}), PostgreSQL {} embedded on loopback, {} CPUs, load {} at the start",
            env!("CARGO_PKG_VERSION"),
            self.postgres,
            self.cpus,
            self.load
        )
    }
}
