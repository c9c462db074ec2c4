//! How long consumers take for an event: a running mean.

use std::time::Duration;

/// The weight of the newest measurement.
const WEIGHT: f64 = 0.1;

/// A running mean of times.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Pace {
    seconds: Option<f64>,
}

impl Pace {
    /// So many events took so long.
    pub(crate) fn took(&mut self, time: Duration, events: u32) {
        let newest = time.as_secs_f64() / f64::from(events.max(1));
        let mean = |earlier: f64| earlier + WEIGHT * (newest - earlier);
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

    #[test]
    fn the_newest_weighs_a_tenth() {
        let mut pace = Pace::default();
        assert_eq!(pace.seconds(), None);
        pace.took(Duration::from_secs(10), 10);
        assert_eq!(pace.seconds(), Some(1.0));
        pace.took(Duration::from_secs(2), 1);
        assert_eq!(pace.seconds(), Some(1.1));
    }
}
