//! What a piece of work costs: time, CPU of this process and of the server, write-ahead log, memory.
//!
//! CPU and memory are read from `/proc`, so they are there on Linux only, and the server's only if it runs on this
//! machine.

use std::fs;
use std::time::Instant;

use tokio_postgres::{Client, NoTls};

use crate::Failed;
use crate::measured::Measured;

/// `/proc` counts CPU time in hundredths of a second, whatever the kernel's own clock (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Watches on a connection of its own.
pub(crate) struct Meter {
    client: Client,
    /// The main process of the server, if it is on this machine.
    postmaster: Option<u32>,
}

/// How the counters stood.
pub(crate) struct Reading {
    at: Instant,
    client_cpu: f64,
    server_cpu: Option<f64>,
    wal: i64,
}

impl Meter {
    pub(crate) async fn connect(url: &str) -> Result<Self, Failed> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        let backend: i32 = client
            .query_one("select pg_backend_pid()", &[])
            .await?
            .get(0);
        let postmaster = postmaster_of(backend.cast_unsigned());
        Ok(Self { client, postmaster })
    }

    /// Reads the counters, the clock last.
    pub(crate) async fn start(&self) -> Result<Reading, Failed> {
        // From here on the most resident memory is counted anew. Where that is refused, the peak includes the start.
        let _ = fs::write("/proc/self/clear_refs", "5");
        let wal = self.wal().await?;
        Ok(Reading {
            server_cpu: self.server_cpu(),
            client_cpu: own_cpu(),
            wal,
            at: Instant::now(),
        })
    }

    /// What was used since `start`; the clock is read first.
    pub(crate) async fn stop(&self, start: &Reading, jobs: u64) -> Result<Measured, Failed> {
        let seconds = start.at.elapsed().as_secs_f64();
        let client_cpu = own_cpu() - start.client_cpu;
        let server_cpu = self.server_cpu().zip(start.server_cpu);
        Ok(Measured {
            jobs,
            seconds,
            client_cpu,
            server_cpu: server_cpu.map(|(now, then)| now - then),
            wal: (self.wal().await? - start.wal).cast_unsigned(),
            memory: most_memory(),
            latencies: Vec::new(),
        })
    }

    /// Waits until the query, which asks whether anything is unfinished, answers no.
    pub(crate) async fn nothing_left(&self, unfinished: &str) -> Result<(), Failed> {
        let statement = self.client.prepare(unfinished).await?;
        while self.client.query_one(&statement, &[]).await?.get(0) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        Ok(())
    }

    async fn wal(&self) -> Result<i64, Failed> {
        let query = "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint";
        Ok(self.client.query_one(query, &[]).await?.get(0))
    }

    fn server_cpu(&self) -> Option<f64> {
        let postmaster = Stat::of(self.postmaster?)?;
        let processes = fs::read_dir("/proc").ok()?;
        let alive = processes
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(Stat::of)
            .filter(|stat| stat.parent == postmaster.id)
            .map(|stat| stat.own);
        // Backends that ended are in what their parent waited for.
        Some((postmaster.own + postmaster.waited_for + alive.sum::<f64>()) / TICKS_PER_SECOND)
    }
}

/// The parts of `/proc/PID/stat` that are of interest; CPU times in ticks.
struct Stat {
    id: u32,
    name: String,
    parent: u32,
    own: f64,
    waited_for: f64,
}

impl Stat {
    fn of(id: u32) -> Option<Self> {
        Self::read(id, &fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
    }

    fn read(id: u32, text: &str) -> Option<Self> {
        // The name is in parentheses and may contain anything.
        let (before, after) = text.rsplit_once(')')?;
        let fields: Vec<&str> = after.split_whitespace().collect();
        let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
        Some(Self {
            id,
            name: before.split_once('(')?.1.to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            own: ticks(11)? + ticks(12)?,
            waited_for: ticks(13)? + ticks(14)?,
        })
    }
}

/// The main process of the server that this backend belongs to, if both are on this machine.
fn postmaster_of(backend: u32) -> Option<u32> {
    let backend = Stat::of(backend).filter(|stat| stat.name.starts_with("postgres"))?;
    let parent = Stat::of(backend.parent).filter(|stat| stat.name.starts_with("postgres"))?;
    Some(parent.id)
}

fn own_cpu() -> f64 {
    Stat::of(std::process::id()).map_or(0.0, |stat| stat.own / TICKS_PER_SECOND)
}

fn most_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    line.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let text = "7 (a) b) S 3 7 7 0 -1 4194560 1 2 3 4 50 60 70 80 20 0 1 0 1 1";
        let stat = Stat::read(7, text).expect("a whole line");
        assert_eq!((stat.name.as_str(), stat.parent), ("a) b", 3));
        assert_eq!((stat.own, stat.waited_for), (110.0, 150.0));
    }
}
