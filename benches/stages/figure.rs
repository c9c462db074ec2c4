//! A figure: what an event costs by stages and by channels, in turns.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

pub(crate) type Failed = Box<dyn std::error::Error + Send + Sync>;

/// What an event costs, both ways.
pub(crate) struct Figure {
    name: &'static str,
    setting: String,
    events: u64,
    /// Nanoseconds for an event: stages, channels.
    pairs: Vec<(f64, f64)>,
}

impl Figure {
    pub(crate) fn new(name: &'static str, setting: String, events: u64) -> Self {
        Self {
            name,
            setting,
            events,
            pairs: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, stages: Duration, channels: Duration) {
        let each = |time: Duration| time.as_nanos() as f64 / self.events as f64;
        self.pairs.push((each(stages), each(channels)));
    }

    fn sorted(&self, of: impl Fn(&(f64, f64)) -> f64) -> Vec<f64> {
        let mut values: Vec<f64> = self.pairs.iter().map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    }

    /// A line for each of the two, and one for their ratio.
    pub(crate) fn to_json(&self, conditions: &str) -> [Value; 3] {
        let line = |system: &str, unit: &str, sorted: Vec<f64>| {
            json!({
                "system": system, "figure": self.name, "setting": self.setting, "n": self.events,
                "median": sorted[sorted.len() / 2], "min": sorted[0],
                "max": sorted[sorted.len() - 1], "unit": unit, "conditions": conditions,
            })
        };
        [
            line("callboard stages", "ns/event", self.sorted(|pair| pair.0)),
            line("tokio mpsc", "ns/event", self.sorted(|pair| pair.1)),
            line(
                "callboard stages / tokio mpsc",
                "ratio",
                self.sorted(|pair| pair.0 / pair.1),
            ),
        ]
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let median = |sorted: Vec<f64>| sorted[sorted.len() / 2];
        let (stages, channels) = (self.sorted(|pair| pair.0), self.sorted(|pair| pair.1));
        let ratios = self.sorted(|pair| pair.0 / pair.1);
        let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
        let (stages, channels, ratio) = (median(stages), median(channels), median(ratios));
        let rate = 1e9 / stages;
        write!(
            f,
            "{:<20} {:<42} {rate:>12.0} {stages:>9.1} {channels:>9.1}   {ratio:.2} ({least:.2}–{most:.2})",
            self.name, self.setting
        )
    }
}

/// What the columns are.
pub(crate) fn head() {
    println!(
        "{:<20} {:<42} {:>12} {:>9} {:>9}   ratio (least–most)",
        "", "", "events/s", "ns/event", "channel"
    );
}

/// The machine and the build.
pub(crate) fn conditions() -> Result<String, Failed> {
    let build = match cfg!(debug_assertions) {
        true => "debug",
        false => "release",
    };
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown");
    let cpus = std::thread::available_parallelism()?.get();
    Ok(format!(
        "callboard {} ({build}), {cpus} CPUs, load {load} at the start",
        env!("CARGO_PKG_VERSION")
    ))
}
