//! A worker: a consumer that asks, runs one attempt (or one batch) at a time, and asks again.
//!
//! The only actor that awaits user code. When a job panics the worker crashes after it has answered
//! for the attempt, and its successor begins with a state built anew.
//!
//! What is lost if it is killed at any await: nothing. Its leases answer when they are dropped, and
//! its subscription takes its demand along.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::executor::{Changed, Workplace};
use super::in_hand::{Coming, InHand, Runs, Work};
use super::lease::Lease;
use super::{Desk, Office, Seat};
use crate::BoxError;
use crate::handler::{Place, WorkerState};
use crate::stage::{CancelReason, Consumer, Demand, InletId, Inlets, Mailbox, StageResult};

/// How many jobs it runs before what has come from outside is seen, and others on its thread have their turn.
const JOBS_AT_ONCE: u32 = 16;
/// How long they may have taken for another one to follow at once.
const SHORT_TURN: Duration = Duration::from_micros(100);

pub(super) enum WorkerMessage {
    /// Run the next attempt in hand.
    Next,
    /// Look whether a batch is due.
    Look,
    /// The handlers have changed.
    CatchUp,
}

/// What a worker is started with.
#[derive(Clone)]
pub(super) struct WorkerArgs {
    pub(super) office: Arc<Office>,
    pub(super) desk: Arc<Desk>,
    pub(super) seat: Arc<Seat>,
}

pub(super) struct Worker {
    args: WorkerArgs,
    workplace: Workplace,
    /// Built at the start; taken while a job runs.
    state: Option<WorkerState>,
    inlet: Option<InletId>,
    demand: Demand,
    /// How many were asked for and have not come.
    coming: u32,
    in_hand: InHand<Lease>,
    /// When it looks whether a batch is due.
    looks_at: Option<Instant>,
    myself: Option<Mailbox<WorkerMessage>>,
}

impl Consumer for Worker {
    type Event = Lease;
    type Message = WorkerMessage;

    /// Builds the state here and not before: the queue starts at once, and a worker whose state cannot
    /// be built crashes alone.
    async fn started(
        &mut self,
        myself: Mailbox<WorkerMessage>,
        inlets: &mut Inlets<Lease>,
    ) -> StageResult {
        if self.args.seat.is_leaving() {
            // It crashed over its last job.
            inlets.stop();
            return Ok(());
        }
        let told = myself.clone();
        self.args.seat.attend(move || {
            // A worker that is gone has a successor that has caught up at its start.
            let _gone = told.send(WorkerMessage::CatchUp);
        });
        // They may have changed before it could be told.
        self.workplace.catch_up();
        self.myself = Some(myself);
        let role = format!("workers of {}", self.args.desk.queue.name);
        match build_state(&self.args).await {
            Ok(state) => self.state = Some(state),
            Err(cause) => {
                let error = StateNotBuilt {
                    queue: Arc::clone(&self.args.desk.queue.name),
                    cause,
                };
                self.args.office.vitals.degraded(&role, &error);
                return Err(error.into());
            }
        }
        self.args.office.vitals.working(&role);
        Ok(())
    }

    async fn subscribed(&mut self, inlet: InletId, inlets: &mut Inlets<Lease>) -> StageResult {
        self.inlet = Some(inlet);
        // What is in hand from the last producer was not asked of this one.
        self.in_hand.forget_asks();
        self.coming = self.demand.begin();
        inlets.ask(inlet, self.coming);
        Ok(())
    }

    async fn cancelled(
        &mut self,
        _inlet: InletId,
        _reason: &CancelReason,
        inlets: &mut Inlets<Lease>,
    ) -> StageResult {
        // A batch need not wait for what will not come.
        self.coming = 0;
        self.proceed(inlets).await
    }

    async fn consume(&mut self, events: Vec<Lease>, inlets: &mut Inlets<Lease>) -> StageResult {
        self.receive(events.into_iter());
        self.proceed(inlets).await
    }

    async fn handle(&mut self, message: WorkerMessage, inlets: &mut Inlets<Lease>) -> StageResult {
        match message {
            WorkerMessage::Next | WorkerMessage::CatchUp => {}
            WorkerMessage::Look => self.looks_at = None,
        }
        self.proceed(inlets).await
    }
}

impl Worker {
    pub(super) fn new(args: WorkerArgs) -> Self {
        let workplace = Workplace {
            office: Arc::clone(&args.office),
            queue: Arc::clone(&args.desk.queue.name),
            seat: Arc::clone(&args.seat),
            cancel_grace: args.desk.queue.cancel_grace,
            registry: args.office.registry.get(),
            place: Arc::new(Place {
                queue: Arc::clone(&args.desk.queue.name),
                worker: Arc::clone(&args.seat.name),
                node: args.office.node,
                client: args.office.client.clone(),
            }),
            last: None,
        };
        Self {
            workplace,
            state: None,
            inlet: None,
            demand: Demand::halving(args.desk.queue.max_demand),
            coming: 0,
            in_hand: InHand::new(),
            looks_at: None,
            myself: None,
            args,
        }
    }

