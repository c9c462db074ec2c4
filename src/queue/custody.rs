//! What this process holds: every attempt that was claimed and whose answer is not confirmed.
//!
//! Fetchers add to it a batch at a time, the ledger takes off a batch at a time, and whoever must stop
//! an attempt finds its signal here. Workers never touch it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::handler::{CancelReason, StopSignal};
use crate::job::{Attempt, ById, JobId};
use crate::store::ClaimedJob;

#[derive(Debug)]
struct Held {
    attempt: Attempt,
    queue: Arc<str>,
    signal: StopSignal,
    /// A crash of the database has taken the claim back, and it was made again.
    is_claimed_again: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Custody {
    held: Mutex<ById<Held>>,
    /// Queues that have jobs by their rows which nobody here holds.
    doubts: Mutex<HashSet<Arc<str>>>,
    /// The board is closing and its grace is over: what is cut off now was interrupted, not crashed.
    is_interrupting: AtomicBool,
    /// Queues that are being removed, and whose grace is over.
    interrupted: Mutex<HashSet<Arc<str>>>,
    released: Notify,
}

impl Custody {
    /// Takes claimed jobs into custody, and returns those that may run, with their signals.
    ///
    /// A job that is held already was claimed twice. With a higher attempt the new claim is the
    /// current one, and the old holder is told. With the same attempt a crash of the database took
    /// our first claim back and gave it again: who holds it goes on, and answers for both. Unless it has
    /// answered already, between the two; see [`dismiss`](Self::dismiss).
    pub(crate) fn admit(
        &self,
        jobs: Vec<ClaimedJob>,
        queue: &Arc<str>,
    ) -> Vec<(ClaimedJob, StopSignal)> {
        let mut held = self.lock();
        let mut admitted = Vec::with_capacity(jobs.len());
        for job in jobs {
            if let Some(earlier) = held.get_mut(&job.id) {
                if earlier.attempt >= job.attempt {
                    earlier.is_claimed_again = true;
                    continue;
                }
                earlier.signal.stop(CancelReason::LeaseLost);
            }
            let signal = StopSignal::default();
            let entry = Held {
                attempt: job.attempt,
                queue: Arc::clone(queue),
                signal: signal.clone(),
                is_claimed_again: false,
            };
            held.insert(job.id, entry);
            admitted.push((job, signal));
        }
        admitted
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
            if held.get(&id).is_none_or(|entry| entry.attempt != attempt) {
                continue;
            }
            if let Some(gone) = held.remove(&id)
                && gone.is_claimed_again
                && !is_accepted
            {
                doubts.insert(gone.queue);
            }
        }
        if !doubts.is_empty() {
            let known = &mut *self.doubts.lock().unwrap_or_else(PoisonError::into_inner);
            known.extend(doubts.iter().map(Arc::clone));
        }
        self.released.notify_waiters();
        doubts
    }

    /// Whether this queue has jobs by their rows which nobody here may hold. Whoever asks looks for them.
    pub(crate) fn take_doubt(&self, queue: &str) -> bool {
        let mut doubts = self.doubts.lock().unwrap_or_else(PoisonError::into_inner);
        doubts.remove(queue)
    }

    /// Every attempt in custody.
    pub(crate) fn held(&self) -> Vec<(JobId, Attempt)> {
        self.lock()
            .iter()
            .map(|(id, entry)| (*id, entry.attempt))
            .collect()
    }

    /// The attempts of one queue in custody.
    pub(crate) fn held_in(&self, queue: &str) -> Vec<(JobId, Attempt)> {
        let held = self.lock();
        let of_queue = held.iter().filter(|(_, entry)| &*entry.queue == queue);
        of_queue.map(|(id, entry)| (*id, entry.attempt)).collect()
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

    /// Waits until nothing is in custody.
    pub(crate) async fn empty(&self) {
        self.until(|held| held.is_empty()).await;
    }

    /// Waits until nothing of one queue is in custody.
    pub(crate) async fn empty_in(&self, queue: &str) {
        self.until(|held| held.values().all(|entry| &*entry.queue != queue))
            .await;
    }

    async fn until(&self, is_so: impl Fn(&ById<Held>) -> bool) {
        loop {
            let released = self.released.notified();
            if is_so(&self.lock()) {
                return;
            }
            released.await;
        }
    }

    fn lock_interrupted(&self) -> MutexGuard<'_, HashSet<Arc<str>>> {
        let interrupted = self.interrupted.lock();
        interrupted.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, ById<Held>> {
        // Nothing panics while it holds the lock, so a poisoned one guards a whole map.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
