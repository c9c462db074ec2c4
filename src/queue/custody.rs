//! What this process holds: every attempt that was claimed and whose answer is not confirmed.
//!
//! Fetchers add to it a batch at a time, the ledger takes off a batch at a time, and whoever must stop
//! an attempt finds its signal here. Workers never touch it.

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
}

#[derive(Debug, Default)]
pub(crate) struct Custody {
    held: Mutex<ById<Held>>,
    /// The board is closing and its grace is over: what is cut off now was interrupted, not crashed.
    is_interrupting: AtomicBool,
    released: Notify,
}

impl Custody {
    /// Takes claimed jobs into custody, and returns those that may run, with their signals.
    ///
    /// A job that is held already was claimed twice. With a higher attempt the new claim is the
    /// current one, and the old holder is told. With the same attempt a crash of the database took
    /// our first claim back and gave it again: who holds it goes on, and answers for both.
    pub(crate) fn admit(
        &self,
        jobs: Vec<ClaimedJob>,
        queue: &Arc<str>,
    ) -> Vec<(ClaimedJob, StopSignal)> {
        let mut held = self.lock();
        let mut admitted = Vec::with_capacity(jobs.len());
        for job in jobs {
            if let Some(earlier) = held.get(&job.id) {
                if earlier.attempt >= job.attempt {
                    continue;
                }
                earlier.signal.stop(CancelReason::LeaseLost);
            }
            let signal = StopSignal::default();
            let entry = Held {
                attempt: job.attempt,
                queue: Arc::clone(queue),
                signal: signal.clone(),
            };
            held.insert(job.id, entry);
            admitted.push((job, signal));
        }
        admitted
    }

    /// Lets attempts go whose answers are confirmed.
    pub(crate) fn dismiss(&self, settled: impl Iterator<Item = (JobId, Attempt)>) {
        let mut held = self.lock();
        for (id, attempt) in settled {
            if held.get(&id).is_some_and(|entry| entry.attempt == attempt) {
                held.remove(&id);
            }
        }
        if held.is_empty() {
            self.released.notify_waiters();
        }
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

    pub(crate) fn is_interrupting(&self) -> bool {
        self.is_interrupting.load(Ordering::Acquire)
    }

    /// Waits until nothing is in custody.
    pub(crate) async fn empty(&self) {
        loop {
            let released = self.released.notified();
            if self.lock().is_empty() {
                return;
            }
            released.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, ById<Held>> {
        // Nothing panics while it holds the lock, so a poisoned one guards a whole map.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
