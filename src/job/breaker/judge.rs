//! The breaker as a state machine, as one node plays its part in it.
//!
//! What holds is what the board says, and each change of it counts the *epoch* up. A node watches the calls
//! that began in the current epoch and passes a verdict, which counts only if the epoch is still the same: so
//! concurrent nodes agree, and calls from before a change say nothing about what came after it (as the
//! *generation* of <https://github.com/sony/gobreaker>).

use std::fmt;
use std::time::Duration;

use super::{Breaker, Called, Tally, Window};
use crate::job::OpenReason;

/// What a node has to watch in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watch {
    /// The breaker is closed: the rates of failures and of slow calls.
    Rates,
    /// It is half open, and the probes are this node's, of which so many have succeeded already.
    Probes {
        /// By now, here and elsewhere.
        succeeded: u32,
    },
    /// Nothing: it is open, held by hand, or another node's to probe.
    Nothing,
}

/// What a node finds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// It is to open, or to stay open.
    Open(Reason),
    /// So many probes have succeeded, and more are needed.
    Proven(u32),
    /// All probes have succeeded: it is to close.
    Close,
}

/// Why a breaker opens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Reason {
    /// Too many of the calls failed.
    Failures(Tally, f64),
    /// Too many of the calls were slow.
    SlowCalls(Tally, f64),
    /// A probe failed.
    FailedProbe,
    /// A probe was slow.
    SlowProbe,
}

/// Watches the calls of one breaker.
#[derive(Debug, Clone)]
pub(crate) struct Judge {
    options: Breaker,
    epoch: u64,
    watched: Watched,
}

#[derive(Debug, Clone)]
enum Watched {
    Rates(Window),
    Probes {
        succeeded: u32,
    },
    /// Nothing, or nothing any more: a verdict is passed once.
    Nothing,
}

impl Judge {
    /// Watches nothing until it is told what holds.
    #[must_use]
    pub(crate) fn new(options: Breaker) -> Self {
        Self {
            options,
            epoch: 0,
            watched: Watched::Nothing,
        }
    }

    /// What holds is this from now on; what was watched before is forgotten.
    pub(crate) fn begin(&mut self, epoch: u64, watch: Watch) {
        self.epoch = epoch;
        self.watched = match watch {
            Watch::Rates => Watched::Rates(Window::new(self.options.over)),
            Watch::Probes { succeeded } => Watched::Probes { succeeded },
            Watch::Nothing => Watched::Nothing,
        };
    }

    /// Takes in a call that began in this epoch and ended at `now`.
    pub(crate) fn record(&mut self, now: Duration, epoch: u64, called: Called) -> Option<Verdict> {
        if epoch != self.epoch {
            return None;
        }
        let verdict = match &mut self.watched {
            Watched::Rates(window) => {
                let tally = window.record(now, called);
                Verdict::Open(self.options.verdict(tally)?)
            }
            Watched::Probes { succeeded } => {
                if let Some(reason) = self.options.verdict_on_probe(called) {
                    Verdict::Open(reason)
                } else {
                    *succeeded += 1;
                    if *succeeded < self.options.probes {
                        return Some(Verdict::Proven(*succeeded));
                    }
                    Verdict::Close
                }
            }
            Watched::Nothing => return None,
        };
        self.watched = Watched::Nothing;
        Some(verdict)
    }
}

impl Breaker {
    /// Why it is to open, if it is: with the minimum of calls, when `failures ÷ calls` or `slow ÷ calls` is
    /// equal to or greater than its rate (resilience4j: "equal or greater than the threshold").
    fn verdict(&self, tally: Tally) -> Option<Reason> {
        if tally.calls < self.minimum_calls {
            return None;
        }
        let is_at = |count: u32, rate: f64| f64::from(count) >= rate * f64::from(tally.calls);
        if is_at(tally.failures, self.failure_rate) {
            return Some(Reason::Failures(tally, self.failure_rate));
        }
        let (_, rate) = self.slow_calls?;
        is_at(tally.slow, rate).then_some(Reason::SlowCalls(tally, rate))
    }

    /// Stricter than resilience4j, which takes the rate of all probes: every failure is an attempt spent.
    const fn verdict_on_probe(&self, called: Called) -> Option<Reason> {
        match called {
            Called {
                is_failed: true, ..
            } => Some(Reason::FailedProbe),
            Called { is_slow: true, .. } => Some(Reason::SlowProbe),
            _ => None,
        }
    }
}

