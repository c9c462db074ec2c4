//! How one call ended, as a breaker counts it.

use std::time::Duration;

use super::Breaker;
use crate::job::{Ending, FailureKind, Outcome};

/// How one call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Called {
    /// It failed: an error, a panic, or its time limit.
    pub(crate) is_failed: bool,
    /// It took longer than the breaker calls slow.
    pub(crate) is_slow: bool,
}

impl Called {
    /// What an attempt's ending says of what it called, if anything. What was cancelled, snoozed, given up
    /// by decision, interrupted or not begun says nothing, nor does the death of a worker.
    #[must_use]
    pub(crate) fn of(ending: &Ending, ran: Duration, breaker: &Breaker) -> Option<Self> {
        let is_failed = match ending {
            Ending::Decided(Outcome::Done | Outcome::DoneWith(_)) => false,
            Ending::Failed(failure) => match failure.kind {
                FailureKind::Error | FailureKind::Panic | FailureKind::TimedOut => true,
                _ => return None,
            },
            _ => return None,
        };
        let is_slow = breaker.slow_calls.is_some_and(|(over, _)| ran > over);
        Some(Self { is_failed, is_slow })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Failure;

    const SECOND: Duration = Duration::from_secs(1);

    fn called(ending: Ending, ran: Duration) -> Option<(bool, bool)> {
        let breaker = Breaker::new().slow_calls(SECOND, 0.5);
        Called::of(&ending, ran, &breaker).map(|called| (called.is_failed, called.is_slow))
    }

    #[test]
    fn errors_panics_and_time_limits_are_failures_and_nothing_else_is() {
        let failed = |kind| called(Ending::Failed(Failure::new(kind, "boom")), SECOND);
        for kind in [
            FailureKind::Error,
            FailureKind::Panic,
            FailureKind::TimedOut,
        ] {
            assert_eq!(failed(kind), Some((true, false)), "{kind:?}");
        }
        assert_eq!(failed(FailureKind::Crashed), None);
        let boom = || Failure::new(FailureKind::Error, "boom");
        for ending in [
            Ending::Undecodable(boom()),
            Ending::Cancelled(boom()),
            Ending::Interrupted(boom()),
            Ending::Released,
            Ending::Decided(Outcome::Snooze(SECOND)),
            Ending::Decided(Outcome::Cancel("no more".into())),
            Ending::Decided(Outcome::Bury("never".into())),
        ] {
            assert_eq!(called(ending.clone(), SECOND), None, "{ending:?}");
        }
    }

    #[test]
    fn a_call_is_slow_when_it_takes_longer_however_it_ends() {
        let done = || Ending::Decided(Outcome::Done);
        assert_eq!(called(done(), SECOND), Some((false, false)));
        assert_eq!(called(done(), 2 * SECOND), Some((false, true)));
        let quick = Called::of(&done(), 2 * SECOND, &Breaker::new());
        assert!(quick.is_some_and(|called| !called.is_slow));
    }
}
