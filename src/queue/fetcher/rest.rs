//! Rest after a look in vain that took long.
//!
//! A claim that finds nothing is quick, unless it walks over many jobs that it may not have: an open transaction has
//! enqueued them, or an old snapshot keeps them. Each announcement would have it walk again, one claim after the
//! other, which keeps a processor of the server busy for nothing. So after the second such claim in a row it rests
//! for twice as long as that took before the next announcement counts. (One alone may have had to connect.)

use std::time::{Duration, Instant};

/// A claim that takes as long may have waited for the network or the processor alone; then a rest helps as well.
const LONG: Duration = Duration::from_millis(50);
const REST_OF_CLAIMS: u32 = 2;
/// A job may have become visible meanwhile.
const LONGEST: Duration = Duration::from_millis(250);

#[derive(Debug, Default)]
pub(super) struct Rest {
    /// The last claim took long, in vain.
    was_long: bool,
    until: Option<Instant>,
    /// Somebody looks when it is over.
    is_look_due: bool,
}

/// What is to be done about an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Now,
    /// When the rest is over.
    In(Duration),
    /// It was said already that somebody looks when it is over.
    IsDue,
}

impl Rest {
    /// A claim has come back after this time.
    pub(super) fn claimed(&mut self, jobs: usize, took: Duration, now: Instant) {
        let is_long = jobs == 0 && took >= LONG;
        let is_due = is_long && self.was_long;
        *self = Self {
            was_long: is_long,
            until: is_due.then(|| now + (took * REST_OF_CLAIMS).min(LONGEST)),
            is_look_due: false,
        };
    }

    /// Something was announced.
    pub(super) fn announced(&mut self, now: Instant) -> Look {
        let Some(until) = self.until.filter(|until| *until > now) else {
            return Look::Now;
        };
        match std::mem::replace(&mut self.is_look_due, true) {
            true => Look::IsDue,
            false => Look::In(until - now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_is_announced_during_a_rest_is_looked_for_once_when_it_is_over() {
        let (mut rest, now) = (Rest::default(), Instant::now());
        assert_eq!(rest.announced(now), Look::Now);
        rest.claimed(0, 60 * MS, now);
        assert_eq!(rest.announced(now), Look::Now, "after the first");
        rest.claimed(0, 60 * MS, now);
        assert_eq!(rest.announced(now + 10 * MS), Look::In(110 * MS));
        assert_eq!(rest.announced(now + 20 * MS), Look::IsDue);
        assert_eq!(rest.announced(now + 120 * MS), Look::Now);
        rest.claimed(0, 10_000 * MS, now);
        assert_eq!(rest.announced(now), Look::In(LONGEST));
    }

    #[test]
    fn there_is_no_rest_after_a_quick_claim_or_one_that_found_something() {
        let (mut rest, now) = (Rest::default(), Instant::now());
        for (jobs, took) in [(1, 60 * MS), (0, LONG - MS)] {
            rest.claimed(0, 60 * MS, now);
            rest.claimed(jobs, took, now);
            assert_eq!(rest.announced(now), Look::Now);
        }
    }
}
