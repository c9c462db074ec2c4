//! What a handler knows of its attempt, and what it can do there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::batch::{JobFacts, Post};
use super::blocking::Blocking;
use super::lane_exit::{LaneExit, leave_lane};
use super::stop::{CancelReason, StopSignal};
use super::trail::{Trail, TrailOf};
use super::{Attachments, WorkerState};
use crate::client::Client;
use crate::job::{Attempt, JobId, NodeId, Transition};
use crate::store::{Executor, Settlement};
use crate::{BoxError, Error};

/// Where a worker's attempts run, one after the other.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) queue: Arc<str>,
    pub(crate) worker: Arc<str>,
    pub(crate) node: NodeId,
    pub(crate) client: Client,
}

/// What an attempt is born with.
#[derive(Debug)]
pub(crate) struct ContextParts {
    pub(crate) id: JobId,
    pub(crate) attempt: Attempt,
    pub(crate) failures: u32,
    pub(crate) max_attempts: u32,
    pub(crate) kind: Arc<str>,
    pub(crate) place: Arc<Place>,
    pub(crate) enqueued_at: DateTime<Utc>,
    pub(crate) deadline: Instant,
    pub(crate) signal: StopSignal,
    pub(crate) span: tracing::Span,
    pub(crate) attachments: Attachments,
    pub(crate) traceparent: Option<String>,
    /// Out of the express lane, where the row of its job does not say yet that it executes.
    pub(crate) lane_exit: Option<Arc<LaneExit>>,
}

/// Whether the handler has written its completion in a transaction of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum InTransaction {
    #[default]
    No,
    Completed,
}

/// What a handler knows of its attempt, and what it can do there.
#[derive(Debug)]
pub struct Context {
    parts: ContextParts,
    state: WorkerState,
    /// Whether a [`Completion`] was written, once somebody asked for one.
    completed: Option<Arc<AtomicBool>>,
    pub(super) trail: TrailOf,
}

impl Context {
    pub(crate) fn new(parts: ContextParts, state: WorkerState) -> Self {
        Self {
            parts,
            state,
            completed: None,
            trail: TrailOf::default(),
        }
    }

    /// Ends the attempt's view and gives the worker its state back.
    pub(crate) fn into_state(self) -> (WorkerState, InTransaction) {
        let is_completed = |completed: Arc<AtomicBool>| completed.load(Ordering::Acquire);
        let in_transaction = match self.completed.is_some_and(is_completed) {
            true => InTransaction::Completed,
            false => InTransaction::No,
        };
        (self.state, in_transaction)
    }

    pub(super) fn facts(&self) -> JobFacts {
        JobFacts {
            id: self.parts.id,
            attempt: self.parts.attempt,
            failures: self.parts.failures,
            max_attempts: self.parts.max_attempts,
            enqueued_at: self.parts.enqueued_at,
            attachments: self.parts.attachments.clone(),
            traceparent: self.parts.traceparent.clone(),
            lane_exit: self.parts.lane_exit.clone(),
        }
    }

    pub(super) fn post(&self) -> Post {
        Post {
            client: self.parts.place.client.clone(),
            node: self.parts.place.node,
        }
    }

    pub(super) fn lane_exit(&self) -> Option<&Arc<LaneExit>> {
        self.parts.lane_exit.as_ref()
    }

    pub(super) fn signal(&self) -> &StopSignal {
        &self.parts.signal
    }

    /// Whether the job was completed in a transaction, once somebody asked for that.
    pub(super) fn completed(&mut self) -> Arc<AtomicBool> {
        Arc::clone(self.completed.get_or_insert_default())
    }

