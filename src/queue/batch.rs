//! Runs a batch in a worker, and answers for each of its jobs.
//!
//! What is lost if the worker is killed at any await: nothing. The batch holds the leases, which answer
//! when they are dropped; what was answered before stays so.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;

use super::executor::{JobPanicked, Workplace, answer_unbegun, occupation};
use super::guard::{Guard, Guarded};
use super::lease::Lease;
use super::performing::{cut_off, timed_out};
use super::seat::Bench;
use super::{Counters, span};
use crate::BoxError;
use crate::handler::{
    AnyBatch, BatchContext, BatchHandler, Context, ContextParts, Handler, InTransaction, JobFacts,
    Member, Panicked, Post, Registered, StopSignal, Unanswered, WorkerState, stopped,
};
use crate::job::{Ending, Failure, FailureKind, Outcome};

impl Workplace {
    /// Runs one attempt of each of these jobs of a kind, together. As [`execute`](Self::execute).
    pub(super) async fn execute_batch(
        &self,
        leases: Vec<Lease>,
        state: WorkerState,
        now: Instant,
    ) -> Result<(WorkerState, Instant), JobPanicked> {
        let (stopped, mut leases): (Vec<_>, Vec<_>) = leases
            .into_iter()
            .partition(|lease| lease.signal().reason().is_some());
        stopped.into_iter().for_each(answer_unbegun);
        let handler = leases
            .first()
            .and_then(|lease| self.registry.handler(&lease.job().kind));
        if let Some(handler) = handler {
            // Dropped, those whose breaker has opened since their claim are released.
            leases.retain_mut(|lease| lease.is_let_through(handler));
        }
        match handler.and_then(|handler| Some((handler, handler.batch.as_ref()?))) {
            Some((handler, batch)) if !leases.is_empty() => {
                self.run_batch(handler, batch, leases, state, now).await
            }
            // Nobody is left; or the handlers were swapped since the claim.
            _ => Ok((state, now)),
        }
    }

    async fn run_batch(
        &self,
        handler: &Arc<Registered>,
        batch: &BatchHandler,
        leases: Vec<Lease>,
        state: WorkerState,
        now: Instant,
    ) -> Result<(WorkerState, Instant), JobPanicked> {
        let limits = leases
            .iter()
            .map(|lease| handler.time_limit(lease.job().rare().time_limit));
        let limit = limits.min().unwrap_or(handler.time_limit(None));
        let parts = self.batch_parts(handler, &leases, now + limit);
        let (signal, mut cx) = (parts.signal.clone(), Context::new(parts, state));
        let bench = Arc::new(self.bench_of(handler));
        let _busy = leases.first().map(|first| {
            self.seat
                .occupy(occupation(first, &bench, now, leases.len()))
        });
        let members = leases
            .into_iter()
            .map(|lease| self.member(&bench, now, lease))
            .collect();
        let post = Post {
            client: self.office.client.clone(),
            node: self.office.node,
        };
        let mut batch = (batch.open)(members, post);
        let signals = batch.signals();
        if signals.is_empty() {
            return Ok((cx.into_state().0, now));
        }
        let guard = Guard::new(&signal, self.cancel_grace, &cx);
        let (ran, ended) = {
            let performing = guard.run(perform(&mut *batch, &mut cx));
            let mut performing = std::pin::pin!(performing);
            tokio::select! {
                biased;
                ran = &mut performing => ran,
                () = stop_with_all(&signals, &signal) => performing.await,
            }
        };
        let unanswered = batch.unanswered();
        let said = match ran {
            Guarded::Returned(Ok(outcome)) => Ok(outcome),
            Guarded::Returned(Err(error)) => Err(Failure::from_error(&*error)),
            Guarded::TimedOut => Err(timed_out(limit)),
            Guarded::Cut => Err(cut_off()),
            Guarded::Panicked(panicked) => {
                Counters::add(&self.office.counters.panicked, 1);
                span::failed(cx.span(), FailureKind::Panic);
                let crash = JobPanicked::new(&panicked);
                answer_panic(panicked, unanswered);
                return Err(crash);
            }
        };
        if let Err(failure) = &said {
            span::failed(cx.span(), failure.kind);
        }
        for job in unanswered {
            let reason = job.signal.reason().or(signal.reason());
            let ending = match &said {
                Ok(outcome) => Ending::Decided(outcome.clone()),
                Err(failure) => stopped(reason, failure.clone()),
            };
            job.answer(ending);
        }
        if handler.breaker.is_some() {
            // Who judges gets its turn before the next attempts are spent.
            tokio::task::yield_now().await;
        }
        Ok((cx.into_state().0, ended))
    }

    fn batch_parts(&self, handler: &Handler, leases: &[Lease], deadline: Instant) -> ContextParts {
        let span = self.batch_span(&leases[0].job().kind, leases.len());
        let parts = self.context_parts(handler, &leases[0], deadline, span);
        ContextParts {
            // Its own: a job of the batch may be told to stop alone.
            signal: StopSignal::default(),
            ..parts
        }
    }

    fn member(&self, bench: &Arc<Bench>, now: Instant, mut lease: Lease) -> Member {
        let facts = JobFacts {
            id: lease.job().id,
            attempt: lease.job().attempt,
            failures: lease.job().rare().failures,
            max_attempts: lease.budget(Some(&bench.handler.kind)).max_attempts,
            enqueued_at: lease.job().enqueued_at(),
            attachments: lease.attachments().clone(),
            traceparent: lease.job().rare().traceparent.clone(),
            lane_exit: lease.lane_exit(),
        };
        let stored = lease.job().stored();
        let (version, fingerprint) = (stored.version, stored.fingerprint);
        lease.begin(now, bench);
        Member {
            facts,
            version,
            fingerprint,
            payload: lease.take_payload(),
            signal: lease.signal().clone(),
            answering: Box::new(move |ending, left| {
                lease.note_trail(left.has_trail);
                match left.in_transaction {
                    InTransaction::Completed => lease.answer_written(ending),
                    InTransaction::No => lease.answer(ending),
                }
            }),
        }
    }
}

async fn perform(batch: &mut dyn AnyBatch, cx: &mut Context) -> Result<Outcome, BoxError> {
    batch.perform(&mut BatchContext::new(cx)).await
}

/// Tells the batch to stop when all its jobs were told.
async fn stop_with_all(jobs: &[StopSignal], batch: &StopSignal) {
    join_all(jobs.iter().map(|job| job.stopped())).await;
    if let Some(reason) = jobs.iter().find_map(StopSignal::reason) {
        batch.stop(reason);
    }
}

/// Answers for a panic aside, since finding the names of its backtrace takes a while.
fn answer_panic(panicked: Panicked, unanswered: Vec<Unanswered>) {
    // If the runtime ends before it runs, the leases answer as they are dropped.
    drop(tokio::task::spawn_blocking(move || {
        let failure = panicked.into_failure();
        for job in unanswered {
            job.answer(Ending::Failed(failure.clone()));
        }
    }));
}