impl Reason {
    /// The word for it.
    #[must_use]
    pub(crate) const fn word(&self) -> OpenReason {
        match self {
            Self::Failures(..) => OpenReason::Failures,
            Self::SlowCalls(..) => OpenReason::SlowCalls,
            Self::FailedProbe => OpenReason::FailedProbe,
            Self::SlowProbe => OpenReason::SlowProbe,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |f: &mut fmt::Formatter<'_>, count: u32, calls: u32, what: &str, rate: f64| {
            write!(f, "{count} of {calls} calls {what}, at or above {rate}")
        };
        match self {
            Self::Failures(tally, rate) => share(f, tally.failures, tally.calls, "failed", *rate),
            Self::SlowCalls(tally, rate) => share(f, tally.slow, tally.calls, "were slow", *rate),
            Self::FailedProbe => f.write_str("a probe failed"),
            Self::SlowProbe => f.write_str("a probe was slow"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);
    const OK: Called = Called {
        is_failed: false,
        is_slow: false,
    };
    const FAILED: Called = Called {
        is_failed: true,
        is_slow: false,
    };
    const SLOW: Called = Called {
        is_failed: false,
        is_slow: true,
    };

    fn judge(options: Breaker, watch: Watch) -> Judge {
        let mut judge = Judge::new(options);
        judge.begin(7, watch);
        judge
    }

    fn options() -> Breaker {
        Breaker::new().minimum_calls(4).over_calls(10).probes(2)
    }

    #[test]
    fn it_opens_when_the_share_of_failures_is_reached_and_not_before_the_minimum_of_calls() {
        let mut judge = judge(options(), Watch::Rates);
        for called in [FAILED, FAILED, OK] {
            assert_eq!(judge.record(NOW, 7, called), None);
        }
        let tally = Tally {
            calls: 4,
            failures: 2,
            slow: 0,
        };
        let reason = Reason::Failures(tally, 0.5);
        assert_eq!(reason.to_string(), "2 of 4 calls failed, at or above 0.5");
        assert_eq!(reason.word(), OpenReason::Failures);
        assert_eq!(judge.record(NOW, 7, OK), Some(Verdict::Open(reason)));
        // Once is enough.
        assert_eq!(judge.record(NOW, 7, FAILED), None);
    }

    #[test]
    fn it_opens_when_the_share_of_slow_calls_is_reached() {
        let slow = options().slow_calls(Duration::from_secs(1), 0.75);
        let mut judge = judge(slow, Watch::Rates);
        for called in [SLOW, OK, SLOW] {
            assert_eq!(judge.record(NOW, 7, called), None);
        }
        let verdict = judge.record(NOW, 7, SLOW);
        assert!(
            matches!(verdict, Some(Verdict::Open(Reason::SlowCalls(tally, _))) if tally.slow == 3)
        );
    }

    #[test]
    fn calls_of_another_epoch_say_nothing() {
        let mut judge = judge(options(), Watch::Rates);
        for epoch in [0, 6, 8] {
            for _ in 0..20 {
                assert_eq!(judge.record(NOW, epoch, FAILED), None);
            }
        }
        judge.begin(8, Watch::Rates);
        assert_eq!(judge.record(NOW, 7, FAILED), None);
    }

    #[test]
    fn it_closes_when_all_probes_have_succeeded_here_and_elsewhere() {
        let mut here = judge(options(), Watch::Probes { succeeded: 0 });
        assert_eq!(here.record(NOW, 7, OK), Some(Verdict::Proven(1)));
        assert_eq!(here.record(NOW, 7, OK), Some(Verdict::Close));
        let mut elsewhere = judge(options(), Watch::Probes { succeeded: 1 });
        assert_eq!(elsewhere.record(NOW, 7, OK), Some(Verdict::Close));
    }

    #[test]
    fn the_first_probe_that_fails_or_is_slow_opens_it_again() {
        let mut probing = judge(options(), Watch::Probes { succeeded: 1 });
        let failed = Some(Verdict::Open(Reason::FailedProbe));
        assert_eq!(probing.record(NOW, 7, FAILED), failed);
        assert_eq!(probing.record(NOW, 7, OK), None);
        let mut probing = judge(options(), Watch::Probes { succeeded: 1 });
        let slow = Some(Verdict::Open(Reason::SlowProbe));
        assert_eq!(probing.record(NOW, 7, SLOW), slow);
    }

    #[test]
    fn it_judges_nothing_that_is_not_its_own() {
        let mut judge = judge(options(), Watch::Nothing);
        for _ in 0..20 {
            assert_eq!(judge.record(NOW, 7, FAILED), None);
        }
    }
}
