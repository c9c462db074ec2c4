//! How a queue stands at an instant: all that a policy may know.

use std::time::Duration;

/// The most waiting jobs that are counted; more read as so many.
pub const MAX_WAITING: u32 = 10_000;

/// How a queue of one node stands. Rates are of the time since the reading before.
///
/// What cannot be known (a system that does not tell its load, a queue that has finished nothing yet) is
/// `None`, and a policy goes without it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Reading {
    /// Workers that this node has for the queue now, idle ones included.
    pub workers: u32,
    /// Workers that ran a job since the reading before, on average.
    pub busy: f64,
    /// The running mean of that, in which the newest period weighs 0.3: jobs that come at random keep now
    /// more and now fewer busy.
    pub busy_lately: f64,
    /// Jobs of the queue that wait for a worker: on the board, for any node (at most [`MAX_WAITING`] are counted),
    /// or claimed ahead by this one.
    pub waiting: u32,
    /// How long the oldest of the next hundred has been on the board; zero if none waits. One that waited for its
    /// time or for a retry counts from its enqueue.
    pub oldest: Duration,
    /// Live nodes that serve the queue and share what is waiting; at least one.
    pub nodes: u32,
    /// Jobs that this node's workers finished, a second.
    pub finished_per_second: f64,
    /// The mean time a job keeps a worker, in seconds.
    pub seconds_per_job: Option<f64>,
    /// How much of the node's processors is in use, from 0 to 1, by whomever.
    pub cpu: Option<f64>,
    /// How much of the node's memory is in use, from 0 to 1, by whomever and not counting caches; of its
    /// control group, if that has less.
    pub memory: Option<f64>,
}

impl Default for Reading {
    /// One idle worker, and nothing to do.
    fn default() -> Self {
        Self {
            workers: 1,
            busy: 0.0,
            busy_lately: 0.0,
            waiting: 0,
            oldest: Duration::ZERO,
            nodes: 1,
            finished_per_second: 0.0,
            seconds_per_job: None,
            cpu: None,
            memory: None,
        }
    }
}

/// How much of its workers' time a queue is meant to use; the rest meets what comes at random.
pub(super) const UTILISATION: f64 = 0.8;

/// The weight of the newest period in a running mean.
const WEIGHT: f64 = 0.3;

impl Reading {
    /// The next of a running mean.
    pub(crate) fn smoothed(earlier: f64, newest: f64) -> f64 {
        earlier + WEIGHT * (newest - earlier)
    }

    /// Whether the way from the database to the workers is the bottleneck: jobs wait, and yet a fifth of the
    /// workers or more had nothing to do. More workers would only wait as well.
    #[must_use]
    pub fn is_supply_short(&self) -> bool {
        self.waiting > 0 && self.workers > 1 && self.busy <= f64::from(self.workers) * UTILISATION
    }

    /// This node's share of what is waiting.
    #[must_use]
    pub fn share(&self) -> f64 {
        f64::from(self.waiting) / f64::from(self.nodes.max(1))
    }
}
