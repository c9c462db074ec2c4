//! What a queue in the express lane is told.

use std::time::Duration;

/// How long jobs may run in the express lane unless configured.
pub const DEFAULT_EXPRESS_BOUND: Duration = Duration::from_millis(50);
/// The longest that they may.
pub const MAX_EXPRESS_BOUND: Duration = Duration::from_secs(10);

/// How many batches of a queue may be open at once: one runs while the next is claimed.
pub(crate) const LANES: usize = 2;

/// How a queue uses the express lane; see [`Queue::express`](crate::Queue::express).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use callboard::Queue;
/// use callboard::queue::Express;
///
/// let clicks = Queue::new("clicks").express(Express::new());
/// let thumbnails = Queue::new("thumbnails").express(Express::new().bound(Duration::from_millis(100)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Express {
    pub(crate) bound: Duration,
}

impl Express {
    /// With everything as it is unless configured.
    pub fn new() -> Self {
        Self {
            bound: DEFAULT_EXPRESS_BOUND,
        }
    }

    /// Lets jobs run in the lane for so long from their claim, before those that have not ended become ordinary
    /// executing jobs (default [`DEFAULT_EXPRESS_BOUND`], 1 ms to [`MAX_EXPRESS_BOUND`]).
    ///
    /// For so long a transaction stays open. What is too short for the jobs has most of them written twice,
    /// which costs more than the ordinary way; what is long keeps vacuum from clearing away, in the whole
    /// database, what was deleted meanwhile, and a cancellation of what runs waits for it.
    pub fn bound(mut self, bound: Duration) -> Self {
        self.bound = bound;
        self
    }

    /// The value that is out of its range, and what was expected.
    pub(crate) fn fault(&self) -> Option<(String, &'static str)> {
        let is_fit = (Duration::from_millis(1)..=MAX_EXPRESS_BOUND).contains(&self.bound);
        (!is_fit).then(|| (format!("{:?}", self.bound), "1ms to 10s"))
    }

    /// How many jobs may be in hand: what so many workers finish in half of the bound, who take so long for one.
    pub(crate) fn most(&self, workers: usize, per_job: Option<Duration>) -> u32 {
        let Some(per_job) = per_job else {
            return u32::MAX;
        };
        let each = self.bound.as_secs_f64() / 2.0 / per_job.as_secs_f64().max(1e-7);
        // Saturates. Each worker may have one, however long that takes.
        (workers as f64 * each.max(1.0)) as u32
    }
}

impl Default for Express {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_in_hand_than_end_within_half_of_the_bound() {
        let express = Express::new().bound(Duration::from_millis(40));
        assert_eq!(express.most(10, Some(Duration::from_millis(1))), 200);
        assert_eq!(express.most(10, Some(Duration::from_secs(1))), 10);
        assert_eq!(express.most(10, None), u32::MAX);
    }
}
