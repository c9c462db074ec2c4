//! News of jobs that were buried, on their way from whoever wrote it to whoever wants to know.
//!
//! Who buries never waits: what comes while too many wait is counted and not told. The letters are in
//! the table, whatever becomes of the news.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::Attempted;
use crate::job::{Attempt, BuryReason, ErrorFingerprint, Failure, JobId, Transition};

/// How many burials may wait to be told.
const CAPACITY: usize = 1_000;

/// A job that was buried among the dead letters.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Buried {
    /// The job.
    pub job: JobId,
    /// Its last attempt.
    pub attempt: Attempt,
    /// Its kind.
    pub kind: String,
    /// Its queue.
    pub queue: Arc<str>,
    /// The worker that ran it; `None` if its handler never began, or its process died.
    pub worker: Option<Arc<str>>,
    /// How long its last attempt ran.
    pub ran: Option<Duration>,
    /// When it ended; the letter was written a little later.
    pub ended_at: SystemTime,
    /// The class of the reason.
    pub reason: BuryReason,
    /// What went wrong in the end.
    pub failure: Failure,
    /// What that has in common with other errors; see [`DeadFilter::error`](crate::DeadFilter::error).
    pub error_fingerprint: ErrorFingerprint,
}

impl Attempted {
    /// The burial, if the attempt buried its job.
    #[must_use]
    pub fn buried(&self) -> Option<Buried> {
        let Transition::Bury { reason, failure } = &self.transition else {
            return None;
        };
        self.is_accepted.then(|| Buried {
            job: self.job,
            attempt: self.attempt,
            kind: self.kind.clone(),
            queue: Arc::clone(&self.queue),
            worker: self.worker.clone(),
            ran: self.ran,
            ended_at: self.ended_at,
            reason: *reason,
            error_fingerprint: failure.fingerprint(),
            failure: failure.clone(),
        })
    }
}

type Wake = Arc<dyn Fn() + Send + Sync>;

/// Burials that wait to be told. It outlives whoever tells them.
pub(crate) struct Burials {
    sender: Sender<Buried>,
    waiting: Arc<Mutex<Receiver<Buried>>>,
    wake: RwLock<Option<Wake>>,
    untold: AtomicU64,
}

impl Burials {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = channel(CAPACITY);
        Self {
            sender,
            waiting: Arc::new(Mutex::new(receiver)),
            wake: RwLock::new(None),
            untold: AtomicU64::new(0),
        }
    }

    /// Somebody comes who tells them: `wake` reaches it from now on.
    pub(crate) async fn attend(
        &self,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> OwnedMutexGuard<Receiver<Buried>> {
        let waiting = Arc::clone(&self.waiting).lock_owned().await;
        *self.wake.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(wake));
        waiting
    }

    /// Passes these on, without waiting.
    pub(crate) fn tell(&self, burials: impl Iterator<Item = Buried>) {
        let mut is_any = false;
        for buried in burials {
            is_any = true;
            // It is never closed, since self keeps the receiver.
            if self.sender.try_send(buried).is_err() {
                self.untold.fetch_add(1, Ordering::Relaxed);
            }
        }
        let wake = self.wake.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(wake) = wake.as_ref().filter(|_| is_any) {
            wake();
        }
    }

    /// How many have not been told since the last look.
    pub(crate) fn take_untold(&self) -> u64 {
        self.untold.swap(0, Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Burials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Burials").finish_non_exhaustive()
    }
}
