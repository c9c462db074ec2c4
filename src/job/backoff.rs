//! How long a failed job waits for its next attempt.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The share of the delay that jitter may add, so that jobs that failed together do not return
/// together. It only ever adds: a retry is never earlier than the formula says.
const JITTER: f64 = 0.25;

/// The wait before the next attempt, as a function of the failures so far.
///
/// The default is exponential from 5 seconds to 6 hours: with the default of 20 attempts a job
/// that always fails is retried over 47 to 59 hours. No wait is longer than a hundred years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Backoff {
    /// `first × 2^(failures − 1)`, at most `max`, plus up to a quarter of jitter.
    Exponential {
        /// The wait after the first failure.
        first: Duration,
        /// The longest wait, before jitter.
        max: Duration,
    },
    /// The same wait after every failure, plus up to a quarter of jitter.
    Constant {
        /// The wait, before jitter.
        every: Duration,
    },
}

impl Default for Backoff {
    fn default() -> Self {
        Self::exponential(Duration::from_secs(5), Duration::from_secs(6 * 60 * 60))
    }
}

impl Backoff {
    /// A wait that doubles with every failure, from `first` to `max`.
    #[must_use]
    pub const fn exponential(first: Duration, max: Duration) -> Self {
        Self::Exponential { first, max }
    }

    /// The same wait after every failure.
    #[must_use]
    pub const fn constant(every: Duration) -> Self {
        Self::Constant { every }
    }

    /// The wait after the `failures`-th failure (counted from 1); `random` is in `0.0..1.0`.
    #[must_use]
    pub fn delay(&self, failures: u32, random: f64) -> Duration {
        let delay = match *self {
            Self::Exponential { first, max } => {
                let doublings = failures.saturating_sub(1).min(31);
                first.saturating_mul(1 << doublings).min(max)
            }
            Self::Constant { every } => every,
        };
        delay.saturating_add(delay.mul_f64(JITTER * random.clamp(0.0, 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn delays_double_up_to_the_longest() {
        let backoff = Backoff::exponential(SECOND, 10 * SECOND);
        let delays: Vec<_> = (1..=6).map(|n| backoff.delay(n, 0.0).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 10, 10]);
        assert_eq!(backoff.delay(u32::MAX, 0.0), 10 * SECOND);
    }

    #[test]
    fn jitter_adds_at_most_a_quarter() {
        let backoff = Backoff::constant(4 * SECOND);
        assert_eq!(backoff.delay(1, 0.0), 4 * SECOND);
        assert_eq!(backoff.delay(7, 1.0), 5 * SECOND);
    }

    #[test]
    fn the_default_budget_spans_about_two_and_a_half_days() {
        let hours: f64 = (1..20)
            .map(|n| Backoff::default().delay(n, 0.0).as_secs_f64() / 3600.0)
            .sum();
        assert!((47.0..60.0).contains(&hours), "{hours}");
    }
}
