//! All repetitions of all trials, and the lines they make.

use crate::figure::Figure;
use crate::line::Line;
use crate::measured::Measured;
use crate::system;
use crate::trial::Trial;

/// What was measured so far.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<(Trial, Vec<Measured>)>);

impl Samples {
    pub(crate) fn add(&mut self, trial: Trial, measured: Measured) {
        match self.0.iter_mut().find(|(known, _)| *known == trial) {
            Some((_, all)) => all.push(measured),
            None => self.0.push((trial, vec![measured])),
        }
    }

    /// The trial whose setting was best by its first part, of those of the same figure, system and number of jobs.
    pub(crate) fn best_of(&self, kin: Trial) -> Option<Trial> {
        let related = |trial: &Trial| {
            Trial {
                setting: kin.setting,
                ..*trial
            } == kin
        };
        let known = self.0.iter().filter(|(trial, _)| related(trial));
        known
            .max_by(|a, b| worth(&a.1).total_cmp(&worth(&b.1)))
            .map(|(trial, _)| *trial)
    }

    /// Medians with minimum and maximum; `conditions` hold for all.
    pub(crate) fn lines(&self, conditions: &str) -> Vec<Line> {
        let mut sorted: Vec<_> = self.0.iter().collect();
        let place = |trial: &Trial| {
            let figure = Figure::ALL
                .iter()
                .position(|figure| *figure == trial.figure);
            let system = system::ALL.iter().position(|name| *name == trial.system);
            (figure, system, trial.setting, trial.jobs)
        };
        sorted.sort_by_key(|(trial, _)| place(trial));
        let of_one = |(trial, all): &(Trial, Vec<Measured>)| lines_of(*trial, all, conditions);
        sorted.into_iter().flat_map(of_one).collect()
    }
}

/// More is better.
fn worth(repetitions: &[Measured]) -> f64 {
    repetitions
        .iter()
        .map(Measured::worth)
        .fold(f64::MIN, f64::max)
}

fn lines_of(trial: Trial, all: &[Measured], conditions: &str) -> Vec<Line> {
    let Trial {
        figure,
        system,
        setting,
        jobs,
    } = trial;
    let conditions = format!(
        "{}; {}: {}; repetitions: {}; {conditions}",
        figure.conditions(),
        system.package(),
        system.keeps(),
        all.len()
    );
    let mut settings = system.settings(figure);
    let setting = settings.swap_remove(setting);
    let repetitions: Vec<_> = all.iter().map(Measured::parts).collect();
    let parts = repetitions.first().into_iter().flatten();
    let line = |&(part, _, unit): &(&str, f64, &str)| {
        let values = repetitions.iter().flatten();
        let mut values: Vec<f64> = values
            .filter(|(name, _, _)| *name == part)
            .map(|(_, value, _)| *value)
            .collect();
        values.sort_by(f64::total_cmp);
        Line {
            system: system.with_version(),
            figure: format!("{}: {part}", figure.name()),
            setting: setting.clone(),
            n: jobs,
            median: rounded(median(&values)),
            min: rounded(values[0]),
            max: rounded(values[values.len() - 1]),
            unit: unit.to_owned(),
            conditions: conditions.clone(),
        }
    };
    parts.map(line).collect()
}

/// Of sorted values, of which there is at least one.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

/// To ten thousandths, which is finer than anything measured here.
fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(median(&[1.0, 2.0, 4.0, 8.0]), 3.0);
        assert_eq!(median(&[1.0, 2.0, 8.0]), 2.0);
    }
}
