//! What an autoscaler is told.

use std::time::Duration;

use super::{Policy, ScaleByDemand};

/// How often an autoscaler looks unless configured.
pub const DEFAULT_AUTOSCALE_EVERY: Duration = Duration::from_secs(2);
/// Within which time waiting jobs are to start unless configured; see [`ScaleByDemand`].
pub const DEFAULT_START_WITHIN: Duration = Duration::from_secs(10);
/// By how much of the workers an autoscaler goes up at a time unless configured: it doubles them.
pub const DEFAULT_AUTOSCALE_STEP_UP: f64 = 1.0;
/// By how much of the workers an autoscaler goes down at a time unless configured.
pub const DEFAULT_AUTOSCALE_STEP_DOWN: f64 = 0.25;

/// The most workers of one queue in one process.
const MAX_WORKERS: u32 = 100_000;
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Lets a queue have as many workers as it needs, between a minimum and a maximum.
///
/// Each period it takes a [`Reading`](super::Reading), asks the [policy](Self::policy) how many workers that
/// needs, and takes one step: up at once, by at most [`step_up`](Self::step_up); down only when three
/// readings on end want fewer, by at most [`step_down`](Self::step_down); a difference of less than a tenth
/// changes nothing. A worker that has to go finishes its job first.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callboard::queue::{Autoscale, Policy};
///
/// let calm = Autoscale::between(2, 50).start_within(Duration::from_secs(60));
/// // One worker for each ten waiting jobs, whatever they are.
/// let own = Autoscale::between(1, 20).policy(Policy::new(|reading| reading.waiting.div_ceil(10)));
/// # let _ = (calm, own);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Autoscale {
    pub(crate) min: u32,
    pub(crate) max: u32,
    pub(crate) every: Duration,
    pub(crate) step_up: f64,
    pub(crate) step_down: f64,
    pub(crate) policy: Policy,
}

impl Autoscale {
    /// Between so many workers and so many, of this node (1 to 100,000). It begins with the minimum.
    pub fn between(min: u32, max: u32) -> Self {
        Self {
            min,
            max,
            every: DEFAULT_AUTOSCALE_EVERY,
            step_up: DEFAULT_AUTOSCALE_STEP_UP,
            step_down: DEFAULT_AUTOSCALE_STEP_DOWN,
            policy: ScaleByDemand::start_within(DEFAULT_START_WITHIN).into(),
        }
    }

    /// Looks so often (default [`DEFAULT_AUTOSCALE_EVERY`], 100 ms to an hour). Each look costs a query of the
    /// queue's waiting jobs; a longer period reacts later.
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    /// Goes up by at most this share of the workers at a time (default [`DEFAULT_AUTOSCALE_STEP_UP`], 0 to 100),
    /// and always by one. Larger meets bursts sooner, and overwhelms sooner what the jobs use.
    pub fn step_up(mut self, share: f64) -> Self {
        self.step_up = share;
        self
    }

    /// Goes down by at most this share of the workers at a time (default [`DEFAULT_AUTOSCALE_STEP_DOWN`], 0 to
    /// 1), and always by one. Smaller keeps idle workers for longer.
    pub fn step_down(mut self, share: f64) -> Self {
        self.step_down = share;
        self
    }

    /// Aims at starting what waits within this time, by [`ScaleByDemand`] (default [`DEFAULT_START_WITHIN`]).
    /// In the place of a policy given before.
    pub fn start_within(self, time: Duration) -> Self {
        self.policy(ScaleByDemand::start_within(time))
    }

    /// What is wrong with it, if anything: the option, its value, and what is expected.
    pub(crate) fn fault(&self) -> Option<(&'static str, String, &'static str)> {
        let (min, max) = (self.min, self.max);
        if min == 0 || max > MAX_WORKERS || min > max {
            let bounds = format!("{min} and {max}");
            return Some(("between", bounds, "1 to 100000, the smaller number first"));
        }
        if !(SHORTEST..=LONGEST).contains(&self.every) {
            return Some(("every", format!("{:?}", self.every), "100ms to an hour"));
        }
        if !(0.0..=100.0).contains(&self.step_up) {
            return Some(("step_up", self.step_up.to_string(), "0 to 100"));
        }
        if !(0.0..=1.0).contains(&self.step_down) {
            return Some(("step_down", self.step_down.to_string(), "0 to 1"));
        }
        None
    }

    /// Decides by another policy (default [`ScaleByDemand`]).
    pub fn policy(mut self, policy: impl Into<Policy>) -> Self {
        self.policy = policy.into();
        self
    }
}
