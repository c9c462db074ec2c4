//! A job of a batch: its arguments, its own attempt, its own answer and what it leaves on its way.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::batch::{JobFacts, Post};
use super::context::InTransaction;
use super::stop::{CancelReason, StopSignal, ended};
use super::trail::{Trail, TrailOf};
use crate::job::{Attempt, Ending, JobId, Outcome, Transition};
use crate::store::{Holding, Settlement};
use crate::{BoxError, Error};

/// A job of a batch. It dereferences to its arguments.
pub struct Batched<J> {
    pub(super) job: J,
    pub(super) facts: JobFacts,
    pub(super) signal: StopSignal,
    /// Whether it was completed in a transaction of the handler's.
    pub(super) completed: Arc<AtomicBool>,
    /// Where its checkpoints go.
    pub(super) post: Post,
    pub(super) trail: TrailOf,
    pub(super) answering: Option<Answering>,
}

/// Answers the board for one job.
pub(crate) type Answering = Box<dyn FnOnce(Ending, Left) + Send + Sync>;

/// What its handler has left of a job that is answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    pub(crate) in_transaction: InTransaction,
    /// Whether there may be a checkpoint or progress, which its completion has to clear away.
    pub(crate) has_trail: bool,
}

impl Left {
    /// Its handler has not seen it.
    pub(super) const NOTHING: Self = Self {
        in_transaction: InTransaction::No,
        has_trail: false,
    };
}

impl<J> Batched<J> {
    /// The job's id: the idempotency key for its effects outside the database.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.facts.id
    }

    /// Which execution of the job this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        self.facts.attempt
    }

    /// How many of its attempts failed before this one.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.facts.failures
    }

    /// Whether a failure of this attempt buries the job.
    #[must_use]
    pub fn is_last_attempt(&self) -> bool {
        self.facts.failures + 1 >= self.facts.max_attempts
    }

    /// When the job was enqueued, by the database's clock.
    #[must_use]
    pub fn enqueued_at(&self) -> DateTime<Utc> {
        self.facts.enqueued_at
    }

    /// What a stage of the queue has attached to the job, of this type.
    #[must_use]
    pub fn attached<T: 'static>(&self) -> Option<&T> {
        self.facts.attachments.get()
    }

    /// As [`Context::traceparent`](crate::Context::traceparent).
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.facts.traceparent.as_deref()
    }

    /// Fires when this job should stop, though not the others.
    #[must_use]
    pub fn cancellation(&self) -> &CancellationToken {
        self.signal.token()
    }

    /// Why this job should stop, once it should.
    #[must_use]
    pub fn cancel_reason(&self) -> Option<CancelReason> {
        self.signal.reason()
    }

    /// Decides about this job alone, now. The first answer stands.
    pub fn answer(&mut self, outcome: Outcome) {
        self.end(Ok(outcome));
    }

    /// Fails this attempt alone, now: the error is kept with the job, which is retried by its policy.
    pub fn fail(&mut self, error: impl Into<BoxError>) {
        self.end(Err(error.into()));
    }

    fn end(&mut self, said: Result<Outcome, BoxError>) {
        if let Some(unanswered) = self.unanswered() {
            let ending = ended(said, unanswered.signal.reason());
            unanswered.answer(ending);
        }
    }

    /// As [`Context::checkpoint`](crate::Context::checkpoint), for this job alone; the batch that its next
    /// attempt runs in may be another one. Each is a round trip and a commit: a batch of many jobs keeps
    /// theirs at the same time, awaiting them together, and seldom. Once the job has an answer, no more is
    /// kept.
    ///
    /// # Examples
    ///
    /// ```
    /// use callboard::{Batch, BatchContext, BatchJob, BoxError, Outcome};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Upload {
    ///     parts: u32,
    /// }
    ///
    /// impl BatchJob for Upload {
    ///     const KIND: &'static str = "files.upload";
    ///
    ///     async fn perform_batch(
    ///         batch: &mut Batch<Self>,
    ///         _cx: &mut BatchContext<'_>,
    ///     ) -> Result<Outcome, BoxError> {
    ///         for upload in batch.iter_mut() {
    ///             let mut next = upload.resume::<u32>().await?.unwrap_or(0);
    ///             while next < upload.parts {
    ///                 // … upload a part …
    ///                 next += 1;
    ///                 upload.checkpoint(&next).await?;
    ///                 upload.progress(next.into(), upload.parts.into(), "parts uploaded");
    ///             }
    ///             upload.answer(Outcome::Done);
    ///         }
    ///         Ok(Outcome::Done)
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Context::checkpoint`](crate::Context::checkpoint).
    pub fn checkpoint<T>(
        &self,
        value: &T,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<J, T>
    where
        T: Serialize + DeserializeOwned + 'static,
    {
        self.trail().keep(value)
    }

    /// As [`Context::resume`](crate::Context::resume): what an earlier attempt of this job has kept, in
    /// whichever batch.
    ///
    /// # Errors
    ///
    /// As [`Context::resume`](crate::Context::resume).
    pub async fn resume<T: DeserializeOwned + 'static>(&self) -> Result<Option<T>, Error> {
        let trail = Arc::clone(self.trail());
        trail.resume().await
    }

    /// As [`Context::progress`](crate::Context::progress), of this job. The notes of each job of a batch are
    /// statements of their own.
    pub fn progress(&self, done: u64, of: u64, message: impl Into<String>) {
        self.trail().note(done, of, message.into());
    }

    fn trail(&self) -> &Arc<Trail> {
        let holding = Holding {
            id: self.facts.id,
            attempt: self.facts.attempt,
            node: self.post.node,
        };
        let trail = self
            .trail
            .begun(holding, &self.post.client, self.facts.lane_exit.as_ref());
        if self.answering.is_none() {
            trail.end();
        }
        trail
    }

    pub(super) fn unanswered(&mut self) -> Option<Unanswered> {
        let answering = self.answering.take()?;
        let in_transaction = match self.completed.load(Ordering::Acquire) {
            true => InTransaction::Completed,
            false => InTransaction::No,
        };
        self.trail.end();
        let left = Left {
            in_transaction,
            has_trail: self.trail.has_left(),
        };
        Some(Unanswered {
            signal: self.signal.clone(),
            left,
            answering,
        })
    }

    pub(super) fn completion(&self) -> Settlement {
        Settlement {
            id: self.facts.id,
            attempt: self.facts.attempt,
            transition: Transition::Complete { output: None },
            diagnostics: None,
            has_trail: false,
            ctid: None,
        }
    }
}

impl<J> Deref for Batched<J> {
    type Target = J;

    fn deref(&self) -> &J {
        &self.job
    }
}

impl<J> DerefMut for Batched<J> {
    fn deref_mut(&mut self) -> &mut J {
        &mut self.job
    }
}

impl<J> fmt::Debug for Batched<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batched")
            .field("facts", &self.facts)
            .field("is_answered", &self.answering.is_none())
            .finish_non_exhaustive()
    }
}

/// A job whose handler has ended without an answer for it.
pub(crate) struct Unanswered {
    pub(crate) signal: StopSignal,
    left: Left,
    answering: Answering,
}

impl Unanswered {
    pub(crate) fn answer(self, ending: Ending) {
        (self.answering)(ending, self.left);
    }
}
