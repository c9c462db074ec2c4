//! Runs one attempt: decode, perform, and turn whatever happens into an ending.
//!
//! What is lost if the worker is killed at any await: nothing. The lease answers when it is dropped.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tracing::Instrument;

use super::Office;
use super::lease::Lease;
use crate::BoxError;
use crate::handler::{
    CancelReason, Context, ContextParts, Handler, IN_HANDLER, InTransaction, StopSignal,
    WorkerState, failure_of,
};
use crate::job::{Ending, Failure, FailureKind, Outcome};

/// A job panicked: its worker crashes, so that the next job meets clean state.
#[derive(Debug, thiserror::Error)]
#[error("a job panicked: {0}")]
pub(crate) struct JobPanicked(String);

/// What the executor knows of the worker it runs in.
#[derive(Debug, Clone)]
pub(super) struct Workplace {
    pub(super) office: Arc<Office>,
    pub(super) queue: Arc<str>,
    pub(super) worker: Arc<str>,
    pub(super) cancel_grace: Duration,
}

/// What came of a handler's future.
enum Ran {
    Returned(Result<Outcome, BoxError>),
    Undecodable(Failure),
    Panicked(Failure),
    TimedOut,
    /// It did not stop by itself within the grace.
    Cut,
}

impl Workplace {
    /// Runs one attempt and answers for it. Gives the worker's state back, or says that the job
    /// panicked and the state is not to be trusted.
    pub(super) async fn execute(
        &self,
        lease: Lease,
        state: WorkerState,
    ) -> Result<WorkerState, JobPanicked> {
        if lease.signal().reason().is_some() {
            answer_unbegun(lease);
            return Ok(state);
        }
        match self.office.registry.handler(&lease.job().kind) {
            Some(handler) => self.run(handler, lease, state).await,
            // Only kinds that are registered here are claimed. Dropped, the lease releases.
            None => Ok(state),
        }
    }

    async fn run(
        &self,
        handler: &Handler,
        mut lease: Lease,
        state: WorkerState,
    ) -> Result<WorkerState, JobPanicked> {
        let limit = handler.time_limit(lease.job().time_limit);
        let mut cx = Context::new(self.context_parts(handler, &lease, limit), state);
        lease.begin(&self.worker);
        let ran = self.perform(handler, &lease, &mut cx, limit).await;
        let reason = lease.signal().reason();
        if let Ran::Panicked(failure) = ran {
            self.office
                .counters
                .panicked
                .fetch_add(1, Ordering::Relaxed);
            let message = failure.message.clone();
            lease.answer(Ending::Failed(failure));
            return Err(JobPanicked(message));
        }
        let (state, in_transaction) = cx.into_state();
        match in_transaction {
            InTransaction::Completed => lease.answer_written(ending(ran, reason, limit)),
            InTransaction::No => lease.answer(ending(ran, reason, limit)),
        }
        Ok(state)
    }

    async fn perform(
        &self,
        handler: &Handler,
        lease: &Lease,
        cx: &mut Context,
        limit: Duration,
    ) -> Ran {
        let (span, deadline) = (cx.span().clone(), cx.deadline());
        let stored = lease.job().stored();
        // Decoding runs user code too (Deserialize, upcasters), so it is inside.
        let performing = async {
            match (handler.run)(cx, stored) {
                Ok(performed) => Ran::Returned(performed.await),
                Err(why) => {
                    Ran::Undecodable(Failure::new(FailureKind::Undecodable, &why.to_string()))
                }
            }
        };
        let performing = IN_HANDLER.scope((), performing.instrument(span));
        let mut performing = std::pin::pin!(AssertUnwindSafe(performing).catch_unwind());
        let returned = tokio::select! {
            biased;
            returned = &mut performing => returned,
            () = tokio::time::sleep(limit) => {
                lease.signal().stop(CancelReason::TimeLimit);
                return Ran::TimedOut;
            }
            () = lease.signal().token().cancelled() => {
                match tokio::time::timeout(self.cancel_grace, &mut performing).await {
                    Ok(returned) => returned,
                    Err(_) => return Ran::Cut,
                }
            }
        };
        // Work that watches the deadline itself may be a moment ahead of the timer here.
        if Instant::now() >= deadline {
            lease.signal().stop(CancelReason::TimeLimit);
        }
        returned.unwrap_or_else(|payload| Ran::Panicked(failure_of(&*payload)))
    }

    fn context_parts(&self, handler: &Handler, lease: &Lease, limit: Duration) -> ContextParts {
        let job = lease.job();
        let span = tracing::info_span!(
            parent: None,
            "attempt",
            job = job.id.as_i64(),
            attempt = job.attempt.as_i32(),
            kind = job.kind,
            queue = &*self.queue,
            worker = &*self.worker,
        );
        ContextParts {
            id: job.id,
            attempt: job.attempt,
            failures: job.failures,
            max_attempts: lease.budget(Some(handler)).max_attempts,
            kind: job.kind.clone(),
            queue: Arc::clone(&self.queue),
            enqueued_at: job.enqueued_at,
            deadline: Instant::now() + limit,
            node: self.office.node,
            client: self.office.client.clone(),
            signal: StopSignal::clone(lease.signal()),
            span,
        }
    }
}

/// The attempt was stopped before its handler began.
fn answer_unbegun(lease: Lease) {
    match lease.signal().reason() {
        Some(CancelReason::Requested) => {
            lease.answer(Ending::Cancelled(cancelled("cancelled before it began")))
        }
        _ => lease.answer(Ending::Released),
    }
}

fn cancelled(text: &str) -> Failure {
    Failure::new(FailureKind::Cancelled, text)
}

/// The ending of an attempt whose handler did not panic.
fn ending(ran: Ran, reason: Option<CancelReason>, limit: Duration) -> Ending {
    match ran {
        Ran::Returned(Ok(outcome)) => Ending::Decided(outcome),
        Ran::Returned(Err(error)) => stopped(reason, Failure::from_error(&*error)),
        Ran::Undecodable(failure) => Ending::Undecodable(failure),
        Ran::Panicked(failure) => Ending::Failed(failure),
        Ran::TimedOut => {
            let text = format!("took longer than its time limit of {limit:?}");
            Ending::Failed(Failure::new(FailureKind::TimedOut, &text))
        }
        Ran::Cut => stopped(
            reason,
            cancelled("did not stop within the grace and was cut off"),
        ),
    }
}

/// A failure, in the light of whether the handler was told to stop.
fn stopped(reason: Option<CancelReason>, failure: Failure) -> Ending {
    match reason {
        Some(CancelReason::Requested) => Ending::Cancelled(Failure {
            kind: FailureKind::Cancelled,
            ..failure
        }),
        Some(CancelReason::Shutdown) => Ending::Interrupted(Failure {
            kind: FailureKind::Interrupted,
            ..failure
        }),
        Some(CancelReason::TimeLimit) => Ending::Failed(Failure {
            kind: FailureKind::TimedOut,
            ..failure
        }),
        // A lost lease's answer is refused by the fence, whatever it says.
        _ => Ending::Failed(failure),
    }
}
