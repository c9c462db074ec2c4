//! What one repetition was found to take. It goes from the child to its parent as a line of JSON.

use serde::{Deserialize, Serialize};

use crate::best::more_is_better;

/// One repetition of one setting.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) jobs: u64,
    pub(crate) seconds: f64,
    /// CPU seconds of the process that runs the system.
    pub(crate) client_cpu: f64,
    /// CPU seconds of all processes of the server; none if they are not on this machine.
    pub(crate) server_cpu: Option<f64>,
    /// Bytes of write-ahead log.
    pub(crate) wal: u64,
    /// The most resident memory of the process that runs the system, in bytes.
    pub(crate) memory: u64,
    /// Milliseconds of each job, for the latency alone.
    pub(crate) latencies: Vec<f64>,
}

impl Measured {
    /// What is to be written down about it: the name of the part, its value and its unit. The first part is what
    /// settings are compared by.
    pub(crate) fn parts(&self) -> Vec<(&'static str, f64, &'static str)> {
        if !self.latencies.is_empty() {
            let mut sorted = self.latencies.clone();
            sorted.sort_by(f64::total_cmp);
            return vec![
                ("p50", percentile(&sorted, 50), "ms"),
                ("p95", percentile(&sorted, 95), "ms"),
                ("p99", percentile(&sorted, 99), "ms"),
            ];
        }
        let jobs = self.jobs as f64;
        let per_10k = |seconds: f64| seconds / jobs * 10_000.0;
        let mut parts = vec![
            ("rate", jobs / self.seconds, "jobs/s"),
            ("client CPU", per_10k(self.client_cpu), "s/10,000 jobs"),
        ];
        if let Some(server) = self.server_cpu {
            parts.push(("server CPU", per_10k(server), "s/10,000 jobs"));
        }
        parts.push(("WAL", self.wal as f64 / jobs, "bytes/job"));
        parts.push(("peak memory", self.memory as f64 / 1_048_576.0, "MiB"));
        parts
    }

    /// What settings are compared by; more is better.
    pub(crate) fn worth(&self) -> f64 {
        let (_, value, unit) = self.parts()[0];
        if more_is_better(unit) { value } else { -value }
    }
}

/// The smallest value that is not below this share of them, by the nearest rank.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted[rank - 1]
}
