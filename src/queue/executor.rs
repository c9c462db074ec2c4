//! Runs one attempt in a worker, and answers for it.
//!
//! What is lost if the worker is killed at any await: nothing. The lease answers when it is dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::Span;

use super::lease::Lease;
use super::performing::Performing;
use super::seat::{Bench, Occupation};
use super::{Counters, Office, Seat, span};
use crate::handler::{
    CancelReason, Context, ContextParts, Handler, InTransaction, Panicked, Place, Registered,
    Registry, StopSignal, WorkerState,
};
use crate::job::{Ending, Failure, FailureKind};

/// A job panicked: its worker crashes, so that the next job meets clean state.
#[derive(Debug, thiserror::Error)]
#[error("a job panicked: {0}")]
pub(crate) struct JobPanicked(String);

impl JobPanicked {
    pub(super) fn new(panicked: &Panicked) -> Self {
        Self(panicked.message().to_owned())
    }
}

/// What the executor knows of the worker it runs in.
#[derive(Debug, Clone)]
pub(super) struct Workplace {
    pub(super) office: Arc<Office>,
    pub(super) queue: Arc<str>,
    pub(super) seat: Arc<Seat>,
    pub(super) cancel_grace: Duration,
    /// The handlers as they were between the last two jobs.
    pub(super) registry: Arc<Registry>,
    pub(super) place: Arc<Place>,
    /// Of the last job: its kind, and what ran it.
    pub(super) last: Option<(Arc<str>, Arc<Bench>)>,
}

/// Whether the handlers have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Changed {
    Nothing,
    Handlers,
}

impl Workplace {
    /// What begins from now on is run by the handlers that this node has now.
    pub(super) fn catch_up(&mut self) -> Changed {
        if self.office.registry.is(&self.registry) {
            return Changed::Nothing;
        }
        self.registry = self.office.registry.get();
        self.last = None;
        Changed::Handlers
    }

    /// What runs jobs of this kind here.
    fn bench(&mut self, kind: &Arc<str>) -> Option<Arc<Bench>> {
        if let Some((_, bench)) = self.last.as_ref().filter(|(last, _)| last == kind) {
            return Some(Arc::clone(bench));
        }
        let bench = Arc::new(self.bench_of(self.registry.handler(kind)?));
        self.last = Some((Arc::clone(kind), Arc::clone(&bench)));
        Some(bench)
    }

    pub(super) fn bench_of(&self, handler: &Arc<Registered>) -> Bench {
        Bench {
            worker: Arc::clone(&self.seat.name),
            handler: Arc::clone(handler),
        }
    }

    /// Runs one attempt, which begins now, and answers for it. Gives the worker's state back and says when the
    /// handler had ended, or that the job panicked and the state is not to be trusted.
    ///
    /// Jobs follow one another at once, so one look at the clock between two of them is enough. (Five were a
    /// sixteenth of all that a job of nothing costs this process.)
    pub(super) async fn execute(
        &mut self,
        mut lease: Lease,
        state: WorkerState,
        now: Instant,
    ) -> Result<(WorkerState, Instant), JobPanicked> {
        if lease.signal().reason().is_some() {
            answer_unbegun(lease);
            return Ok((state, now));
        }
        match self.bench(&lease.job().kind) {
            Some(bench) if lease.is_let_through(&bench.handler) => {
                self.run(&bench, lease, state, now).await
            }
            // Only what can run here is claimed, but since then the handlers may have been swapped, or its breaker
            // opened. Dropped, the lease releases.
            _ => Ok((state, now)),
        }
    }

    async fn run(
        &self,
        bench: &Arc<Bench>,
        mut lease: Lease,
        state: WorkerState,
        now: Instant,
    ) -> Result<(WorkerState, Instant), JobPanicked> {
        let handler = &bench.handler;
        let limit = handler.time_limit(lease.job().rare().time_limit);
        let span = self.attempt_span(lease.job());
        let parts = self.context_parts(handler, &lease, now + limit, span);
        let mut cx = Context::new(parts, state);
        lease.begin(now, bench);
        let busy = self.seat.occupy(occupation(&lease, bench, now, 1));
        let performing = Performing {
            handler,
            stored: lease.job().stored(),
            signal: lease.signal(),
            limit,
            cancel_grace: self.cancel_grace,
        };
        let (performed, ended) = performing.run(&mut cx).await;
        let ending = match performed {
            Ok(ending) => ending,
            Err(panicked) => {
                Counters::add(&self.office.counters.panicked, 1);
                span::failed(cx.span(), FailureKind::Panic);
                let crash = JobPanicked::new(&panicked);
                lease.answer_panic(panicked);
                return Err(crash);
            }
        };
        span::ended(cx.span(), &ending);
        lease.note_trail(cx.has_trail());
        let (state, in_transaction) = cx.into_state();
        match in_transaction {
            InTransaction::Completed => lease.answer_written(ending),
            InTransaction::No => lease.answer(ending),
        }
        busy.over(ended);
        if handler.breaker.is_some() {
            // Who judges gets its turn before the next attempt is spent.
            tokio::task::yield_now().await;
            return Ok((state, Instant::now()));
        }
        Ok((state, ended))
    }

    pub(super) fn context_parts(
        &self,
        handler: &Handler,
        lease: &Lease,
        deadline: Instant,
        span: Span,
    ) -> ContextParts {
        let job = lease.job();
        ContextParts {
            id: job.id,
            attempt: job.attempt,
            failures: job.rare().failures,
            max_attempts: lease.budget(Some(&handler.kind)).max_attempts,
            kind: Arc::clone(&job.kind),
            place: Arc::clone(&self.place),
            enqueued_at: job.enqueued_at(),
            deadline,
            signal: StopSignal::clone(lease.signal()),
            span,
            attachments: lease.attachments().clone(),
            traceparent: job.rare().traceparent.clone(),
            lane_exit: lease.lane_exit(),
        }
    }
}

/// What the seat shows while so many jobs run, of which this is the first.
pub(super) fn occupation(
    first: &Lease,
    by: &Arc<Bench>,
    since: Instant,
    jobs: usize,
) -> Occupation {
    let job = first.job();
    Occupation {
        job: job.id,
        attempt: job.attempt,
        by: Arc::clone(by),
        since,
        jobs: u32::try_from(jobs).unwrap_or(u32::MAX),
    }
}

/// The attempt was stopped before its handler began.
pub(super) fn answer_unbegun(lease: Lease) {
    match lease.signal().reason() {
        Some(CancelReason::Requested) => {
            let text = "cancelled before it began";
            lease.answer(Ending::Cancelled(Failure::new(
                FailureKind::Cancelled,
                text,
            )));
        }
        _ => lease.answer(Ending::Released),
    }
}
