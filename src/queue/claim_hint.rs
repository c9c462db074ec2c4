//! The lower bound that a fetcher gives to its claims: a hint that spares the walk over the index entries of
//! jobs claimed before, dead or executing.
//!
//! Without it one old snapshot anywhere in the database (a report, a dump) makes every claim re-read
//! all that was claimed since. With it, a job below the bound would be passed over: one that
//! committed late, returned, or is more urgent. So the bound is dropped whenever a claim comes back
//! short, when something more urgent is announced, and every second. Where many execute, claims that come back
//! short one after the other would read all of them each time; so there the bound is dropped a moment later.

use std::time::{Duration, Instant};

use crate::store::ClaimBound;

const KEPT_FOR: Duration = Duration::from_secs(1);
/// For so long it is kept after a claim that came back short among many.
pub(super) const KEPT_FOR_SHORT: Duration = Duration::from_millis(10);

/// What a claim brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Yield {
    /// All it wanted.
    Full,
    /// Less, and few execute.
    Short,
    /// Less, and many execute.
    ShortAmongMany,
}

#[derive(Debug)]
pub(super) struct ClaimHint {
    bound: ClaimBound,
    /// When a claim last was made without a bound.
    since: Instant,
    kept_for: Duration,
    /// The most urgent that came since the last claim began, which may not have seen it.
    unseen: Option<i16>,
}

impl ClaimHint {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            bound: ClaimBound::NONE,
            since: now,
            kept_for: KEPT_FOR,
            unseen: None,
        }
    }

    /// The bound for a claim that begins now.
    pub(super) fn above(&mut self, now: Instant) -> ClaimBound {
        self.unseen = None;
        if now.duration_since(self.since) >= self.kept_for {
            self.drop_bound(now);
        }
        self.bound
    }

    /// Learns from a claim: its last job, and whether it got all it wanted.
    pub(super) fn claimed(&mut self, last: Option<ClaimBound>, brought: Yield, now: Instant) {
        let is_passed_over =
            |last: ClaimBound| self.unseen.is_some_and(|came| came < last.priority);
        match last {
            Some(last) if brought != Yield::Short && !is_passed_over(last) => self.bound = last,
            None if brought == Yield::ShortAmongMany => {}
            _ => self.drop_bound(now),
        }
        if brought == Yield::ShortAmongMany {
            self.kept_for = KEPT_FOR_SHORT;
        }
    }

    /// Whether the claim that comes back was made with a bound, and so may have passed somebody over.
    pub(super) fn is_set(&self) -> bool {
        self.bound != ClaimBound::NONE
    }

    /// Learns that a job of this priority has come.
    pub(super) fn announced(&mut self, priority: i16, now: Instant) {
        self.unseen = Some(self.unseen.map_or(priority, |unseen| unseen.min(priority)));
        if priority < self.bound.priority {
            self.drop_bound(now);
        }
    }

    fn drop_bound(&mut self, now: Instant) {
        self.bound = ClaimBound::NONE;
        self.since = now;
        self.kept_for = KEPT_FOR;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: ClaimBound = ClaimBound {
        priority: 0,
        id: 100,
    };

    fn after_a_full_claim(now: Instant) -> ClaimHint {
        let mut hint = ClaimHint::new(now);
        hint.claimed(Some(LAST), Yield::Full, now);
        hint
    }

    #[test]
    fn a_full_claim_raises_the_bound_for_a_second() {
        let now = Instant::now();
        let mut hint = after_a_full_claim(now);
        assert_eq!(hint.above(now + KEPT_FOR / 2), LAST);
        assert_eq!(hint.above(now + KEPT_FOR), ClaimBound::NONE);
    }

    #[test]
    fn a_short_claim_drops_the_bound() {
        let now = Instant::now();
        let mut hint = after_a_full_claim(now);
        hint.claimed(Some(LAST), Yield::Short, now);
        assert_eq!(hint.above(now), ClaimBound::NONE);
    }

    #[test]
    fn something_more_urgent_that_comes_during_a_claim_is_not_passed_over() {
        let now = Instant::now();
        let mut hint = after_a_full_claim(now);
        hint.above(now);
        hint.announced(0, now);
        hint.announced(-1, now);
        hint.claimed(Some(LAST), Yield::Full, now);
        assert_eq!(hint.above(now), ClaimBound::NONE);
        hint.claimed(Some(LAST), Yield::Full, now);
        assert_eq!(hint.above(now), LAST);
    }

    #[test]
    fn only_something_more_urgent_drops_the_bound() {
        let now = Instant::now();
        let mut hint = after_a_full_claim(now);
        hint.announced(0, now);
        assert_eq!(hint.above(now), LAST);
        hint.announced(-1, now);
        assert_eq!(hint.above(now), ClaimBound::NONE);
    }

    #[test]
    fn a_short_claim_among_many_keeps_the_bound_for_a_moment() {
        let now = Instant::now();
        let mut hint = ClaimHint::new(now);
        hint.claimed(Some(LAST), Yield::ShortAmongMany, now);
        let soon = now + KEPT_FOR_SHORT / 2;
        assert_eq!(hint.above(soon), LAST);
        hint.claimed(None, Yield::ShortAmongMany, soon);
        assert_eq!(hint.above(soon), LAST);
        assert_eq!(hint.above(now + KEPT_FOR_SHORT), ClaimBound::NONE);
        hint.claimed(Some(LAST), Yield::Full, now + KEPT_FOR_SHORT);
        assert_eq!(hint.above(now + KEPT_FOR), LAST);
    }
}
