//! The states of a job, and why a dead one died.
//!
//! The names follow Oban's; the seventh, *dead*, is the dead-letter queue.

use std::fmt;

macro_rules! named {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word that stands in the database.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The value that this word stands for.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

named! {
    /// Where a job stands.
    JobState {
        /// Waits for its time, which was given at the enqueue or by a snooze.
        Scheduled => "scheduled",
        /// Waits for a worker that asks.
        Available => "available",
        /// Held by a node that runs it or is about to.
        Executing => "executing",
        /// Failed, and waits for its next attempt.
        Retryable => "retryable",
        /// Ended well; kept in the history.
        Completed => "completed",
        /// Ended by a cancellation; kept in the history.
        Cancelled => "cancelled",
        /// Given up; kept whole among the dead letters until a person or the API requeues it.
        Dead => "dead",
    }
}

named! {
    /// How a [breaker](super::Breaker) stands.
    BreakerState {
        /// Its kinds run; failures are counted.
        Closed => "closed",
        /// Its kinds are not claimed. When its time is over, the first job that waits opens the way for
        /// probes.
        Open => "open",
        /// A few jobs of its kinds run, to find out whether it may close.
        HalfOpen => "half_open",
        /// Held open by hand, until somebody closes it.
        HeldOpen => "held_open",
        /// Held closed by hand, whatever fails, until somebody releases it.
        HeldClosed => "held_closed",
    }
}

named! {
    /// Why a [breaker](super::Breaker) was opened.
    OpenReason {
        /// Too many of the calls failed.
        Failures => "failures",
        /// Too many of the calls were slow.
        SlowCalls => "slow_calls",
        /// A probe failed.
        FailedProbe => "failed_probe",
        /// A probe was slow.
        SlowProbe => "slow_probe",
        /// Somebody said so.
        ByHand => "by_hand",
    }
}

impl JobState {
    /// Whether the job has ended. Only a dead one comes back, when it is requeued.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Dead)
    }
}

named! {
    /// Why a job was buried among the dead letters.
    BuryReason {
        /// Its attempts are used up.
        Exhausted => "exhausted",
        /// Its handler said that no attempt can succeed.
        Discarded => "discarded",
        /// Its arguments could not be decoded by a handler that knows its kind.
        Undecodable => "undecodable",
        /// Too many processes died while they ran it.
        Quarantined => "quarantined",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_found_by_its_word() {
        for state in JobState::ALL {
            assert_eq!(JobState::from_word(state.as_str()), Some(*state));
        }
        assert_eq!(JobState::from_word("running"), None);
    }
}
