//! What the command line asks for.

use std::path::PathBuf;

use crate::figure::{Effort, Figure};
use crate::system::{self, Name};

/// The words understood, for whoever mistypes one.
const USAGE: &str = "expected --json FILE to measure or --draw FILE to draw what was measured; with --chart SVG, \
                     --quick, --systems NAME,…, --figures NAME,…, --note TEXT";

/// What to do, with which file of lines, and where to draw.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) deed: Deed,
    pub(crate) file: PathBuf,
    pub(crate) chart: Option<PathBuf>,
}

#[derive(Debug)]
pub(crate) enum Deed {
    /// Measures, and writes the file.
    Measure(Wanted),
    /// Reads the file.
    Draw,
}

/// What is to be measured.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) effort: Effort,
    pub(crate) systems: Vec<Name>,
    pub(crate) figures: Vec<Figure>,
    /// Goes into the conditions of every line: which commit, which machine.
    pub(crate) note: Option<String>,
}

impl Arguments {
    pub(crate) fn read() -> Result<Self, String> {
        let mut wanted = Wanted {
            effort: Effort::FULL,
            systems: system::ALL.to_vec(),
            figures: Figure::ALL.to_vec(),
            note: None,
        };
        let (mut json, mut draw, mut chart) = (None, None, None);
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value; {USAGE}"));
            match word.as_str() {
                "--quick" => wanted.effort = Effort::QUICK,
                "--json" => json = Some(PathBuf::from(value()?)),
                "--draw" => draw = Some(PathBuf::from(value()?)),
                "--chart" => chart = Some(PathBuf::from(value()?)),
                "--note" => wanted.note = Some(value()?),
                "--systems" => wanted.systems = each(&value()?, Name::read)?,
                "--figures" => wanted.figures = each(&value()?, Figure::read)?,
                other => return Err(format!("{other}? {USAGE}")),
            }
        }
        let (deed, file) = match (json, draw) {
            (Some(file), None) => (Deed::Measure(wanted), file),
            (None, Some(file)) => (Deed::Draw, file),
            _ => return Err(USAGE.to_owned()),
        };
        Ok(Self { deed, file, chart })
    }
}

fn each<T>(words: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    words.split(',').map(|word| read(word.trim())).collect()
}
