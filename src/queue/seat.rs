//! A worker's seat: what is known of the worker from one life to the next, without asking it.
//!
//! The worker alone writes what it is at; everybody may read. A worker that was killed leaves its
//! seat as it found it, since whatever it was at is noted by a value that it drops.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::handler::Registered;
use crate::job::{Attempt, JobId};

pub(crate) struct Seat {
    pub(crate) number: u32,
    /// The name of the worker, and its id in the tree.
    pub(crate) name: Arc<str>,
    /// Its worker is one too many: it goes as soon as it runs no job.
    is_leaving: AtomicBool,
    /// Attempts that its workers have ended, however.
    done: AtomicU64,
    /// For how long they were at it, in nanoseconds.
    busy_ns: AtomicU64,
    at: Mutex<At>,
    wake: Mutex<Option<Wake>>,
}

type Wake = Box<dyn Fn() + Send>;

/// What the worker is at.
#[derive(Debug, Default)]
struct At {
    now: Option<Occupation>,
    last: Option<JobId>,
}

/// What runs an attempt.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) worker: Arc<str>,
    pub(crate) handler: Arc<Registered>,
}

/// An attempt, or a batch of them, that a worker runs.
#[derive(Debug, Clone)]
pub(crate) struct Occupation {
    /// The job; of a batch, its first.
    pub(crate) job: JobId,
    pub(crate) attempt: Attempt,
    pub(crate) by: Arc<Bench>,
    pub(crate) since: Instant,
    /// How many jobs there are.
    pub(crate) jobs: u32,
}

/// The seat says that its worker is busy until this is dropped.
#[derive(Debug)]
#[must_use = "the seat is free again when this is dropped"]
pub(super) struct Busy<'a> {
    seat: &'a Seat,
    ended: Option<Instant>,
}

impl Seat {
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            name: format!("worker-{number}").into(),
            is_leaving: AtomicBool::new(false),
            done: AtomicU64::new(0),
            busy_ns: AtomicU64::new(0),
            at: Mutex::default(),
            wake: Mutex::default(),
        }
    }

    /// A worker has come: `wake` reaches it from now on.
    pub(super) fn attend(&self, wake: impl Fn() + Send + 'static) {
        *self.waking() = Some(Box::new(wake));
    }

    /// Wakes its worker, between two jobs, to look what has changed.
    pub(crate) fn wake(&self) {
        if let Some(wake) = &*self.waking() {
            wake();
        }
    }

    pub(super) fn occupy(&self, occupation: Occupation) -> Busy<'_> {
        self.lock().now = Some(occupation);
        Busy {
            seat: self,
            ended: None,
        }
    }

    pub(crate) fn occupation(&self) -> Option<Occupation> {
        self.lock().now.clone()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.lock().now.is_some()
    }

    /// The job that was run here last.
    pub(crate) fn last_job(&self) -> Option<JobId> {
        self.lock().last
    }

    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// For how long its workers have run jobs until now.
    pub(super) fn busy_for(&self, now: Instant) -> Duration {
        let at = self.lock();
        let over = Duration::from_nanos(self.busy_ns.load(Ordering::Relaxed));
        let current = at.now.as_ref().map(|now| now.since);
        over + current.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Acquire)
    }

    pub(super) fn leave(&self) {
        self.is_leaving.store(true, Ordering::Release);
    }

    fn waking(&self) -> MutexGuard<'_, Option<Wake>> {
        // Nothing panics while it holds the lock.
        self.wake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, At> {
        // Nothing panics while it holds the lock.
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Busy<'_> {
    /// What it was at has ended then, which is now if nobody says.
    pub(super) fn over(mut self, ended: Instant) {
        self.ended = Some(ended);
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut at = self.seat.lock();
        if let Some(over) = at.now.take() {
            at.last = Some(over.job);
            let ended = self.ended.unwrap_or_else(Instant::now);
            let busy = ended.saturating_duration_since(over.since);
            let (busy_ns, jobs) = (busy.as_nanos() as u64, u64::from(over.jobs));
            self.seat.busy_ns.fetch_add(busy_ns, Ordering::Relaxed);
            self.seat.done.fetch_add(jobs, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat")
            .field("name", &self.name)
            .field("at", &*self.lock())
            .finish_non_exhaustive()
    }
}
