//! How long consumers take for an event: a running mean.

use std::time::Duration;

/// The weight of the newest event. Each has the same, however many were measured together: so a consumer that had
/// to wait for the processor once does not count for as much as a thousand that had not.
const WEIGHT: f64 = 0.01;

/// A running mean of times.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Pace {
    seconds: Option<f64>,
}

impl Pace {
    /// So many events took so long.
    pub(crate) fn took(&mut self, time: Duration, events: u32) {
        let events = f64::from(events.max(1));
        let newest = time.as_secs_f64() / events;
        let weight = 1.0 - (1.0 - WEIGHT).powf(events);
        let mean = |earlier: f64| earlier + weight * (newest - earlier);
        self.seconds = Some(self.seconds.map_or(newest, mean));
    }

    /// The mean time of one, once there is any.
    pub(crate) fn seconds(&self) -> Option<f64> {
        self.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace_of(measured: &[(Duration, u32)]) -> f64 {
        let mut pace = Pace::default();
        measured
            .iter()
            .for_each(|(time, events)| pace.took(*time, *events));
        pace.seconds().expect("something was measured")
    }

    #[test]
    fn the_newest_event_weighs_a_hundredth() {
        assert_eq!(Pace::default().seconds(), None);
        let second = Duration::from_secs(1);
        assert_eq!(pace_of(&[(10 * second, 10)]), 1.0);
        let pace = pace_of(&[(10 * second, 10), (2 * second, 1)]);
        assert!((pace - 1.01).abs() < 1e-9, "{pace}");
    }

    #[test]
    fn many_that_are_measured_together_count_for_as_many() {
        let quick = Duration::from_micros(40);
        let together = pace_of(&[(quick, 1), (300 * quick, 100)]);
        let apart = [[(quick, 1)].to_vec(), vec![(3 * quick, 1); 100]].concat();
        let apart = pace_of(&apart);
        assert!((together - apart).abs() < 1e-9, "{together} and {apart}");
        // One that had to wait is forgotten soon.
        let (late, many) = ((Duration::from_millis(5), 1), (1_000 * quick, 1_000));
        let pace = pace_of(&[(quick, 1), late, many]);
        assert!(pace < 1.01 * quick.as_secs_f64(), "{pace}");
    }
}
