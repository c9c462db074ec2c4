//! A worker: a consumer that asks, runs one attempt (or one batch) at a time, and asks again.
//!
//! The only actor that awaits user code. When a job panics the worker crashes after it has answered
//! for the attempt, and its successor begins with a state built anew.
//!
//! What is lost if it is killed at any await: nothing. Its leases answer when they are dropped, and
//! its subscription takes its demand along.

use std::sync::Arc;
use std::time::Instant;

use ractor::{ActorProcessingErr, ActorRef};

use super::executor::Workplace;
use super::in_hand::{Coming, InHand, Runs, Work};
use super::lease::Lease;
use super::{Office, Queue};
use crate::BoxError;
use crate::handler::WorkerState;
use crate::stage::{
    ConsumerMessage, Demand, Following, ProducerAddress, ProducerRef, Subscription,
};

pub(super) enum WorkerMessage {
    /// From the fetcher.
    Consumer(ConsumerMessage<Lease>),
    /// This is the fetcher from now on.
    Follow(ProducerRef<Lease>),
    /// Run the next attempt in hand.
    Next,
    /// Look whether a batch is due.
    Look,
}

#[cfg(feature = "cluster")]
impl ractor::Message for WorkerMessage {}

impl From<ConsumerMessage<Lease>> for WorkerMessage {
    fn from(message: ConsumerMessage<Lease>) -> Self {
        Self::Consumer(message)
    }
}

impl TryFrom<WorkerMessage> for ConsumerMessage<Lease> {
    type Error = ();

    fn try_from(message: WorkerMessage) -> Result<Self, ()> {
        match message {
            WorkerMessage::Consumer(message) => Ok(message),
            _ => Err(()),
        }
    }
}

/// What a worker is started with.
#[derive(Clone)]
pub(super) struct WorkerArgs {
    pub(super) office: Arc<Office>,
    pub(super) queue: Queue,
    pub(super) address: Arc<ProducerAddress<Lease>>,
    pub(super) name: Arc<str>,
}

pub(super) struct WorkerData {
    args: WorkerArgs,
    workplace: Workplace,
    /// Built in `post_start`; taken while a job runs.
    state: Option<WorkerState>,
    subscription: Option<Subscription<Lease>>,
    demand: Demand,
    /// How many were asked for and have not come.
    coming: u32,
    in_hand: InHand<Lease>,
    /// When it looks whether a batch is due.
    looks_at: Option<Instant>,
    _following: Option<Following>,
}

#[derive(Clone, Copy)]
pub(super) struct Worker;

#[ractor::actor(message = WorkerMessage, state = WorkerData, arguments = WorkerArgs)]
impl Worker {
    async fn pre_start(
        &self,
        _myself: ActorRef<WorkerMessage>,
        args: WorkerArgs,
    ) -> Result<WorkerData, ActorProcessingErr> {
        let workplace = Workplace {
            office: Arc::clone(&args.office),
            queue: Arc::clone(&args.queue.name),
            worker: Arc::clone(&args.name),
            cancel_grace: args.queue.cancel_grace,
        };
        Ok(WorkerData {
            workplace,
            state: None,
            subscription: None,
            demand: Demand::halving(args.queue.max_demand),
            coming: 0,
            in_hand: InHand::new(),
            looks_at: None,
            _following: None,
            args,
        })
    }

    /// Builds the state here and not in `pre_start`: the queue starts at once, and a worker whose
    /// state cannot be built crashes alone.
    async fn post_start(
        &self,
        myself: ActorRef<WorkerMessage>,
        data: &mut WorkerData,
    ) -> Result<(), ActorProcessingErr> {
        let role = format!("workers of {}", data.args.queue.name);
        match build_state(&data.args).await {
            Ok(state) => data.state = Some(state),
            Err(cause) => {
                let error = StateNotBuilt {
                    queue: Arc::clone(&data.args.queue.name),
                    cause,
                };
                data.args.office.vitals.degraded(&role, &error);
                return Err(error.into());
            }
        }
        data.args.office.vitals.working(&role);
        let follow = move |fetcher| myself.cast(WorkerMessage::Follow(fetcher)).is_ok();
        data._following = Some(data.args.address.follow(follow));
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<WorkerMessage>,
        message: WorkerMessage,
        data: &mut WorkerData,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            WorkerMessage::Consumer(ConsumerMessage::Events { events, .. }) => data.receive(events),
            WorkerMessage::Consumer(ConsumerMessage::Cancelled { .. }) => return Ok(()),
            WorkerMessage::Follow(fetcher) => {
                data.follow(fetcher, &myself);
                return Ok(());
            }
            WorkerMessage::Next => {}
            WorkerMessage::Look => data.looks_at = None,
        }
        data.run_next().await?;
        if data.is_any_ready() {
            // By a message, so that a stop gets in between.
            myself.cast(WorkerMessage::Next)?;
        } else {
            data.look_later(&myself);
        }
        Ok(())
    }
}

