//! One run of a handler without a board: [`perform`].

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::handler::{
    Attachments, Context, ContextParts, Handler, Job, Place, Shelf, StopSignal, WorkerState,
    install_hook, kept, kept_as,
};
use crate::job::{
    Attempt, Budget, Call, Ending, Failure, JobId, NodeId, Outcome, Stored, Transition, transition,
};
use crate::queue::{DEFAULT_CANCEL_GRACE, Performing};
use crate::store::{DEFAULT_SCHEMA, Kept};

/// Runs one job as a worker would, without a database: its arguments are written and read again, its
/// handler runs under its time limit, a panic is caught, and what it decides becomes what would
/// change. Await it, after saying what the attempt is like.
///
/// With tokio's clock paused, sleeps and time limits pass at once. The context's client has no
/// database unless you [give](Perform::client) it one.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callboard::job::{Failure, Transition};
/// use callboard::testing::perform;
/// use callboard::{BoxError, Context, Job, Outcome};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Charge { cents: i64 }
///
/// impl Job for Charge {
///     const KIND: &'static str = "billing.charge";
///
///     async fn perform(self, cx: &mut Context) -> Result<Outcome, BoxError> {
///         match self.cents {
///             0 => Ok(Outcome::Cancel("nothing to charge".into())),
///             _ if cx.attempt().is_first() => Err("the bank is closed".into()),
///             cents => Outcome::done_with(&cents),
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let free = perform(Charge { cents: 0 }).await;
/// assert_eq!(free.outcome(), Some(&Outcome::Cancel("nothing to charge".into())));
///
/// let closed = perform(Charge { cents: 5 }).await;
/// assert_eq!(closed.failure().unwrap().message, "the bank is closed");
/// assert!(matches!(closed.transition(), Transition::Retry { .. }));
///
/// let second = perform(Charge { cents: 5 }).attempt(2).await;
/// assert_eq!(second.output(), Some(&5.into()));
/// # }
/// ```
pub fn perform<J: Job>(job: J) -> Perform {
    Perform::new(Handler::of::<J>(), job.into())
}

/// As [`perform`], for a function:
/// `perform_call(function!(reports::generate), call!(reports::generate(2026)))`.
pub fn perform_call(handler: impl Into<Handler>, call: impl Into<Call>) -> Perform {
    Perform::new(handler.into(), call.into())
}

/// One run of a handler, before it is awaited.
#[derive(Debug)]
#[must_use = "a run does nothing until it is awaited"]
pub struct Perform {
    handler: Handler,
    call: Call,
    attempt: u32,
    failures: Option<u32>,
    state: WorkerState,
    client: Option<Client>,
    signal: StopSignal,
    attachments: Attachments,
    shelf: Arc<Shelf>,
}

impl Perform {
    fn new(handler: Handler, call: Call) -> Self {
        Self {
            handler,
            call,
            attempt: 1,
            failures: None,
            state: WorkerState::new(()),
            client: None,
            signal: StopSignal::default(),
            attachments: Attachments::default(),
            shelf: Arc::default(),
        }
    }

