//! From what a policy wants to how many workers there are next: bounds, hysteresis, step limits.

use super::Autoscale;

/// A difference below this share of the workers changes nothing.
const DEAD_BAND: f64 = 0.1;
/// So many readings on end must want fewer before any goes.
const PATIENT_READINGS: u32 = 3;

/// Remembers what was wanted, so that a moment changes nothing.
///
/// A difference of less than a tenth is noise. Up at once, since jobs wait; down late and slowly, since a worker
/// that is missed costs more than one that idles: only after three readings on end that want fewer, then to the
/// most that any of them wanted.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    /// How many readings on end wanted fewer, and the most that any of them wanted.
    fewer: Option<(u32, u32)>,
}

impl Steps {
    /// How many workers there are next.
    pub(crate) fn next(&mut self, workers: u32, wanted: u32, options: &Autoscale) -> u32 {
        let wanted = wanted.clamp(options.min, options.max);
        if workers < options.min || workers > options.max {
            // Somebody else scaled it; or it has just begun.
            self.fewer = None;
            return workers.clamp(options.min, options.max);
        }
        let is_apart = f64::from(wanted.abs_diff(workers)) >= f64::from(workers) * DEAD_BAND
            || wanted == options.min
            || wanted == options.max;
        if wanted == workers || !is_apart {
            self.fewer = None;
            return workers;
        }
        if wanted > workers {
            self.fewer = None;
            return wanted.min(up(workers, options.step_up)).min(options.max);
        }
        let (readings, most) = self.fewer.unwrap_or((0, 0));
        let (readings, most) = (readings + 1, most.max(wanted));
        if readings < PATIENT_READINGS {
            self.fewer = Some((readings, most));
            return workers;
        }
        self.fewer = None;
        most.max(down(workers, options.step_down)).max(options.min)
    }
}

/// At most so much more, and always one.
fn up(workers: u32, step: f64) -> u32 {
    let grown = f64::from(workers) * (1.0 + step);
    (grown as u32).max(workers.saturating_add(1))
}

/// At most so much less, and always one.
fn down(workers: u32, step: f64) -> u32 {
    let shrunk = f64::from(workers) * (1.0 - step);
    (shrunk.ceil() as u32).min(workers.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Autoscale {
        Autoscale::between(2, 40)
    }

    fn after(wants: &[u32]) -> u32 {
        let mut steps = Steps::default();
        wants.iter().fold(20, |workers, wanted| {
            steps.next(workers, *wanted, &options())
        })
    }

    #[test]
    fn up_goes_at_once_but_no_further_than_a_step() {
        assert_eq!(after(&[25]), 25);
        assert_eq!(after(&[4_000]), 40);
        let mut steps = Steps::default();
        assert_eq!(steps.next(2, 30, &options()), 4);
        assert_eq!(steps.next(4, 30, &options().step_up(0.0)), 5);
    }

    #[test]
    fn down_takes_three_readings_on_end() {
        assert_eq!(after(&[10, 10]), 20);
        assert_eq!(after(&[10, 10, 20, 10, 10]), 20);
        assert_eq!(after(&[10, 10, 10]), 15);
        assert_eq!(after(&[10, 17, 10]), 17);
    }

    #[test]
    fn a_little_less_changes_nothing() {
        assert_eq!(after(&[19; 50]), 20);
        assert_eq!(after(&[21; 50]), 20);
        assert_eq!(after(&[18; 50]), 18);
    }

    #[test]
    fn the_least_is_reached_in_the_end() {
        assert_eq!(after(&[0; 50]), 2);
    }

    #[test]
    fn what_was_scaled_from_outside_comes_back_within_the_bounds() {
        let mut steps = Steps::default();
        assert_eq!(steps.next(1, 1, &options()), 2);
        assert_eq!(steps.next(500, 500, &options()), 40);
    }
}
