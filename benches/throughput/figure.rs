//! A figure: one thing measured several times, its row in the table and its line of JSON.

use serde_json::json;

use crate::support::machine::Machine;
use crate::usage::Cost;

/// Whose figure it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum System {
    /// The whole of it.
    Callboard,
    /// Its statements, run by a loop without actors.
    Bare,
}

impl System {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Callboard => "callboard",
            Self::Bare => "bare",
        }
    }
}

/// One thing measured several times.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) system: System,
    pub(crate) name: &'static str,
    pub(crate) setting: String,
    /// The jobs of each time.
    pub(crate) jobs: usize,
    pub(crate) unit: &'static str,
    sorted: Vec<f64>,
}

impl Figure {
    /// `samples`: one each time; at least one.
    pub(crate) fn new(
        system: System,
        (name, unit): (&'static str, &'static str),
        setting: impl Into<String>,
        jobs: usize,
        mut samples: Vec<f64>,
    ) -> Self {
        samples.sort_unstable_by(f64::total_cmp);
        Self {
            system,
            name,
            setting: setting.into(),
            jobs,
            unit,
            sorted: samples,
        }
    }

    /// What the same work cost each time: jobs a second, and processor time by side. `names` are theirs.
    pub(crate) fn of_costs(
        system: System,
        names: [&'static str; 3],
        setting: &str,
        jobs: usize,
        costs: &[Cost],
    ) -> Vec<Self> {
        let (count, per_10_000) = (jobs as f64, 10_000.0 / jobs as f64);
        let figure = |name, samples| Self::new(system, name, setting, jobs, samples);
        let each = |of: &dyn Fn(&Cost) -> f64| costs.iter().map(of).collect::<Vec<f64>>();
        let [rate, client, server] = names;
        let mut figures = vec![
            figure((rate, "jobs/s"), each(&|cost| count / cost.seconds)),
            figure(
                (client, "s/10k jobs"),
                each(&|cost| cost.client_seconds * per_10_000),
            ),
        ];
        let of_server: Option<Vec<f64>> = costs.iter().map(|cost| cost.server_seconds).collect();
        if let Some(seconds) = of_server {
            let samples = seconds.iter().map(|seconds| seconds * per_10_000);
            figures.push(figure((server, "s/10k jobs"), samples.collect()));
        }
        figures
    }

    pub(crate) fn median(&self) -> f64 {
        let middle = self.sorted.len() / 2;
        if self.sorted.len() % 2 == 1 {
            self.sorted[middle]
        } else {
            f64::midpoint(self.sorted[middle - 1], self.sorted[middle])
        }
    }

    pub(crate) fn min(&self) -> f64 {
        self.sorted[0]
    }

    pub(crate) fn max(&self) -> f64 {
        self.sorted[self.sorted.len() - 1]
    }

    pub(crate) fn to_json(&self, machine: &Machine) -> serde_json::Value {
        json!({
            "system": self.system.as_str(),
            "figure": self.name,
            "setting": self.setting,
            "n": self.jobs,
            "median": rounded(self.median()),
            "min": rounded(self.min()),
            "max": rounded(self.max()),
            "unit": self.unit,
            "conditions": format!(
                "{machine}; history on, 100-byte payloads, median of {} runs",
                self.sorted.len()
            ),
        })
    }

    /// Prints its row.
    pub(crate) fn print(&self) {
        let shown = |value: f64| match value {
            value if value >= 100.0 => format!("{value:.0}"),
            value => format!("{value:.3}"),
        };
        println!(
            "| {:<9} | {:<24} | {:<56} | {:>9} | {:>9} | {:>9} | {:>9} | {:<11} |",
            self.system.as_str(),
            self.name,
            self.setting,
            self.jobs,
            shown(self.median()),
            shown(self.min()),
            shown(self.max()),
            self.unit
        );
    }
}

/// Four significant digits are more than a shared machine can repeat.
fn rounded(value: f64) -> f64 {
    let digits = 3 - value.abs().max(1e-9).log10().floor() as i32;
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

pub(crate) fn print_head() {
    println!(
        "| {:<9} | {:<24} | {:<56} | {:>9} | {:>9} | {:>9} | {:>9} | {:<11} |",
        "system", "figure", "setting", "jobs", "median", "min", "max", "unit"
    );
    println!(
        "|{0:-<11}|{0:-<26}|{0:-<58}|{0:->10}:|{0:->10}:|{0:->10}:|{0:->10}:|{0:-<13}|",
        ""
    );
}
