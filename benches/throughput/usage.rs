//! What work costs: processor time by the kernel's clocks, memory by `/proc`, WAL and dead rows by the server.

use std::fs;
use std::ops::Add;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
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

impl Add for Cost {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        let server = self.server_seconds.zip(more.server_seconds);
        Self {
            seconds: self.seconds + more.seconds,
            client_seconds: self.client_seconds + more.client_seconds,
            server_seconds: server.map(|(one, other)| one + other),
            wal_bytes: self.wal_bytes + more.wal_bytes,
        }
    }
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
        let server_seconds = server_seconds(row.get(1));
        Ok(Self {
            // Last, since looking at the server's processes is work of ours, too.
            client_seconds: client_seconds(),
            at: Instant::now(),
            server_seconds,
            wal_bytes: row.get(0),
        })
    }

    /// What the work since then has cost.
    pub(crate) async fn since(&self, client: &Client) -> Result<Cost, Failed> {
        let (seconds, until) = (self.at.elapsed().as_secs_f64(), client_seconds());
        let now = Self::now(client).await?;
        let server = now.server_seconds.zip(self.server_seconds);
        Ok(Cost {
            seconds,
            client_seconds: until - self.client_seconds,
            server_seconds: server.map(|(now, then)| now - then),
            wal_bytes: now.wal_bytes - self.wal_bytes,
        })
    }
}

/// Processor time of this process.
fn client_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

struct Seconds {
    own: f64,
    /// Of its children that have ended.
    ended: f64,
    parent: String,
}

/// Processor time of a process of one thread, as each of the server's is.
fn seconds_of(process: &str) -> Result<Seconds, Failed> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name may hold spaces and brackets; what follows it may not.
    let (_, rest) = stat.rsplit_once(") ").ok_or("a stat has a name")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks = |index: usize| fields[index].parse::<f64>().map(|ticks| ticks / 100.0);
    // To the nanosecond; what has ended is counted in ticks of a hundredth of a second alone.
    let exact = fs::read_to_string(format!("/proc/{process}/schedstat"))?;
    let nanoseconds = exact.split(' ').next().unwrap_or_default();
    Ok(Seconds {
        own: nanoseconds.parse::<f64>()? / 1e9,
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
