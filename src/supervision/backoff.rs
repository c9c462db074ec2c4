//! How long a child waits before it is started again: [`Backoff`].
//!
//! Pure: uptime and randomness are arguments. The waiting itself is a timer of the supervisor.

use std::time::Duration;

/// The wait before a child that failed is started again; none unless set otherwise.
///
/// The nominal wait doubles with every failure in a row, from `min` up to `max`. Jitter takes up to
/// half of it off, so children that failed together do not come back together: the wait lies
/// between half the nominal wait and the nominal wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    reset_after: Duration,
}

impl Backoff {
    /// Restarts at once.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            min: Duration::ZERO,
            max: Duration::ZERO,
            reset_after: Duration::ZERO,
        }
    }

    /// Doubles the nominal wait from `min` to `max`; a `max` below `min` counts as `min`.
    ///
    /// Failures in a row are forgotten once the child has run for `max`; see
    /// [`reset_after`](Self::reset_after).
    #[must_use]
    pub fn exponential(min: Duration, max: Duration) -> Self {
        let max = max.max(min);
        Self {
            min,
            max,
            reset_after: max,
        }
    }

    /// Forgets earlier failures once the child has run this long. Zero forgets them always, so that
    /// the wait never grows unless the child fails to start.
    #[must_use]
    pub const fn reset_after(mut self, healthy: Duration) -> Self {
        self.reset_after = healthy;
        self
    }

    /// Counts failures in a row: `failures` before, `uptime` of the run that now failed (`None` if
    /// the child did not start at all).
    #[must_use]
    pub fn count_failure(&self, failures: u32, uptime: Option<Duration>) -> u32 {
        match uptime {
            Some(uptime) if uptime >= self.reset_after => 1,
            _ => failures.saturating_add(1),
        }
    }

    /// The wait after this many failures in a row, from 1; `random` lies in `0.0..=1.0`.
    #[must_use]
    pub fn delay(&self, failures: u32, random: f64) -> Duration {
        let half = self.nominal(failures) / 2;
        half + half.mul_f64(random.clamp(0.0, 1.0))
    }

    fn nominal(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.min.saturating_mul(1 << doublings).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn no_backoff_waits_for_nothing() {
        assert_eq!(Backoff::none().delay(7, 1.0), Duration::ZERO);
    }

    #[test]
    fn the_wait_doubles_up_to_its_maximum() {
        let backoff = Backoff::exponential(SECOND, 10 * SECOND);
        let delays = [1, 2, 3, 4, 5, u32::MAX].map(|failures| backoff.delay(failures, 1.0));
        assert_eq!(delays, [1, 2, 4, 8, 10, 10].map(Duration::from_secs));
    }

    #[test]
    fn jitter_takes_up_to_half_off() {
        let backoff = Backoff::exponential(SECOND, SECOND);
        assert_eq!(backoff.delay(1, 0.0), SECOND / 2);
        assert_eq!(backoff.delay(1, 0.5), SECOND * 3 / 4);
    }

    #[test]
    fn a_healthy_run_forgets_earlier_failures() {
        let backoff = Backoff::exponential(SECOND, 10 * SECOND).reset_after(60 * SECOND);
        assert_eq!(backoff.count_failure(4, Some(59 * SECOND)), 5);
        assert_eq!(backoff.count_failure(4, Some(60 * SECOND)), 1);
        assert_eq!(backoff.count_failure(4, None), 5);
    }

    #[test]
    fn extreme_values_saturate() {
        let backoff = Backoff::exponential(Duration::MAX, SECOND);
        assert_eq!(backoff.delay(u32::MAX, 0.0), Duration::MAX / 2);
    }
}