    /// Makes it this execution of the job (default 1), and all before it failures.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt.max(1);
        self
    }

    /// Says how many attempts failed before (default: all).
    pub fn failures(mut self, failures: u32) -> Self {
        self.failures = Some(failures);
        self
    }

    /// Gives the handler this worker state.
    pub fn state<S: Send + 'static>(mut self, state: S) -> Self {
        self.state = WorkerState::new(state);
        self
    }

    /// Gives the handler this client, for what it enqueues.
    pub fn client(mut self, client: &Client) -> Self {
        self.client = Some(client.clone());
        self
    }

    /// Attaches a value for the handler, as a stage of the queue would.
    pub fn attach<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.attachments.attach(value);
        self
    }

    /// Lets it resume from this checkpoint, as if an earlier attempt had kept it.
    ///
    /// # Panics
    ///
    /// When the value cannot be kept.
    pub fn checkpoint<T>(self, value: &T) -> Self
    where
        T: Serialize + DeserializeOwned + 'static,
    {
        let kept = kept(value);
        self.shelf
            .put(kept.unwrap_or_else(|error| panic!("no checkpoint: {error}")));
        self
    }

    /// Tells the handler to stop, for this reason, before it begins.
    pub fn cancelled(self, reason: crate::handler::CancelReason) -> Self {
        self.signal.stop(reason);
        self
    }

    async fn run(self) -> Performed {
        install_hook();
        let budget = self.budget();
        let ending = match &self.call.payload {
            Ok(payload) => {
                let stored = Stored {
                    version: self.call.version,
                    fingerprint: self.call.fingerprint,
                    bytes: payload,
                };
                let limit = self.handler.time_limit(self.call.time_limit);
                let parts = self.parts(limit, budget.max_attempts);
                let performing = Performing {
                    handler: &self.handler,
                    stored,
                    signal: &self.signal,
                    limit,
                    cancel_grace: DEFAULT_CANCEL_GRACE,
                };
                let cx = Context::new(parts, self.state);
                let mut cx = cx.with_shelf(Arc::clone(&self.shelf));
                let (ran, _) = performing.run(&mut cx).await;
                ran.unwrap_or_else(|panicked| Ending::Failed(panicked.into_failure()))
            }
            Err(error) => panic!("{:?} cannot be enqueued: {error}", self.call.kind()),
        };
        Performed {
            transition: transition(ending.clone(), &budget, fastrand::f64()),
            ending,
            kept: self.shelf.get(),
        }
    }

    fn budget(&self) -> Budget {
        let defaults = &self.handler.kind.defaults;
        let max_attempts = self.call.max_attempts.unwrap_or(defaults.max_attempts);
        Budget {
            failures: self.failures.unwrap_or(self.attempt - 1),
            max_attempts: max_attempts.into(),
            backoff: self.call.backoff.unwrap_or(defaults.backoff),
        }
    }

    fn parts(&self, limit: Duration, max_attempts: u32) -> ContextParts {
        let queue = self.call.queue.as_deref();
        ContextParts {
            id: JobId::from_i64(1),
            attempt: Attempt::from_i32(i32::try_from(self.attempt).unwrap_or(i32::MAX)),
            failures: self.failures.unwrap_or(self.attempt - 1),
            max_attempts,
            kind: self.call.kind().into(),
            place: Arc::new(Place {
                queue: queue.unwrap_or(&self.handler.kind.defaults.queue).into(),
                worker: "perform".into(),
                node: NodeId::from_i64(1),
                client: self.client.clone().unwrap_or_else(nowhere),
            }),
            enqueued_at: chrono::Utc::now(),
            deadline: Instant::now() + limit,
            signal: self.signal.clone(),
            span: tracing::info_span!("attempt", kind = self.call.kind()),
            attachments: self.attachments.clone(),
            traceparent: self.call.traceparent.as_deref().map(str::to_owned),
            lane_exit: None,
        }
    }
}

/// A client that says why it reaches nothing.
fn nowhere() -> Client {
    Client::unconnected(
        DEFAULT_SCHEMA,
        "perform() has no database; give it a client with Perform::client",
    )
}

impl IntoFuture for Perform {
    type Output = Performed;
    type IntoFuture = BoxFuture<'static, Performed>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// What came of a run, and what it would change.
#[derive(Debug, Clone, PartialEq)]
pub struct Performed {
    ending: Ending,
    transition: Transition,
    kept: Option<Kept>,
}

impl Performed {
    /// What the handler decided; `None` if it failed.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.ending {
            Ending::Decided(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// What the handler kept with [`Outcome::DoneWith`].
    #[must_use]
    pub fn output(&self) -> Option<&serde_json::Value> {
        match self.outcome() {
            Some(Outcome::DoneWith(output)) => Some(output),
            _ => None,
        }
    }

    /// What went wrong: an error, a panic, the time limit, arguments that do not decode.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match &self.ending {
            Ending::Failed(failure)
            | Ending::Undecodable(failure)
            | Ending::Cancelled(failure)
            | Ending::Interrupted(failure) => Some(failure),
            Ending::Decided(_) | Ending::Released => None,
        }
    }

    /// The last checkpoint, kept by this run or [given](Perform::checkpoint) to it.
    ///
    /// # Panics
    ///
    /// When it was kept as another type.
    #[must_use]
    pub fn checkpoint<T: DeserializeOwned + 'static>(&self) -> Option<T> {
        let read = |kept| kept_as(kept).unwrap_or_else(|error| panic!("the checkpoint: {error}"));
        self.kept.as_ref().map(read)
    }

    /// What would change on the board.
    #[must_use]
    pub fn transition(&self) -> &Transition {
        &self.transition
    }
}
