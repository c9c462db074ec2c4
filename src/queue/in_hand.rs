//! What a worker has in hand, as a pure state machine: single items run in their order, and batches
//! gather until they are full, due, or can grow no more.

use std::collections::VecDeque;
use std::time::Instant;

use crate::handler::BatchLimits;

/// What a worker has in hand.
#[derive(Debug)]
pub(super) struct InHand<T> {
    /// What may run, in order.
    ready: VecDeque<Ready<T>>,
    gathering: Vec<Gathering<T>>,
}

#[derive(Debug)]
enum Ready<T> {
    One(Held<T>),
    /// The batch of this kind, with whoever is in it when it begins.
    Batch(String),
}

/// An item, and what to ask for once it is done.
#[derive(Debug)]
struct Held<T> {
    item: T,
    ask_after: u32,
    since: Instant,
}

#[derive(Debug)]
struct Gathering<T> {
    kind: String,
    limits: BatchLimits,
    held: VecDeque<Held<T>>,
    is_ready: bool,
}

/// What is to be run next, and what to ask for then.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Work<T> {
    One(T, u32),
    Many(Vec<T>, u32),
}

/// Whether more may come that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coming {
    Something,
    Nothing,
}

/// How an item runs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Runs<'a> {
    Alone,
    /// Together with others of this kind.
    Batched(&'a str, BatchLimits),
}

impl<T> InHand<T> {
    pub(super) fn new() -> Self {
        Self {
            ready: VecDeque::new(),
            gathering: Vec::new(),
        }
    }

    /// Takes an item that has waited in this process since then.
    pub(super) fn push(&mut self, item: T, runs: Runs<'_>, since: Instant, ask_after: u32) {
        let held = Held {
            item,
            ask_after,
            since,
        };
        match runs {
            Runs::Alone => self.ready.push_back(Ready::One(held)),
            Runs::Batched(kind, limits) => self.gathering_of(kind, limits).held.push_back(held),
        }
    }

    fn gathering_of(&mut self, kind: &str, limits: BatchLimits) -> &mut Gathering<T> {
        let known = self.gathering.iter().position(|batch| batch.kind == kind);
        let index = known.unwrap_or_else(|| {
            self.gathering.push(Gathering {
                kind: kind.to_owned(),
                limits,
                held: VecDeque::new(),
                is_ready: false,
            });
            self.gathering.len() - 1
        });
        &mut self.gathering[index]
    }

    /// Takes what is to be run next.
    pub(super) fn next(&mut self, now: Instant, coming: Coming) -> Option<Work<T>> {
        self.look(now, coming);
        match self.ready.pop_front()? {
            Ready::One(held) => Some(Work::One(held.item, held.ask_after)),
            Ready::Batch(kind) => self.batch(&kind),
        }
    }

    /// Lines up the batches that need not wait any longer.
    fn look(&mut self, now: Instant, coming: Coming) {
        if self.gathering.is_empty() {
            return;
        }
        // What is ready may ask for more when it is done.
        let coming = match self.ready.is_empty() {
            true => coming,
            false => Coming::Something,
        };
        for batch in &mut self.gathering {
            if !batch.is_ready && batch.may_run(now, coming) {
                batch.is_ready = true;
                self.ready.push_back(Ready::Batch(batch.kind.clone()));
            }
        }
    }

    fn batch(&mut self, kind: &str) -> Option<Work<T>> {
        let index = self.gathering.iter().position(|batch| batch.kind == kind)?;
        let batch = &mut self.gathering[index];
        let count = batch.held.len().min(batch.limits.size as usize);
        let taken: Vec<Held<T>> = batch.held.drain(..count).collect();
        batch.is_ready = false;
        if batch.held.is_empty() {
            self.gathering.swap_remove(index);
        }
        let ask_after = taken.iter().map(|held| held.ask_after).sum();
        let items = taken.into_iter().map(|held| held.item).collect();
        Some(Work::Many(items, ask_after))
    }

    /// Whether something may run now.
    pub(super) fn is_any_ready(&mut self, now: Instant, coming: Coming) -> bool {
        self.look(now, coming);
        !self.ready.is_empty()
    }

    /// When the next batch has waited long enough.
    pub(super) fn due(&self) -> Option<Instant> {
        let waiting = self.gathering.iter().filter(|batch| !batch.is_ready);
        waiting.filter_map(Gathering::due).min()
    }

    /// Forgets what was to be asked for: it belonged to a producer that is gone.
    pub(super) fn forget_asks(&mut self) {
        let ready = self.ready.iter_mut().filter_map(|ready| match ready {
            Ready::One(held) => Some(held),
            Ready::Batch(_) => None,
        });
        let gathering = self.gathering.iter_mut().flat_map(|batch| &mut batch.held);
        ready.chain(gathering).for_each(|held| held.ask_after = 0);
    }