impl WorkerData {
    fn receive(&mut self, events: Vec<Lease>) {
        self.coming = self.coming.saturating_sub(events.len() as u32);
        let mut events = events.into_iter();
        for chunk in self.demand.receive(events.len()) {
            let in_chunk = events.by_ref().take(chunk.len).enumerate();
            for (index, lease) in in_chunk {
                let is_last = index + 1 == chunk.len;
                self.hold(lease, if is_last { chunk.ask_after } else { 0 });
            }
        }
    }

    fn hold(&mut self, lease: Lease, ask_after: u32) {
        let handler = self.args.office.registry.handler(&lease.job().kind);
        let batch = handler.and_then(|handler| Some((handler, handler.batch.as_ref()?)));
        let runs = batch.map_or(Runs::Alone, |(handler, batch)| {
            Runs::Batched(&handler.kind.name, batch.limits)
        });
        let since = Instant::now() - lease.waited();
        self.in_hand.push(lease, runs, since, ask_after);
    }

    fn follow(&mut self, fetcher: ProducerRef<Lease>, myself: &ActorRef<WorkerMessage>) {
        let subscription = Subscription::begin(fetcher, myself.get_derived());
        self.coming = self.demand.begin();
        subscription.ask(self.coming);
        // What is in hand from the last fetcher was not asked of this one.
        self.in_hand.forget_asks();
        self.subscription = Some(subscription);
    }

    async fn run_next(&mut self) -> Result<(), ActorProcessingErr> {
        if self.args.office.is_closing() {
            // Dropped, they are released; nothing begins any more.
            self.in_hand.clear();
        }
        let Some(work) = self.in_hand.next(Instant::now(), self.is_coming()) else {
            return Ok(());
        };
        let state = self
            .state
            .take()
            .expect("a worker has its state between jobs");
        let (executed, ask_after) = match work {
            Work::One(lease, ask_after) => (self.workplace.execute(lease, state).await, ask_after),
            Work::Many(leases, ask_after) => {
                let executed = self.workplace.execute_batch(leases, state).await;
                (executed, ask_after)
            }
        };
        self.state = Some(executed?);
        self.ask(ask_after);
        Ok(())
    }

    fn ask(&mut self, demand: u32) {
        if let Some(subscription) = &self.subscription {
            self.coming = self.coming.saturating_add(demand);
            subscription.ask(demand);
        }
    }

    fn is_coming(&self) -> Coming {
        match self.coming {
            0 => Coming::Nothing,
            _ => Coming::Something,
        }
    }

    fn is_any_ready(&mut self) -> bool {
        let coming = self.is_coming();
        self.in_hand.is_any_ready(Instant::now(), coming)
    }

    /// Looks again when a batch that gathers is due, or the board closes.
    fn look_later(&mut self, myself: &ActorRef<WorkerMessage>) {
        let Some(due) = self.in_hand.due() else {
            return;
        };
        if self.looks_at.is_some_and(|at| at <= due) {
            return;
        }
        self.looks_at = Some(due);
        let (office, myself) = (Arc::clone(&self.args.office), myself.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {}
                () = office.closes() => {}
            }
            // A worker that is gone has nothing in hand.
            let _gone = myself.cast(WorkerMessage::Look);
        });
    }
}

async fn build_state(args: &WorkerArgs) -> Result<WorkerState, BoxError> {
    // In a task, so that a panic of the factory is an error with its text.
    let factory = args.queue.state.clone();
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
