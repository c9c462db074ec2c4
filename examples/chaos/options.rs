//! What the program is asked for on its command line.

use std::path::PathBuf;
use std::time::Duration;

use callboard::BoxError;

pub(crate) const USAGE: &str = "\
usage: chaos [--seconds N | --minutes N] [--seed S] [--nodes K] [--json FILE] [--keep]
             [--bug NAME | --all-bugs]   (with the feature planted-bugs)

  --seconds N   how long the run takes in all, 40 at least (default 60)
  --seed S      what happens, and in which order (default 1)
  --nodes K     how many processes run jobs, 2 at least (default 3)
  --json FILE   write what was found there, for machines
  --keep        keep the histories, also when nothing is wrong
  --bug NAME    plant a bug, which the run should find
  --all-bugs    run once for each bug, and tell which rule found it";

/// How long all but the faults takes: starting, the last faults, draining, checking.
const BESIDE_FAULTS: Duration = Duration::from_secs(22);

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) length: Duration,
    pub(crate) seed: u64,
    pub(crate) nodes: u32,
    pub(crate) json: Option<PathBuf>,
    pub(crate) is_keeping: bool,
    pub(crate) bug: Option<String>,
    pub(crate) is_showing_teeth: bool,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, BoxError> {
        let mut options = Self {
            length: Duration::from_secs(60),
            seed: 1,
            nodes: 3,
            json: None,
            is_keeping: false,
            bug: None,
            is_showing_teeth: false,
        };
        while let Some(name) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or(format!("{name} needs a value\n\n{USAGE}"))
            };
            match name.as_str() {
                "--seconds" => options.length = Duration::from_secs(value()?.parse()?),
                "--minutes" => options.length = Duration::from_secs(60 * value()?.parse::<u64>()?),
                "--seed" => options.seed = value()?.parse()?,
                "--nodes" => options.nodes = value()?.parse()?,
                "--json" => options.json = Some(value()?.into()),
                "--keep" => options.is_keeping = true,
                "--bug" => options.bug = Some(value()?),
                "--all-bugs" => options.is_showing_teeth = true,
                _ => return Err(format!("{name} is not known\n\n{USAGE}").into()),
            }
        }
        if options.length < Duration::from_secs(40) || options.nodes < 2 {
            return Err(USAGE.into());
        }
        Ok(options)
    }

    /// How long faults are injected.
    pub(crate) fn storm(&self) -> Duration {
        self.length - BESIDE_FAULTS
    }
}
