//! The attempts that run on a test's board: what each meets with, and who is at it.
//!
//! Handlers are wrapped when the board is built. Without a mishap they run as ever.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::BoxError;
use crate::handler::Handler;
use crate::job::{Attempt, JobId, Outcome};

/// What happens to an attempt instead of its handler's run. In a batch it happens to the whole batch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mishap {
    /// The handler panics with this text.
    Panic(Cow<'static, str>),
    /// The handler fails with this text.
    Fail(Cow<'static, str>),
    /// The handler works for ever; it stops when its attempt is told to.
    Hang,
    /// The process exits with this code, at once. For tests that start processes.
    Exit(i32),
}

impl Mishap {
    /// A panic with this text.
    pub fn panic(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Panic(text.into())
    }

    /// A failure with this text.
    pub fn fail(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Fail(text.into())
    }

    pub(super) async fn happen(self, cancellation: CancellationToken) -> Result<Outcome, BoxError> {
        match self {
            Self::Panic(text) => panic!("{text}"),
            Self::Fail(text) => Err(text.into()),
            Self::Exit(code) => std::process::exit(code),
            Self::Hang => {
                cancellation.cancelled().await;
                Err("hung until it was told to stop".into())
            }
        }
    }
}

/// An attempt that runs now.
#[derive(Debug, Clone)]
pub(super) struct Running {
    pub(super) attempt: Attempt,
    pub(super) queue: String,
    pub(super) worker: String,
    /// Makes the handler panic.
    pub(super) crash: Arc<Notify>,
}

/// What happens to the attempts of a board, and which run.
#[derive(Debug, Clone, Default)]
pub(super) struct Attempts(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    mishaps: Mutex<HashMap<(String, i32), Mishap>>,
    running: watch::Sender<HashMap<JobId, Running>>,
}

impl Attempts {
    pub(super) fn set(&self, kind: String, attempt: i32, mishap: Mishap) {
        self.mishaps().insert((kind, attempt), mishap);
    }

    pub(super) fn clear(&self) {
        self.mishaps().clear();
    }

    /// The attempts that run, and a way to wait for a change.
    pub(super) fn running(&self) -> watch::Receiver<HashMap<JobId, Running>> {
        self.0.running.subscribe()
    }

    /// What a worker runs, if it runs something.
    pub(super) fn run_by(&self, queue: &str, worker: &str) -> Option<Running> {
        let running = self.0.running.borrow();
        let is_its_own = |attempt: &&Running| attempt.queue == queue && attempt.worker == worker;
        running.values().find(is_its_own).cloned()
    }

    /// The same handler, watched.
    pub(super) fn wrap(&self, mut handler: Handler) -> Handler {
        let (attempts, run) = (self.clone(), handler.run);
        handler.run = Arc::new(move |cx, stored| {
            let attempt = (cx.job_id(), cx.attempt());
            let begun = attempts.begin(attempt, cx.queue(), cx.worker());
            let performed = match attempts.mishap_of(cx.kind(), cx.attempt()) {
                Some(mishap) => Box::pin(mishap.happen(cx.cancellation().clone())),
                None => run(cx, stored)?,
            };
            Ok(Box::pin(async move {
                tokio::select! {
                    biased;
                    () = begun.crash.notified() => panic!("crashed by a test"),
                    performed = performed => performed,
                }
            }))
        });
        handler.batch = handler.batch.map(|batch| self.wrap_batch(batch));
        handler
    }

    pub(super) fn begin(&self, attempt: (JobId, Attempt), queue: &str, worker: &str) -> Begun {
        let crash = Arc::new(Notify::new());
        let (job, number) = attempt;
        let running = Running {
            attempt: number,
            queue: queue.to_owned(),
            worker: worker.to_owned(),
            crash: Arc::clone(&crash),
        };
        self.0.running.send_modify(|all| {
            all.insert(job, running);
        });
        Begun {
            attempts: self.clone(),
            key: attempt,
            crash,
        }
    }

    pub(super) fn mishap_of(&self, kind: &str, attempt: Attempt) -> Option<Mishap> {
        let mishaps = self.mishaps();
        if mishaps.is_empty() {
            return None;
        }
        let key = (kind.to_owned(), attempt.as_i32());
        mishaps.get(&key).cloned()
    }

    fn mishaps(&self) -> MutexGuard<'_, HashMap<(String, i32), Mishap>> {
        self.0
            .mishaps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks an attempt as running until it is dropped.
pub(super) struct Begun {
    attempts: Attempts,
    key: (JobId, Attempt),
    /// Told by a test that wants the handler to panic.
    pub(super) crash: Arc<Notify>,
}

impl Drop for Begun {
    fn drop(&mut self) {
        let (job, attempt) = self.key;
        self.attempts.0.running.send_modify(|all| {
            // A later attempt of the job may run here already, if this one had lost its lease.
            if all
                .get(&job)
                .is_some_and(|running| running.attempt == attempt)
            {
                all.remove(&job);
            }
        });
    }
}
