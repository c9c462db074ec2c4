//! What this process holds: every attempt that was claimed and whose answer is not confirmed.
//!
//! Fetchers add to it a batch at a time, the ledger takes off a batch at a time, and whoever must stop
//! an attempt finds its signal here. Workers never touch it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::handler::{CancelReason, StopSignal};
use crate::job::{Attempt, ById, JobId};
use crate::store::ClaimedJob;

#[derive(Debug)]
struct Held {
    attempt: Attempt,
    queue: Arc<str>,
    signal: StopSignal,
    stands: Stands,
    /// A crash of the database has taken the claim back, and it was made again.
    is_claimed_again: bool,
}

/// What the row of an attempt says while it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stands {
    /// That it executes, on this node.
    ByItsRow,
    /// Nothing of it: an open transaction holds the job, in the express lane.
    InTheLane,
}

/// A queue may have jobs by their rows which nobody here holds.
#[derive(Debug, Default)]
struct Doubt {
    /// Nobody has looked for them.
    is_new: bool,
    /// When to look again for what a first look may have come too early for.
    again_at: Option<Instant>,
}

impl Doubt {
    fn is_due(&self, now: Instant) -> bool {
        self.is_new || self.again_at.is_some_and(|at| at <= now)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Custody {
    held: Mutex<ById<Held>>,
    doubts: Mutex<HashMap<Arc<str>, Doubt>>,
    /// How many claims and births of each queue are under way: what they bring is this node's already.
    under_way: Mutex<HashMap<Arc<str>, u32>>,
    /// The board is closing and its grace is over: what is cut off now was interrupted, not crashed.
    is_interrupting: AtomicBool,
    /// Queues that are being removed, and whose grace is over.
    interrupted: Mutex<HashSet<Arc<str>>>,
    released: Notify,
}

impl Custody {
    /// Takes claimed jobs into custody, and returns the signals of those that may run, each in its job's place.
    ///
    /// A job that is held already was claimed twice. With a higher attempt the new claim is the
    /// current one, and the old holder is told. With the same attempt a crash of the database took
    /// our first claim back and gave it again: who holds it goes on, and answers for both. Unless it has
    /// answered already, between the two; see [`dismiss`](Self::dismiss).
    pub(crate) fn admit(
        &self,
        jobs: &[ClaimedJob],
        queue: &Arc<str>,
        stands: Stands,
    ) -> Vec<Option<StopSignal>> {
        let mut held = self.lock();
        held.reserve(jobs.len());
        let admit = |job: &ClaimedJob| {
            if let Some(earlier) = held.get_mut(&job.id) {
                if earlier.attempt >= job.attempt {
                    earlier.is_claimed_again = true;
                    return None;
                }
                earlier.signal.stop(CancelReason::LeaseLost);
            }
            let signal = StopSignal::default();
            let entry = Held {
                attempt: job.attempt,
                queue: Arc::clone(queue),
                signal: signal.clone(),
                stands,
                is_claimed_again: false,
            };
            held.insert(job.id, entry);
            Some(signal)
        };
        jobs.iter().map(admit).collect()
    }

    /// Lets attempts go whose answers are confirmed, and says of each whether it was accepted. Returns the
    /// queues with a [doubt](Self::take_doubt): an answer that came between a claim that was taken back
    /// and the next one was refused, and the holder whom that next claim was left to is gone.
    pub(crate) fn dismiss(
        &self,
        settled: impl Iterator<Item = (JobId, Attempt, bool)>,
    ) -> HashSet<Arc<str>> {
        let mut held = self.lock();
        let mut doubts = HashSet::new();
        for (id, attempt, is_accepted) in settled {
            let Entry::Occupied(entry) = held.entry(id) else {
                continue;
            };
            if entry.get().attempt != attempt {
                continue;
            }
            let gone = entry.remove();
            if gone.is_claimed_again && !is_accepted {
                doubts.insert(gone.queue);
            }
        }
        for queue in &doubts {
            self.doubt(queue, None);
        }
        self.released.notify_waiters();
        doubts
    }

    /// This queue may have jobs by their rows which nobody here holds; some may get there by `again_at`.
    pub(crate) fn doubt(&self, queue: &Arc<str>, again_at: Option<Instant>) {
        let mut doubts = self.doubts();
        let doubt = doubts.entry(Arc::clone(queue)).or_default();
        doubt.is_new = true;
        doubt.again_at = doubt.again_at.max(again_at);
    }

    /// Whether somebody has to look for jobs of this queue that nobody here holds.
    pub(crate) fn is_in_doubt(&self, queue: &str) -> bool {
        let doubts = self.doubts();
        let doubt = doubts.get(queue);
        doubt.is_some_and(|doubt| doubt.is_due(Instant::now()))
    }

    /// Whether any queue is in doubt, now or later.
    pub(crate) fn is_any_in_doubt(&self) -> bool {
        !self.doubts().is_empty()
    }

    /// As [`is_in_doubt`](Self::is_in_doubt). Whoever asks looks for them.
    pub(crate) fn take_doubt(&self, queue: &str, now: Instant) -> bool {
        let mut doubts = self.doubts();
        let Some(doubt) = doubts.get_mut(queue) else {
            return false;
        };
        let is_due = doubt.is_due(now);
        doubt.is_new = false;
        doubt.again_at = doubt.again_at.filter(|at| *at > now);
        if doubt.again_at.is_none() {
            doubts.remove(queue);
        }
        is_due
    }

    /// A claim of this queue, or an enqueue that may be born, is about to be sent, until it has [come](Self::came).
    pub(crate) fn send_for(&self, queue: &Arc<str>) {
        *self.under_way().entry(Arc::clone(queue)).or_default() += 1;
    }

    /// What that has brought is in custody, or it brought nothing.
    pub(crate) fn came(&self, queue: &Arc<str>) {
        let mut under_way = self.under_way();
        if let Some(claims) = under_way.get_mut(queue) {
            *claims -= 1;
            if *claims == 0 {
                under_way.remove(queue);
            }
        }
        drop(under_way);
        self.released.notify_waiters();
    }

    /// Whether any claim or birth is under way.
    pub(crate) fn is_any_under_way(&self) -> bool {
        !self.under_way().is_empty()
    }

    /// Every attempt in custody that is this node's by its row, unless it was lost.
    pub(crate) fn held_by_row(&self) -> Vec<(JobId, Attempt)> {
        let held = self.lock();
        let by_row = held
            .iter()
            .filter(|(_, entry)| entry.stands == Stands::ByItsRow);
        by_row.map(|(id, entry)| (*id, entry.attempt)).collect()
    }

    /// These are executing by their rows now.
    pub(crate) fn left_the_lane(&self, jobs: impl Iterator<Item = (JobId, Attempt)>) {
        let mut held = self.lock();
        for (id, attempt) in jobs {
            if let Some(entry) = held.get_mut(&id)
                && entry.attempt == attempt
            {
                entry.stands = Stands::ByItsRow;
            }
        }
    }

    /// The attempts of one queue in custody.
    pub(crate) fn held_in(&self, queue: &str) -> Vec<(JobId, Attempt)> {
        let held = self.lock();
        let of_queue = held.iter().filter(|(_, entry)| &*entry.queue == queue);
        of_queue.map(|(id, entry)| (*id, entry.attempt)).collect()
    }

    /// Whether any attempt of one queue is in custody.
    pub(crate) fn is_held_in(&self, queue: &str) -> bool {
        let held = self.lock();
        held.values().any(|entry| &*entry.queue == queue)
    }

    /// How many attempts of each queue are in custody.
    pub(crate) fn count_by_queue(&self) -> HashMap<Arc<str>, usize> {
        let mut counts = HashMap::new();
        for entry in self.lock().values() {
            *counts.entry(Arc::clone(&entry.queue)).or_default() += 1;
        }
        counts
    }

    /// How many attempts are in custody.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Tells a job's holder to stop, whatever its attempt.
    pub(crate) fn stop(&self, id: JobId, reason: CancelReason) {
        if let Some(entry) = self.lock().get(&id) {
            entry.signal.stop(reason);
        }
    }

    /// Tells the holder of one attempt to stop.
    pub(crate) fn stop_attempt(&self, id: JobId, attempt: Attempt, reason: CancelReason) {
        if let Some(entry) = self
            .lock()
            .get(&id)
            .filter(|entry| entry.attempt == attempt)
        {
            entry.signal.stop(reason);
        }
    }

    /// The grace is over: every holder is told to stop, and what is cut off is not charged.
    pub(crate) fn interrupt(&self) {
        self.is_interrupting.store(true, Ordering::Release);
        self.lock()
            .values()
            .for_each(|entry| entry.signal.stop(CancelReason::Shutdown));
    }

    /// As [`interrupt`](Self::interrupt), for one queue, until it is [over](Self::interrupted).
    pub(crate) fn interrupt_in(&self, queue: &Arc<str>) {
        self.lock_interrupted().insert(Arc::clone(queue));
        let held = self.lock();
        let of_queue = held.values().filter(|entry| *entry.queue == **queue);
        of_queue.for_each(|entry| entry.signal.stop(CancelReason::Shutdown));
    }

    /// The queue that was interrupted is gone.
    pub(crate) fn interrupted(&self, queue: &str) {
        self.lock_interrupted().remove(queue);
    }

    pub(crate) fn is_interrupting(&self, queue: &str) -> bool {
        self.is_interrupting.load(Ordering::Acquire) || self.lock_interrupted().contains(queue)
    }

    /// Waits until nothing is in custody, and nothing on the way there.
    pub(crate) async fn empty(&self) {
        self.until(|held, under_way| held.is_empty() && under_way.is_empty())
            .await;
    }

    /// As [`empty`](Self::empty), for one queue.
    pub(crate) async fn empty_in(&self, queue: &str) {
        self.until(|held, under_way| {
            let is_held = held.values().any(|entry| &*entry.queue == queue);
            !is_held && !under_way.contains_key(queue)
        })
        .await;
    }

    /// Waits until no claim or birth of this queue is under way, or `is_enough`.
    pub(crate) async fn until_come(&self, queue: &str, is_enough: impl Fn() -> bool) {
        self.until(|_, under_way| is_enough() || !under_way.contains_key(queue))
            .await;
    }

    async fn until(&self, is_so: impl Fn(&ById<Held>, &HashMap<Arc<str>, u32>) -> bool) {
        loop {
            let released = self.released.notified();
            // In this order: a claim comes into custody before it is under way no more.
            let is_there = {
                let under_way = self.under_way();
                is_so(&self.lock(), &under_way)
            };
            if is_there {
                return;
            }
            released.await;
        }
    }

    fn lock_interrupted(&self) -> MutexGuard<'_, HashSet<Arc<str>>> {
        let interrupted = self.interrupted.lock();
        interrupted.unwrap_or_else(PoisonError::into_inner)
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Arc<str>, u32>> {
        // Nothing panics while it holds the lock.
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn doubts(&self) -> MutexGuard<'_, HashMap<Arc<str>, Doubt>> {
        // Nothing panics while it holds the lock.
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, ById<Held>> {
        // Nothing panics while it holds the lock, so a poisoned one guards a whole map.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_doubt_is_looked_after_at_once_and_again_when_nothing_can_come_any_more() {
        let (custody, queue, now) = (Custody::default(), Arc::from("mail"), Instant::now());
        let later = now + Duration::from_secs(1);
        assert!(!custody.take_doubt(&queue, now));
        custody.doubt(&queue, Some(later));
        custody.doubt(&queue, None);
        assert!(custody.is_in_doubt(&queue));
        assert!(custody.take_doubt(&queue, now));
        assert!(!custody.take_doubt(&queue, now));
        assert!(custody.is_any_in_doubt());
        assert!(custody.take_doubt(&queue, later));
        assert!(!custody.is_any_in_doubt());
    }
}
