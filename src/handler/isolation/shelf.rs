//! The isolates of one kind that have nothing to do, and how an attempt gets one and gives it back.
//!
//! Shared between the handler, which runs in any worker, and the board's part that ends what idles too long.
//! The isolates that run are no part of it: each belongs to its attempt.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::Isolation;
use super::frame::{Attempt, Said};
use super::isolate::Isolate;
use crate::handler::{FailedElsewhere, StopSignal};
use crate::job::{Kind, Outcome};
use crate::{BoxError, Error};

/// How long a job waits whose isolate could not be started.
const START_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The idle isolates of a kind.
#[derive(Debug, Clone)]
pub(crate) struct Shelf(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    names: Vec<String>,
    isolation: Isolation,
    idle: Mutex<Idle>,
}

/// Never held across an await.
#[derive(Debug, Default)]
struct Idle {
    /// The one used last is the last, and the first to be used again; so what is too many idles.
    isolates: Vec<(Isolate, Instant)>,
    /// Why the last one could not be started.
    trouble: Option<String>,
}

/// An attempt for an isolate, with what stays on this side.
pub(super) struct Errand {
    pub(super) attempt: Attempt,
    pub(super) deadline: Instant,
    pub(super) signal: StopSignal,
    /// Whether the handler has completed its job in a transaction of its own.
    pub(super) completed: Arc<AtomicBool>,
}

impl Shelf {
    pub(super) fn new(kind: &Kind, isolation: Isolation) -> Self {
        Self(Arc::new(Inner {
            names: kind.names().map(str::to_owned).collect(),
            isolation,
            idle: Mutex::default(),
        }))
    }

    /// The names of the kind; the first is its own.
    pub(super) fn names(&self) -> &[String] {
        &self.0.names
    }

    pub(super) fn isolation(&self) -> &Isolation {
        &self.0.isolation
    }

    /// Starts an isolate, to find out whether that works, and keeps it.
    pub(crate) async fn prepare(&self) -> Result<(), Error> {
        self.keep(Isolate::start(self).await?);
        Ok(())
    }

    /// Runs an attempt in an isolate.
    pub(super) async fn perform(self, errand: Errand) -> Result<Outcome, BoxError> {
        let Errand {
            mut attempt,
            deadline,
            signal,
            completed,
        } = errand;
        let mut isolate = match self.take().await {
            Ok(isolate) => isolate,
            Err(error) if signal.reason().is_some() => return Err(error.into()),
            // The node's trouble is none of the job's, and is told by its health.
            Err(_) => return Ok(Outcome::Snooze(START_AGAIN_AFTER)),
        };
        attempt.time_left = deadline.saturating_duration_since(Instant::now());
        let ended = match isolate.perform(attempt, &signal).await {
            Ok(ended) => ended,
            Err(cause) => return Err(FailedElsewhere(isolate.failure(&cause).await).into()),
        };
        completed.store(ended.is_completed, Ordering::Release);
        let is_worn_out = self
            .0
            .isolation
            .jobs_per_process
            .is_some_and(|jobs| isolate.jobs() >= jobs);
        // What a panic has left half done must not meet the next job.
        if is_worn_out || matches!(ended.said, Said::Panicked { .. }) {
            tokio::spawn(isolate.end());
        } else {
            self.keep(isolate);
        }
        ended
            .said
            .outcome()
            .map_err(|failure| FailedElsewhere(failure).into())
    }

    async fn take(&self) -> Result<Isolate, Error> {
        while let Some((isolate, _)) = self.take_idle() {
            if isolate.is_there() {
                return Ok(isolate);
            }
        }
        let started = Isolate::start(self).await;
        let trouble = started.as_ref().err().map(ToString::to_string);
        if let Some(trouble) = &trouble {
            tracing::warn!(trouble, "a job waits for its isolate");
        }
        self.idle().trouble = trouble;
        started
    }

    fn take_idle(&self) -> Option<(Isolate, Instant)> {
        self.idle().isolates.pop()
    }

    fn keep(&self, isolate: Isolate) {
        self.idle().isolates.push((isolate, Instant::now()));
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        // Nothing panics while it holds the lock.
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends those that have had nothing to do for too long, and buries the dead.
    pub(crate) async fn end_idle(&self) {
        let keep_for = self.0.isolation.idle_for;
        self.end_those(|isolate, since| since.elapsed() > keep_for || !isolate.is_there())
            .await;
    }

    /// Ends all that have nothing to do.
    pub(crate) async fn clear(&self) {
        self.end_those(|_, _| true).await;
    }

    async fn end_those(&self, is_over: impl Fn(&Isolate, Instant) -> bool) {
        let over: Vec<_> = {
            let mut idle = self.idle();
            let is_over = |(isolate, since): &mut (Isolate, Instant)| is_over(isolate, *since);
            idle.isolates.extract_if(.., is_over).collect()
        };
        join_all(over.into_iter().map(|(isolate, _)| isolate.end())).await;
    }

    /// Why the last isolate could not be started, if it could not.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.idle().trouble.clone()
    }
}
