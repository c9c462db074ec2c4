//! A figure: many samples of one thing, its table and its line of JSON.

use std::time::Duration;

use serde_json::json;

use crate::support::machine::Machine;

/// Samples of one thing.
pub(crate) struct Figure {
    name: &'static str,
    setting: String,
    goal: Duration,
    sorted: Vec<Duration>,
}

impl Figure {
    /// `goal` is what the 99th percentile should not exceed.
    pub(crate) fn new(
        name: &'static str,
        setting: impl Into<String>,
        goal: Duration,
        mut samples: Vec<Duration>,
    ) -> Self {
        samples.sort_unstable();
        Self {
            name,
            setting: setting.into(),
            goal,
            sorted: samples,
        }
    }

    /// The smallest sample that is not below this share of them, by the nearest rank.
    fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.sorted.len() * percent).div_ceil(100).max(1);
        self.sorted[rank - 1]
    }

    pub(crate) fn to_json(&self, machine: &Machine) -> serde_json::Value {
        json!({
            "system": "callboard",
            "figure": self.name,
            "setting": self.setting,
            "n": self.sorted.len(),
            "median": ms(self.percentile(50)),
            "p99": ms(self.percentile(99)),
            "min": ms(self.percentile(0)),
            "max": ms(self.percentile(100)),
            "unit": "ms",
            "conditions": machine.to_string(),
        })
    }
}

fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100_000.0).round() / 100.0
}

pub(crate) fn print(figures: &[Figure]) {
    println!(
        "\n| {:<40} | {:<44} | {:>5} | {:>8} | {:>8} | {:>8} | {:>8} | {:>7} |",
        "time from … to …", "setting", "n", "p50 ms", "p99 ms", "min ms", "max ms", "goal ms"
    );
    println!(
        "|{0:-<42}|{0:-<46}|{0:->6}:|{0:->9}:|{0:->9}:|{0:->9}:|{0:->9}:|{0:->8}:|",
        ""
    );
    for figure in figures {
        let [p50, p99, min, max] = [50, 99, 0, 100].map(|percent| ms(figure.percentile(percent)));
        println!(
            "| {:<40} | {:<44} | {:>5} | {p50:>8.2} | {p99:>8.2} | {min:>8.2} | {max:>8.2} | {:>7} |",
            figure.name,
            figure.setting,
            figure.sorted.len(),
            figure.goal.as_millis(),
        );
    }
}
