//! The one format: a line of JSON a figure.

use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Failed;

/// What one setting of one system reached in one figure, over all repetitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    /// Name and version.
    pub(crate) system: String,
    /// What was done and which part of it: `drain: rate`.
    pub(crate) figure: String,
    pub(crate) setting: String,
    /// Jobs in a repetition.
    pub(crate) n: u64,
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) unit: String,
    pub(crate) conditions: String,
}

impl Line {
    /// The figure without its part, and the part.
    pub(crate) fn figure_and_part(&self) -> (&str, &str) {
        self.figure.split_once(": ").unwrap_or((&self.figure, ""))
    }

    /// The system without its version.
    pub(crate) fn system_name(&self) -> &str {
        self.system
            .split_once(' ')
            .map_or(&self.system, |(name, _)| name)
    }
}

pub(crate) fn write(file: &Path, lines: &[Line]) -> Result<(), Failed> {
    let failed = |cause| format!("cannot write {}: {cause}", file.display());
    let mut out = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut out, line)?;
        writeln!(out)?;
    }
    Ok(std::fs::write(file, out).map_err(failed)?)
}

pub(crate) fn read(file: &Path) -> Result<Vec<Line>, Failed> {
    let text = std::fs::read_to_string(file)
        .map_err(|cause| format!("cannot read {}: {cause}", file.display()))?;
    let lines = text.lines().enumerate().map(|(index, line)| {
        let place = || format!("{}:{}", file.display(), index + 1);
        serde_json::from_str(line).map_err(|cause| format!("{}: {cause}", place()).into())
    });
    lines.collect()
}
