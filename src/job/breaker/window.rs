//! The last calls of a breaker, by number or by time.

use std::collections::VecDeque;
use std::time::Duration;

use super::Called;
use super::options::Over;

/// How many steps a window of time moves in.
const STEPS: u32 = 20;

/// Calls, and how many of them failed or were slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// All calls.
    pub(crate) calls: u32,
    /// Those that failed.
    pub(crate) failures: u32,
    /// Those that were slow.
    pub(crate) slow: u32,
}

impl Tally {
    fn add(&mut self, called: Called) {
        self.calls += 1;
        self.failures += u32::from(called.is_failed);
        self.slow += u32::from(called.is_slow);
    }

    fn subtract(&mut self, other: Self) {
        self.calls -= other.calls;
        self.failures -= other.failures;
        self.slow -= other.slow;
    }
}

/// A sliding window over the last calls, which keeps their tally.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    kept: Kept,
    tally: Tally,
}

#[derive(Debug, Clone)]
enum Kept {
    /// The last so many calls, the oldest first.
    Calls { most: u32, calls: VecDeque<Called> },
    /// The tallies of steps of time by their numbers, the oldest first.
    Time {
        step: Duration,
        steps: VecDeque<(u128, Tally)>,
    },
}

impl Window {
    pub(super) fn new(over: Over) -> Self {
        let kept = match over {
            Over::Calls(most) => Kept::Calls {
                most,
                calls: VecDeque::new(),
            },
            Over::Time(time) => Kept::Time {
                step: time / STEPS,
                steps: VecDeque::new(),
            },
        };
        Self {
            kept,
            tally: Tally::default(),
        }
    }

    /// Takes in a call that ended at `now`, the time since whatever moment the caller counts from, and tells
    /// the tally with it.
    pub(crate) fn record(&mut self, now: Duration, called: Called) -> Tally {
        match &mut self.kept {
            Kept::Calls { most, calls } => {
                if calls.len() as u32 >= *most
                    && let Some(oldest) = calls.pop_front()
                {
                    let mut gone = Tally::default();
                    gone.add(oldest);
                    self.tally.subtract(gone);
                }
                calls.push_back(called);
            }
            Kept::Time { step, steps } => {
                let number = now.as_nanos() / step.as_nanos().max(1);
                while let Some((oldest, gone)) = steps.front().copied()
                    && oldest + u128::from(STEPS) <= number
                {
                    steps.pop_front();
                    self.tally.subtract(gone);
                }
                match steps.back_mut() {
                    // A clock that steps back would only widen a step.
                    Some((last, tally)) if *last >= number => tally.add(called),
                    _ => {
                        let mut tally = Tally::default();
                        tally.add(called);
                        steps.push_back((number, tally));
                    }
                }
            }
        }
        self.tally.add(called);
        self.tally
    }
}
