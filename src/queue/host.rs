//! How busy the machine is: for whoever decides whether it can bear more.

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// Reads the machine's load. Processor use is that since the reading before.
#[derive(Debug)]
pub(super) struct Host(System);

impl Host {
    pub(super) fn new() -> Self {
        let what = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_cpu_usage())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        Self(System::new_with_specifics(what))
    }

    /// How much of the processors and of the memory is in use, from 0 to 1, where the system tells.
    pub(super) fn load(&mut self) -> (Option<f64>, Option<f64>) {
        self.0.refresh_cpu_usage();
        self.0
            .refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let has_processors = !self.0.cpus().is_empty();
        let cpu = has_processors.then(|| f64::from(self.0.global_cpu_usage()) / 100.0);
        let total = self.0.total_memory();
        let group = self.0.cgroup_limits();
        // What the page cache holds is free for whoever needs it, and does not count.
        let memory = match group.filter(|group| group.total_memory < total) {
            Some(group) => Some(group.rss as f64 / group.total_memory.max(1) as f64),
            None => (total > 0).then(|| 1.0 - self.0.available_memory() as f64 / total as f64),
        };
        (cpu, memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_between_nothing_and_all() {
        let mut host = Host::new();
        for _ in 0..2 {
            let (cpu, memory) = host.load();
            for share in [cpu, memory].into_iter().flatten() {
                assert!((0.0..=1.0).contains(&share), "{share}");
            }
        }
    }
}
