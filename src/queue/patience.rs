//! How long an actor waits before it tries again what failed, such as reaching the database.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
/// Short enough that work resumes within a second after the database is back.
const LONGEST: Duration = Duration::from_millis(600);

/// The waits between tries: doubling, with jitter, so that actors and nodes do not come back all at
/// once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Patience {
    failures: u32,
}

impl Patience {
    /// The wait after one more failure; `random` is in `0.0..1.0`.
    pub(crate) fn after_failure(&mut self, random: f64) -> Duration {
        let doubled = FIRST
            .saturating_mul(1 << self.failures.min(10))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        // Half fixed, half random.
        doubled.mul_f64(0.5 + random / 2.0)
    }

    /// Forgets the failures.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_stay_below_the_longest() {
        let mut patience = Patience::default();
        let waits: Vec<_> = (0..6)
            .map(|_| patience.after_failure(1.0).as_millis())
            .collect();
        assert_eq!(waits, [50, 100, 200, 400, 600, 600]);
        patience.succeeded();
        assert_eq!(patience.after_failure(0.0).as_millis(), 25);
    }
}