    fn receive(&mut self, mut events: impl ExactSizeIterator<Item = Lease>) {
        self.coming = self.coming.saturating_sub(events.len() as u32);
        while events.len() > 0 {
            let chunk = self.demand.take(events.len());
            for (index, lease) in events.by_ref().take(chunk.len).enumerate() {
                let is_last = index + 1 == chunk.len;
                self.hold(lease, if is_last { chunk.ask_after } else { 0 });
            }
        }
    }

    fn hold(&mut self, lease: Lease, ask_after: u32) {
        let batch = self.workplace.registry.batch_handler(&lease.job().kind);
        let runs = batch.map_or(Runs::Alone, |(handler, batch)| {
            Runs::Batched(&handler.kind.name, batch.limits)
        });
        let since = lease.claimed_at();
        self.in_hand.push(lease, runs, since, ask_after);
    }

    /// Runs what is next in hand, and while that takes no time worth the name what comes at once.
    async fn proceed(&mut self, inlets: &mut Inlets<Lease>) -> StageResult {
        let began = Instant::now();
        let mut now = began;
        for _ in 0..JOBS_AT_ONCE {
            now = self.run_next(inlets, now).await?;
            if !self.is_any_ready(now) {
                self.look_later();
                return Ok(());
            }
            if now.duration_since(began) >= SHORT_TURN {
                break;
            }
        }
        // By a message, so that a stop gets in between; and others on this thread have their turn.
        self.tell_myself(WorkerMessage::Next);
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Sorts what is in hand by the handlers that there are now: none of it has begun.
    fn sort_anew(&mut self) {
        for (lease, ask_after) in self.in_hand.take() {
            self.hold(lease, ask_after);
        }
    }

    /// Runs what is next, if anything is, and says when it had ended.
    async fn run_next(
        &mut self,
        inlets: &mut Inlets<Lease>,
        now: Instant,
    ) -> Result<Instant, BoxError> {
        if self.workplace.catch_up() == Changed::Handlers {
            self.sort_anew();
        }
        if !self.args.desk.is_open() {
            // Dropped, they are released; nothing begins at present. It asks on, so that what a stage
            // before it holds comes to be released too.
            let ask_after = self.in_hand.clear();
            self.ask(ask_after, inlets, now);
        }
        let Some(work) = self.in_hand.next(now, self.is_coming()) else {
            return Ok(now);
        };
        let state = self
            .state
            .take()
            .expect("a worker has its state between jobs");
        let (executed, ask_after) = match work {
            Work::One(lease, ask_after) => {
                let executed = self.workplace.execute(lease, state, now).await;
                (executed, ask_after)
            }
            Work::Many(leases, ask_after) => {
                // Aside, since every worker has room for what it awaits here, and most never run a batch.
                let executing = Box::pin(self.workplace.execute_batch(leases, state, now));
                (executing.await, ask_after)
            }
        };
        let (state, ended) = executed?;
        self.state = Some(state);
        self.ask(ask_after, inlets, ended);
        Ok(ended)
    }

    fn ask(&mut self, demand: u32, inlets: &mut Inlets<Lease>, now: Instant) {
        let Some(inlet) = self.inlet else {
            return;
        };
        self.coming = self.coming.saturating_add(demand);
        if demand == 1 && inlets.is_drained() {
            if let Some(next) = inlets.ask_one(inlet, now) {
                self.receive(std::iter::once(next));
            }
        } else {
            inlets.ask(inlet, demand);
        }
    }

    fn is_coming(&self) -> Coming {
        match self.coming {
            0 => Coming::Nothing,
            _ => Coming::Something,
        }
    }

    fn is_any_ready(&mut self, now: Instant) -> bool {
        let coming = self.is_coming();
        self.in_hand.is_any_ready(now, coming)
    }

    /// Looks again when a batch that gathers is due, or may not begin any more.
    fn look_later(&mut self) {
        let Some(due) = self.in_hand.due() else {
            return;
        };
        if self.looks_at.is_some_and(|at| at <= due) {
            return;
        }
        self.looks_at = Some(due);
        let (desk, myself) = (Arc::clone(&self.args.desk), self.myself.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {}
                () = desk.shuts() => {}
            }
            // A worker that is gone has nothing in hand.
            let _gone = myself.map(|myself| myself.send(WorkerMessage::Look));
        });
    }

    fn tell_myself(&self, message: WorkerMessage) {
        if let Some(myself) = &self.myself {
            // It runs, so it is there.
            let _there = myself.send(message);
        }
    }
}

async fn build_state(args: &WorkerArgs) -> Result<WorkerState, BoxError> {
    // In a task, so that a panic of the factory is an error with its text.
    let factory = args.desk.queue.state.clone();
    match tokio::spawn(async move { factory.build().await }).await {
        Ok(built) => built,
        Err(panicked) => Err(panicked.into()),
    }
}

/// A worker's state could not be built.
#[derive(Debug, thiserror::Error)]
#[error("the worker state of queue {queue:?} cannot be built: {cause}")]
pub(super) struct StateNotBuilt {
    queue: Arc<str>,
    cause: BoxError,
}
