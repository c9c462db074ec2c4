//! Which setting of each system was best, and what it reached.

use crate::line::Line;
use crate::system::OURS;

/// The lines of one figure, of the best setting of each system only.
pub(crate) struct Best<'a> {
    pub(crate) figure: &'a str,
    lines: Vec<&'a Line>,
}

/// Figure by figure, in the order of the file.
pub(crate) fn of(lines: &[Line]) -> Vec<Best<'_>> {
    let figures = distinct(lines.iter().map(|line| line.figure_and_part().0));
    let best = |figure| Best {
        figure,
        lines: best_lines(
            lines
                .iter()
                .filter(|line| line.figure_and_part().0 == figure),
        ),
    };
    figures.into_iter().map(best).collect()
}

fn best_lines<'a>(lines: impl Iterator<Item = &'a Line>) -> Vec<&'a Line> {
    let lines: Vec<&Line> = lines.collect();
    let mut best = Vec::new();
    for system in distinct(lines.iter().map(|line| line.system_name())) {
        let of_it = lines.iter().filter(|line| line.system_name() == system);
        // Those with fewer jobs were only tried.
        let most = of_it.clone().map(|line| line.n).max();
        let compared = of_it
            .clone()
            .filter(|line| is_primary(line) && Some(line.n) == most);
        let Some(winner) = compared.max_by(|a, b| worth(a).total_cmp(&worth(b))) else {
            continue;
        };
        best.extend(of_it.filter(|line| line.setting == winner.setting && line.n == winner.n));
    }
    best
}

/// The part that settings are compared by.
pub(crate) fn is_primary(line: &Line) -> bool {
    matches!(line.figure_and_part().1, "rate" | "p50")
}

/// More is better.
fn worth(line: &Line) -> f64 {
    if more_is_better(&line.unit) {
        line.median
    } else {
        -line.median
    }
}

pub(crate) fn more_is_better(unit: &str) -> bool {
    unit == "jobs/s"
}

impl<'a> Best<'a> {
    pub(crate) fn parts(&self) -> Vec<&'a str> {
        distinct(self.lines.iter().map(|line| line.figure_and_part().1))
    }

    pub(crate) fn unit(&self, part: &str) -> &'a str {
        let line = self
            .lines
            .iter()
            .find(|line| line.figure_and_part().1 == part);
        line.map_or("", |line| line.unit.as_str())
    }

    pub(crate) fn line(&self, system: &str, part: &str) -> Option<&'a Line> {
        let wanted =
            |line: &&&Line| line.system_name() == system && line.figure_and_part().1 == part;
        self.lines.iter().find(wanted).copied()
    }

    /// How many times better ours is than the best of the others in this part.
    pub(crate) fn lead(&self, part: &str) -> Option<f64> {
        let ours = self.line(OURS, part)?;
        let others = self
            .lines
            .iter()
            .filter(|line| line.figure_and_part().1 == part && line.system_name() != OURS);
        let rival = others.max_by(|a, b| worth(a).total_cmp(&worth(b)))?;
        let times = ours.median / rival.median;
        Some(if more_is_better(&ours.unit) {
            times
        } else {
            1.0 / times
        })
    }
}

/// Each once, in the order of their first appearance.
pub(crate) fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(system: &str, figure: &str, setting: &str, median: f64, unit: &str) -> Line {
        let [system, figure, setting, unit] = [system, figure, setting, unit].map(str::to_owned);
        let (min, max) = (median, median);
        let (n, conditions) = (1, String::new());
        Line {
            system,
            figure,
            setting,
            n,
            median,
            min,
            max,
            unit,
            conditions,
        }
    }

    #[test]
    fn every_part_is_of_the_setting_with_the_best_rate() {
        let lines = [
            line("a 1", "drain: rate", "slow", 1.0, "jobs/s"),
            line("a 1", "drain: WAL", "slow", 10.0, "bytes/job"),
            line("a 1", "drain: rate", "fast", 2.0, "jobs/s"),
            line("a 1", "drain: WAL", "fast", 20.0, "bytes/job"),
        ];
        let best = of(&lines).swap_remove(0);
        assert_eq!(best.line("a", "WAL").map(|line| line.median), Some(20.0));
    }

    #[test]
    fn what_was_only_tried_is_not_reported() {
        let tried = line("a 1", "drain: rate", "lucky", 3.0, "jobs/s");
        let measured = Line {
            n: 2,
            ..line("a 1", "drain: rate", "sure", 2.0, "jobs/s")
        };
        let lines = [tried, measured];
        let best = of(&lines).swap_remove(0);
        assert_eq!(best.line("a", "rate").map(|line| line.n), Some(2));
    }

    #[test]
    fn a_lead_is_above_one_where_ours_is_better_whatever_the_unit() {
        let lines = [
            line("callboard 1", "x: rate", "", 30.0, "jobs/s"),
            line("a 1", "x: rate", "", 10.0, "jobs/s"),
            line("callboard 1", "y: p50", "", 1.0, "ms"),
            line("a 1", "y: p50", "", 2.0, "ms"),
        ];
        let leads: Vec<_> = of(&lines)
            .iter()
            .map(|best| best.lead(best.parts()[0]))
            .collect();
        assert_eq!(leads, [Some(3.0), Some(2.0)]);
    }
}
