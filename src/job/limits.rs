//! How many jobs of a queue may run, and start, on all nodes together.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{MAX_WAIT, NameOf, check_name};

/// The most keys of a queue that may have a weight of their own.
pub const MAX_WEIGHTS: usize = 1_000;
/// The largest weight of a key.
pub const MAX_WEIGHT: u32 = 1_000;

/// Limits of a queue, over all nodes. What exceeds them waits; nothing is refused.
///
/// A job's key, given by [`Call::limit_key`](super::Call::limit_key), says whose share it takes: a tenant, an
/// API. In a queue with limits, keys take turns: each starts as many jobs as its [weight](Self::weight), then
/// the next key that has something waiting and room of its own. So between two starts of a key there are at
/// most as many others as all the other keys' weights together, however much one of them has enqueued. Within a
/// key the most urgent and oldest come first; so priorities count within a key, and not between keys.
///
/// Jobs without a key share one turn, and no limit per key counts for them; they are looked for among the
/// queue's next thousand in the order of priority and age, so a queue whose jobs have keys had better
/// give one to all.
///
/// Claims of such a queue come one at a time, and count. `cargo bench --bench throughput -- --only limits` measures what
/// that costs beside a queue without limits.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callboard::job::Limits;
///
/// let limits = Limits::new()
///     // Of each tenant at most five run at once,
///     .running_per_key(5)
///     // and one of them gets three turns where others get one.
///     .weight("tenant-7", 3)
///     // All together start no more than a hundred in a second.
///     .starts(100, Duration::from_secs(1));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
pub struct Limits {
    pub(crate) running: Option<u32>,
    pub(crate) running_per_key: Option<u32>,
    pub(crate) starts: Option<Starts>,
    pub(crate) starts_per_key: Option<Starts>,
    pub(crate) weights: BTreeMap<String, u32>,
}

/// So many starts in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Starts {
    pub(crate) count: u32,
    pub(crate) every: Duration,
}

impl Limits {
    /// No limit yet; keys take turns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets at most this many jobs of the queue run at once on all nodes (1 to 2,147,483,647).
    pub fn running(mut self, jobs: u32) -> Self {
        self.running = Some(jobs);
        self
    }

    /// Lets at most this many jobs of a key run at once on all nodes (1 to 2,147,483,647).
    pub fn running_per_key(mut self, jobs: u32) -> Self {
        self.running_per_key = Some(jobs);
        self
    }

    /// Lets this many jobs of the queue start in each period (1 ms to a hundred years) on all nodes.
    ///
    /// By a token bucket: it holds `jobs` and gets that many over each period, one by one. So after a pause
    /// that many may start at once, and in any one period at most twice as many start.
    pub fn starts(mut self, jobs: u32, every: Duration) -> Self {
        self.starts = Some(Starts { count: jobs, every });
        self
    }

    /// Lets this many jobs of each key start in each period, as [`starts`](Self::starts).
    pub fn starts_per_key(mut self, jobs: u32, every: Duration) -> Self {
        self.starts_per_key = Some(Starts { count: jobs, every });
        self
    }

    /// Lets a key start this many jobs in its turn (default 1, at most [`MAX_WEIGHT`]); at most
    /// [`MAX_WEIGHTS`] keys have a weight of their own.
    pub fn weight(mut self, key: impl Into<String>, weight: u32) -> Self {
        self.weights.insert(key.into(), weight);
        self
    }

    /// How soon a start may be possible again that a rate has held back.
    pub(crate) fn next_start_in(&self) -> Option<Duration> {
        let rates = [self.starts, self.starts_per_key].into_iter().flatten();
        rates.map(|starts| starts.every / starts.count.max(1)).min()
    }

    /// Says which option has which value, and what is expected.
    pub(crate) fn check(&self) -> Result<(), String> {
        let counts = [
            ("running", self.running),
            ("running_per_key", self.running_per_key),
            ("starts", self.starts.map(|starts| starts.count)),
            (
                "starts_per_key",
                self.starts_per_key.map(|starts| starts.count),
            ),
        ];
        for (option, count) in counts {
            if count.is_some_and(|count| count == 0 || i32::try_from(count).is_err()) {
                let count = count.unwrap_or_default();
                return Err(format!(
                    "Limits::{option} is {count}; expected 1 to {}; to run nothing, pause the queue",
                    i32::MAX
                ));
            }
        }
        for (option, starts) in [
            ("starts", self.starts),
            ("starts_per_key", self.starts_per_key),
        ] {
            let every = starts.map_or(MAX_WAIT, |starts| starts.every);
            if every < Duration::from_millis(1) || every > MAX_WAIT {
                return Err(format!(
                    "the period of Limits::{option} is {every:?}; expected 1ms to a hundred years"
                ));
            }
        }
        if self.weights.len() > MAX_WEIGHTS {
            let count = self.weights.len();
            return Err(format!(
                "Limits::weight is given for {count} keys; expected at most {MAX_WEIGHTS}"
            ));
        }
        for (key, weight) in &self.weights {
            check_name(NameOf::LimitKey, key).map_err(|why| why.to_string())?;
            if *weight == 0 || *weight > MAX_WEIGHT {
                return Err(format!(
                    "Limits::weight of {key:?} is {weight}; expected 1 to {MAX_WEIGHT}"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_option_value_and_expectation() {
        let second = Duration::from_secs(1);
        let refused = [
            (
                Limits::new().running(0),
                "Limits::running is 0; expected 1 to",
            ),
            (
                Limits::new().running_per_key(u32::MAX),
                "running_per_key is 4294967295",
            ),
            (
                Limits::new().starts(1, Duration::ZERO),
                "period of Limits::starts is 0ns",
            ),
            (
                Limits::new().starts_per_key(0, second),
                "starts_per_key is 0",
            ),
            (
                Limits::new().weight("a", 0),
                "weight of \"a\" is 0; expected 1 to 1000",
            ),
            (Limits::new().weight("a b", 1), "limit key \"a b\""),
        ];
        for (limits, part) in refused {
            let why = limits.check().unwrap_err();
            assert!(why.contains(part), "{why}");
        }
        let all = Limits::new()
            .running(1)
            .running_per_key(1)
            .starts(1, second);
        assert_eq!(all.weight("a", 1_000).check(), Ok(()));
    }

    #[test]
    fn the_quicker_of_two_rates_says_when_to_look_again() {
        let limits = Limits::new().running(3);
        assert_eq!(limits.next_start_in(), None);
        let limits = limits.starts(10, Duration::from_secs(1));
        assert_eq!(limits.next_start_in(), Some(Duration::from_millis(100)));
        let limits = limits.starts_per_key(100, Duration::from_secs(1));
        assert_eq!(limits.next_start_in(), Some(Duration::from_millis(10)));
    }
}
