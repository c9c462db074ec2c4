//! What work costs: processor time and memory by `/proc`, WAL and dead rows by the server.

use std::fs;
use std::time::Instant;

use tokio_postgres::Client;

use crate::support::Failed;

/// What was used up to a moment.
#[derive(Debug)]
pub(crate) struct Usage {
    at: Instant,
    client_seconds: f64,
    /// None where the server runs elsewhere.
    server_seconds: Option<f64>,
    wal_bytes: f64,
}

/// What a piece of work has cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) seconds: f64,
    pub(crate) client_seconds: f64,
    pub(crate) server_seconds: Option<f64>,
    pub(crate) wal_bytes: f64,
}

impl Usage {
    /// What was used until now.
    pub(crate) async fn now(client: &Client) -> Result<Self, Failed> {
        let row = client
            .query_one(
                "select (pg_current_wal_insert_lsn() - '0/0')::float8, pg_backend_pid()",
                &[],
            )
            .await?;
        Ok(Self {
            at: Instant::now(),
            client_seconds: seconds_of("self")?.own,
            server_seconds: server_seconds(row.get(1)),
            wal_bytes: row.get(0),
        })
    }

    /// What the work since then has cost.
    pub(crate) async fn since(&self, client: &Client) -> Result<Cost, Failed> {
        let seconds = self.at.elapsed().as_secs_f64();
        let now = Self::now(client).await?;
        let server = now.server_seconds.zip(self.server_seconds);
        Ok(Cost {
            seconds,
            client_seconds: now.client_seconds - self.client_seconds,
            server_seconds: server.map(|(now, then)| now - then),
            wal_bytes: now.wal_bytes - self.wal_bytes,
        })
    }
}

struct Seconds {
    own: f64,
    /// Of its children that have ended.
    ended: f64,
    parent: String,
}

/// Processor time of a process, by its ticks of a hundredth of a second.
fn seconds_of(process: &str) -> Result<Seconds, Failed> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name may hold spaces and brackets; what follows it may not.
    let (_, rest) = stat.rsplit_once(") ").ok_or("a stat has a name")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks = |index: usize| fields[index].parse::<f64>().map(|ticks| ticks / 100.0);
    Ok(Seconds {
        own: ticks(11)? + ticks(12)?,
        ended: ticks(13)? + ticks(14)?,
        parent: fields[1].to_owned(),
    })
}

/// Processor time of the whole server that has this backend.
fn server_seconds(backend: i32) -> Option<f64> {
    let name = fs::read_to_string(format!("/proc/{backend}/comm")).ok()?;
    if !name.starts_with("postgres") {
        return None;
    }
    let postmaster = seconds_of(&backend.to_string()).ok()?.parent;
    loop {
        let before = seconds_of(&postmaster).ok()?;
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let processes = processes.filter_map(|entry| seconds_of(entry.file_name().to_str()?).ok());
        let children = processes.filter(|process| process.parent == postmaster);
        let of_children: f64 = children.map(|child| child.own).sum();
        let main = seconds_of(&postmaster).ok()?;
        // Else one has ended meanwhile, and is counted twice or not at all.
        if main.ended == before.ended {
            return Some(main.own + main.ended + of_children);
        }
    }
}

/// The most memory that this process ever had in use, in megabytes.
pub(crate) fn peak_memory() -> Result<f64, Failed> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next());
    Ok(kilobytes.ok_or("no VmHWM")?.parse::<f64>()? / 1024.0)
}