    /// The job's id. It stays the same over all attempts, so it is the idempotency key for effects
    /// outside the database.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.parts.id
    }

    /// Which execution of the job this is, from 1. A number is used again in one case: when the
    /// database server crashes just after a claim, which commits asynchronously, it may forget the claim.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        self.parts.attempt
    }

    /// How many attempts failed before this one.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.parts.failures
    }

    /// Whether a failure of this attempt buries the job.
    #[must_use]
    pub fn is_last_attempt(&self) -> bool {
        self.parts.failures + 1 >= self.parts.max_attempts
    }

    /// The name under which the job was enqueued.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.parts.kind
    }

    /// The queue it was claimed from.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.parts.place.queue
    }

    /// What a [stage](crate::queue::Through) of the queue has attached to the job, of this type.
    #[must_use]
    pub fn attached<T: 'static>(&self) -> Option<&T> {
        self.parts.attachments.get()
    }

    /// The worker that runs it: its id in the queue's part of the tree.
    #[must_use]
    pub fn worker(&self) -> &str {
        &self.parts.place.worker
    }

    /// When the job was enqueued, by the database's clock.
    #[must_use]
    pub fn enqueued_at(&self) -> DateTime<Utc> {
        self.parts.enqueued_at
    }

    /// When the time limit passes.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.parts.deadline
    }

    /// How much of the time limit is left.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.parts
            .deadline
            .saturating_duration_since(Instant::now())
    }

    /// The process that runs this attempt.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.parts.place.node
    }

    /// The client of this board, to enqueue more.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.parts.place.client
    }

    /// The trace context of who enqueued the job, as W3C's `traceparent`, if there was one: see
    /// [`Client::trace_context`] and [`Call::traceparent`](crate::Call::traceparent). It is a field
    /// of the attempt's [span](Self::span), too, so that a layer can link the two traces.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.parts.traceparent.as_deref()
    }

    /// The attempt's own span; the handler already runs inside it. Its fields have the names of
    /// OpenTelemetry's conventions for messaging where there are such: `messaging.message.id` is the
    /// job, `messaging.destination.name` the queue. It begins a trace of its own.
    #[must_use]
    pub fn span(&self) -> &tracing::Span {
        &self.parts.span
    }

    /// Fires when the attempt should stop: wait for it beside your work. A handler that does not
    /// stop by itself is dropped at its next await after the queue's `cancel_grace`.
    #[must_use]
    pub fn cancellation(&self) -> &CancellationToken {
        self.parts.signal.token()
    }

    /// Why the attempt should stop, once it should.
    #[must_use]
    pub fn cancel_reason(&self) -> Option<CancelReason> {
        self.parts.signal.reason()
    }

    /// What the worker keeps across jobs: the value that the queue's `worker_state` factory built.
    ///
    /// # Errors
    ///
    /// [`Error::is_config`] when the queue's factory builds something else, or there is none.
    pub fn state<S: Send + 'static>(&mut self) -> Result<&mut S, Error> {
        let (queue, found) = (&self.parts.place.queue, self.state.type_name());
        let wanted = std::any::type_name::<S>();
        self.state.get::<S>().ok_or_else(|| {
            Error::config(format!(
                "a handler asks for the worker state {wanted}, but queue {queue:?} builds {found}; see \
                 Queue::worker_state"
            ))
        })
    }

    /// Completes the job on a connection of your own, in the transaction that is open there: its
    /// effects and its completion commit together, so neither happens without the other.
    ///
    /// Return [`Outcome::Done`](crate::Outcome::Done) after the commit. If the transaction rolls
    /// back, return an error, and the job is retried. For a connection that lies in the worker's
    /// state, see [`completion`](Self::completion).
    ///
    /// # Errors
    ///
    /// [`Error::is_lease_lost`] when this attempt is not the job's current one any more: roll back.
    pub async fn complete_in(&mut self, executor: impl Executor) -> Result<(), Error> {
        self.completion().complete_in(executor).await
    }

    /// The means to complete this job in a transaction, apart from the context: for a connection
    /// that is borrowed from the worker's [`state`](Self::state).
    ///
    /// # Examples
    ///
    /// ```
    /// use callboard::{BoxError, Context};
    /// use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
    ///
    /// async fn charge(cx: &mut Context, account: i64) -> Result<(), BoxError> {
    ///     let completion = cx.completion();
    ///     let connection = cx.state::<AsyncPgConnection>()?;
    ///     connection
    ///         .transaction(async |tx| {
    ///             diesel::sql_query("update accounts set charges = charges + 1 where id = $1")
    ///                 .bind::<diesel::sql_types::BigInt, _>(account)
    ///                 .execute(tx)
    ///                 .await?;
    ///             Ok(completion.complete_in(tx).await?)
    ///         })
    ///         .await
    /// }
    /// # callboard::functions![charge];
    /// ```
    pub fn completion(&mut self) -> Completion {
        Completion {
            id: self.parts.id,
            attempt: self.parts.attempt,
            node: self.parts.place.node,
            client: self.parts.place.client.clone(),
            lane_exit: self.parts.lane_exit.clone(),
            completed: self.completed(),
        }
    }

    /// Runs work that blocks its thread (files, computation, a synchronous library) outside the async
    /// threads, and waits for its value.
    ///
    /// Nobody can stop a blocked thread from outside. When the attempt is cancelled or its time limit
    /// passes, the handler ends, and `work` should ask [`Blocking::check`] now and then to end too;
    /// if it does not, its thread goes on until it is done, and its value is dropped.
    ///
    /// # Panics
    ///
    /// A panic in `work` goes on in the handler, as if it had happened there.
    ///
    /// # Errors
    ///
    /// Only when the runtime shuts down before `work` began.
    pub async fn spawn_blocking<T, F>(&self, work: F) -> Result<T, BoxError>
    where
        F: FnOnce(&Blocking) -> T + Send + 'static,
        T: Send + 'static,
    {
        self.block(Some(Arc::clone(self.trail())), work).await
    }

    pub(super) async fn block<T, F>(
        &self,
        trail: Option<Arc<Trail>>,
        work: F,
    ) -> Result<T, BoxError>
    where
        F: FnOnce(&Blocking) -> T + Send + 'static,
        T: Send + 'static,
    {
        let blocking = Blocking {
            token: self.parts.signal.token().child_token(),
            deadline: self.parts.deadline,
            client: self.parts.place.client.clone(),
            trail,
        };
        blocking.run(work).await
    }
}

/// The means to complete a job in a transaction of its handler's own; see [`Context::completion`].
#[derive(Debug)]
#[must_use = "the job is completed by complete_in"]
pub struct Completion {
    id: JobId,
    attempt: Attempt,
    node: NodeId,
    client: Client,
    lane_exit: Option<Arc<LaneExit>>,
    completed: Arc<AtomicBool>,
}

impl Completion {
    /// As [`Context::complete_in`].
    ///
    /// # Errors
    ///
    /// As [`Context::complete_in`].
    pub async fn complete_in(&self, executor: impl Executor) -> Result<(), Error> {
        leave_lane(self.lane_exit.as_deref()).await;
        let settlement = Settlement {
            id: self.id,
            attempt: self.attempt,
            transition: Transition::Complete { output: None },
            diagnostics: None,
            has_trail: false,
            ctid: None,
        };
        let store = self.client.store();
        let accepted = store.settle_on(executor, self.node, &[settlement]).await?;
        if accepted.is_empty() {
            return Err(Error::lease_lost(format!(
                "attempt {} of job {} is not the current one any more; its transaction must roll back",
                self.attempt, self.id
            )));
        }
        self.completed.store(true, Ordering::Release);
        Ok(())
    }
}
