//! From the ending of an attempt to the state change it causes: a pure function.

use std::time::Duration;

use super::output::bounded_output;
use super::{Backoff, BuryReason, Failure, FailureKind, MAX_WAIT, MIN_SNOOZE, Outcome};

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// The handler decided.
    Decided(Outcome),
    /// The handler failed: error, panic, time limit, crash of its worker.
    Failed(Failure),
    /// The arguments could not be decoded.
    Undecodable(Failure),
    /// The job was cancelled while it ran.
    Cancelled(Failure),
    /// The node shut down before the handler was done.
    Interrupted(Failure),
    /// The handler never began.
    Released,
}

/// What is left of a job's patience, and how it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Failed attempts before this one.
    pub failures: u32,
    /// How many attempts may fail.
    pub max_attempts: u32,
    /// How a failed job waits.
    pub backoff: Backoff,
}

/// The state change that an ending causes. Each is one row of the settle statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Transition {
    /// executing → completed.
    Complete {
        /// Kept in the history.
        output: Option<serde_json::Value>,
    },
    /// executing → retryable; one failure is charged.
    Retry {
        /// The wait.
        after: Duration,
        /// What went wrong.
        failure: Failure,
    },
    /// executing → scheduled; nothing is charged.
    Snooze {
        /// The wait.
        after: Duration,
    },
    /// executing → cancelled.
    Cancel {
        /// Why.
        failure: Failure,
    },
    /// executing → dead.
    Bury {
        /// The class of the reason.
        reason: BuryReason,
        /// What went wrong.
        failure: Failure,
    },
    /// executing → available; nothing is charged.
    Release {
        /// What interrupted the attempt, if it had begun.
        failure: Option<Failure>,
    },
}

impl Transition {
    /// The verb for it, in logs and metrics.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Complete { .. } => "complete",
            Self::Retry { .. } => "retry",
            Self::Snooze { .. } => "snooze",
            Self::Cancel { .. } => "cancel",
            Self::Bury { .. } => "bury",
            Self::Release { .. } => "release",
        }
    }
}

/// The state change that `ending` causes; `random` in `0.0..1.0` spreads the retries.
#[must_use]
pub fn transition(ending: Ending, budget: &Budget, random: f64) -> Transition {
    match ending {
        Ending::Decided(outcome) => decided(outcome),
        Ending::Failed(failure) => failed(failure, budget, random),
        Ending::Undecodable(failure) => Transition::Bury {
            reason: BuryReason::Undecodable,
            failure,
        },
        Ending::Cancelled(failure) => Transition::Cancel { failure },
        Ending::Interrupted(failure) => Transition::Release {
            failure: Some(failure),
        },
        Ending::Released => Transition::Release { failure: None },
    }
}

fn decided(outcome: Outcome) -> Transition {
    match outcome {
        Outcome::Done => Transition::Complete { output: None },
        Outcome::DoneWith(output) => Transition::Complete {
            output: Some(bounded_output(output)),
        },
        Outcome::Snooze(after) => Transition::Snooze {
            after: after.clamp(MIN_SNOOZE, MAX_WAIT),
        },
        Outcome::Cancel(reason) => Transition::Cancel {
            failure: Failure::new(FailureKind::Cancelled, &reason),
        },
        Outcome::Bury(reason) => Transition::Bury {
            reason: BuryReason::Discarded,
            failure: Failure::new(FailureKind::Discarded, &reason),
        },
    }
}

fn failed(failure: Failure, budget: &Budget, random: f64) -> Transition {
    let failures = budget.failures.saturating_add(1);
    if failures >= budget.max_attempts {
        return Transition::Bury {
            reason: BuryReason::Exhausted,
            failure,
        };
    }
    Transition::Retry {
        // A date that the database cannot write would keep the answer from ever being stored.
        after: budget.backoff.delay(failures, random).min(MAX_WAIT),
        failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn budget(failures: u32) -> Budget {
        Budget {
            failures,
            max_attempts: 3,
            backoff: Backoff::exponential(SECOND, 60 * SECOND),
        }
    }

    fn boom() -> Failure {
        Failure::new(FailureKind::Error, "boom")
    }

    #[test]
    fn a_failure_is_retried_until_the_budget_is_spent() {
        let after = |failures| transition(Ending::Failed(boom()), &budget(failures), 0.0);
        assert_eq!(
            after(0),
            Transition::Retry {
                after: SECOND,
                failure: boom()
            }
        );
        assert_eq!(
            after(1),
            Transition::Retry {
                after: 2 * SECOND,
                failure: boom()
            }
        );
        let spent = Transition::Bury {
            reason: BuryReason::Exhausted,
            failure: boom(),
        };
        assert_eq!(after(2), spent);
        assert_eq!(after(u32::MAX), spent);
    }

    #[test]
    fn a_zero_snooze_is_lengthened() {
        let ending = Ending::Decided(Outcome::Snooze(Duration::ZERO));
        let expected = Transition::Snooze { after: MIN_SNOOZE };
        assert_eq!(transition(ending, &budget(0), 0.0), expected);
    }

    #[test]
    fn an_endless_wait_ends_in_a_hundred_years() {
        let ending = Ending::Decided(Outcome::Snooze(Duration::MAX));
        let expected = Transition::Snooze { after: MAX_WAIT };
        assert_eq!(transition(ending, &budget(0), 0.0), expected);
        let endless = Budget {
            backoff: Backoff::constant(Duration::MAX),
            ..budget(0)
        };
        let expected = Transition::Retry {
            after: MAX_WAIT,
            failure: boom(),
        };
        assert_eq!(transition(Ending::Failed(boom()), &endless, 1.0), expected);
    }

    #[test]
    fn what_cannot_be_decoded_is_buried_at_once() {
        let ending = Ending::Undecodable(boom());
        let expected = Transition::Bury {
            reason: BuryReason::Undecodable,
            failure: boom(),
        };
        assert_eq!(transition(ending, &budget(0), 0.0), expected);
    }

    #[test]
    fn what_was_interrupted_is_not_charged() {
        let ending = Ending::Interrupted(boom());
        let expected = Transition::Release {
            failure: Some(boom()),
        };
        assert_eq!(transition(ending, &budget(2), 0.0), expected);
    }
}
