//! A worker: a consumer that asks, runs one attempt at a time, and asks again.
//!
//! The only actor that awaits user code. When a job panics the worker crashes after it has answered
//! for the attempt, and its successor begins with a state built anew.
//!
//! What is lost if it is killed at any await: nothing. Its leases answer when they are dropped, and
//! its subscription takes its demand along.

use std::collections::VecDeque;
use std::sync::Arc;

use ractor::{ActorProcessingErr, ActorRef};

use super::executor::Workplace;
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
    /// Attempts in hand, each with what to ask for once it is done.
    in_hand: VecDeque<(Lease, u32)>,
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
            in_hand: VecDeque::new(),
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
        }
        data.run_next().await?;
        if !data.in_hand.is_empty() {
            // By a message, so that a stop gets in between.
            myself.cast(WorkerMessage::Next)?;
        }
        Ok(())
    }
}

impl WorkerData {
    fn receive(&mut self, events: Vec<Lease>) {
        let mut events = events.into_iter();
        for chunk in self.demand.receive(events.len()) {
            let in_chunk = events.by_ref().take(chunk.len).enumerate();
            for (index, lease) in in_chunk {
                let is_last = index + 1 == chunk.len;
                self.in_hand
                    .push_back((lease, if is_last { chunk.ask_after } else { 0 }));
            }
        }
    }

    fn follow(&mut self, fetcher: ProducerRef<Lease>, myself: &ActorRef<WorkerMessage>) {
        let subscription = Subscription::begin(fetcher, myself.get_derived());
        subscription.ask(self.demand.begin());
        // What is in hand from the last fetcher was not asked of this one.
        self.in_hand
            .iter_mut()
            .for_each(|(_, ask_after)| *ask_after = 0);
        self.subscription = Some(subscription);
    }

    async fn run_next(&mut self) -> Result<(), ActorProcessingErr> {
        if self.args.office.is_closing() {
            // Dropped, they are released; nothing begins any more.
            self.in_hand.clear();
        }
        let Some((lease, ask_after)) = self.in_hand.pop_front() else {
            return Ok(());
        };
        let state = self
            .state
            .take()
            .expect("a worker has its state between jobs");
        self.state = Some(self.workplace.execute(lease, state).await?);
        if let Some(subscription) = &self.subscription {
            subscription.ask(ask_after);
        }
        Ok(())
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
