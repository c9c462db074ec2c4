//! How many restarts a supervisor tolerates: [`Intensity`], and the sliding window that counts them.
//!
//! Pure: the instant is an argument. Invariant: a window never holds more than `max_restarts + 1`
//! instants.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The restarts a supervisor tolerates before it gives up: 3 within 5 s unless set otherwise.
///
/// With `max_restarts` 0 the first restart is one too many. Restarts exactly `within` apart still
/// count together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Intensity {
    /// The number of restarts tolerated within the period.
    pub max_restarts: u32,
    /// The period in which they are counted.
    pub within: Duration,
}

impl Intensity {
    /// Tolerates `max_restarts` restarts in any period of this length.
    #[must_use]
    pub const fn new(max_restarts: u32, within: Duration) -> Self {
        Self {
            max_restarts,
            within,
        }
    }
}

impl Default for Intensity {
    fn default() -> Self {
        Self::new(3, Duration::from_secs(5))
    }
}

/// What is left of a restart budget after a restart was charged to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// The restart may go ahead.
    Left,
    /// This restart is one too many.
    Spent,
}

/// The restarts of the last period.
#[derive(Clone, Debug)]
pub struct RestartWindow {
    intensity: Intensity,
    restarts: VecDeque<Instant>,
}

impl RestartWindow {
    /// An empty window.
    #[must_use]
    pub const fn new(intensity: Intensity) -> Self {
        Self {
            intensity,
            restarts: VecDeque::new(),
        }
    }

    /// Tolerates so much from now on.
    pub const fn tolerate(&mut self, intensity: Intensity) {
        self.intensity = intensity;
    }

    /// Charges one restart at `now` and says whether the budget allows it.
    pub fn charge(&mut self, now: Instant) -> Budget {
        let within = self.intensity.within;
        self.restarts
            .retain(|at| now.saturating_duration_since(*at) <= within);
        self.restarts.push_back(now);
        if self.count() > self.intensity.max_restarts {
            self.restarts.pop_front();
            return Budget::Spent;
        }
        Budget::Left
    }

    /// The restarts counted in the period that ended with the last charge.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.restarts.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charge_at(intensity: Intensity, millis: &[u64]) -> Vec<Budget> {
        let start = Instant::now();
        let mut window = RestartWindow::new(intensity);
        let at = |ms: &u64| start + Duration::from_millis(*ms);
        millis.iter().map(|ms| window.charge(at(ms))).collect()
    }

    #[test]
    fn the_fourth_restart_within_the_period_is_one_too_many() {
        use Budget::{Left, Spent};
        assert_eq!(
            charge_at(Intensity::default(), &[0, 1, 2, 5000]),
            [Left, Left, Left, Spent]
        );
    }

    #[test]
    fn restarts_older_than_the_period_are_forgotten() {
        use Budget::{Left, Spent};
        assert_eq!(
            charge_at(Intensity::default(), &[0, 1, 2, 5001, 5002, 5002]),
            [Left, Left, Left, Left, Left, Spent]
        );
    }

    #[test]
    fn an_intensity_of_zero_tolerates_nothing() {
        let none = Intensity::new(0, Duration::from_secs(1));
        assert_eq!(charge_at(none, &[0]), [Budget::Spent]);
    }
}