    /// Takes everything out, in the order in which it would run, with what to ask for after each.
    pub(super) fn take(&mut self) -> Vec<(T, u32)> {
        let mut taken = Vec::new();
        let mut take = |held: Held<T>| taken.push((held.item, held.ask_after));
        for ready in self.ready.drain(..) {
            match ready {
                Ready::One(held) => take(held),
                // Its items are among those that gather.
                Ready::Batch(_) => {}
            }
        }
        let gathering = self.gathering.drain(..).flat_map(|batch| batch.held);
        gathering.for_each(take);
        taken
    }

    /// Drops everything, and tells what was to be asked for then.
    pub(super) fn clear(&mut self) -> u32 {
        self.take().iter().map(|(_, ask_after)| ask_after).sum()
    }
}

impl<T> Gathering<T> {
    fn due(&self) -> Option<Instant> {
        self.held
            .front()
            .map(|first| first.since + self.limits.wait)
    }

    fn may_run(&self, now: Instant, coming: Coming) -> bool {
        let is_full = self.held.len() >= self.limits.size as usize;
        is_full || coming == Coming::Nothing || self.due().is_some_and(|due| due <= now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: BatchLimits = BatchLimits {
        size: 3,
        wait: Duration::from_millis(100),
    };
    const ROWS: Runs<'_> = Runs::Batched("rows", LIMITS);

    #[test]
    fn a_batch_begins_when_it_is_full_and_the_rest_gathers_anew() {
        let (now, mut hand) = (Instant::now(), InHand::new());
        for row in 1..=4 {
            hand.push(row, ROWS, now, row);
        }
        let first = Work::Many(vec![1, 2, 3], 6);
        assert_eq!(hand.next(now, Coming::Something), Some(first));
        assert_eq!(hand.next(now, Coming::Something), None);
        assert_eq!(hand.due(), Some(now + LIMITS.wait));
        let rest = Work::Many(vec![4], 4);
        assert_eq!(hand.next(now + LIMITS.wait, Coming::Something), Some(rest));
        assert_eq!((hand.due(), hand.next(now, Coming::Nothing)), (None, None));
    }

    #[test]
    fn a_batch_waits_from_its_first_item_on_and_not_if_nothing_can_come() {
        let (now, mut hand) = (Instant::now(), InHand::new());
        let earlier = now - LIMITS.wait / 2;
        hand.push(1, ROWS, earlier, 0);
        hand.push(2, ROWS, now, 1);
        assert!(!hand.is_any_ready(now, Coming::Something));
        assert_eq!(hand.due(), Some(earlier + LIMITS.wait));
        assert!(hand.is_any_ready(now, Coming::Nothing));
        let both = Work::Many(vec![1, 2], 1);
        assert_eq!(hand.next(now, Coming::Something), Some(both));
    }

    #[test]
    fn without_a_wait_a_batch_takes_what_is_there() {
        let (now, mut hand) = (Instant::now(), InHand::new());
        let limits = BatchLimits {
            wait: Duration::ZERO,
            ..LIMITS
        };
        hand.push(1, Runs::Batched("rows", limits), now, 0);
        hand.push(2, Runs::Batched("rows", limits), now, 0);
        let both = Work::Many(vec![1, 2], 0);
        assert_eq!(hand.next(now, Coming::Something), Some(both));
    }

    #[test]
    fn what_is_in_hand_can_be_sorted_anew() {
        let (now, mut hand) = (Instant::now(), InHand::new());
        hand.push(1, Runs::Alone, now, 1);
        (2..=4).for_each(|row| hand.push(row, ROWS, now, row));
        assert!(hand.is_any_ready(now, Coming::Something));
        assert_eq!(hand.take(), [(1, 1), (2, 2), (3, 3), (4, 4)]);
        assert!(!hand.is_any_ready(now, Coming::Nothing));
        assert_eq!((hand.due(), hand.clear()), (None, 0));
    }

    #[test]
    fn others_run_on_while_a_batch_gathers() {
        let (now, mut hand) = (Instant::now(), InHand::new());
        hand.push(1, ROWS, now, 1);
        hand.push(2, Runs::Alone, now, 1);
        assert_eq!(hand.next(now, Coming::Something), Some(Work::One(2, 1)));
        hand.push(3, Runs::Alone, now, 1);
        hand.forget_asks();
        assert_eq!(hand.next(now, Coming::Nothing), Some(Work::One(3, 0)));
        assert_eq!(
            hand.next(now, Coming::Nothing),
            Some(Work::Many(vec![1], 0))
        );
    }
}
