//! The actor that runs a stage.
//!
//! A turn for each message: take it in, handle one step of what has come, deliver what was emitted,
//! pass the markers that are due, ask the stage for what is still wanted. What is left over is for the
//! next turn, by a message to itself, so that a stop, an ask or a cancellation gets in between. Consumers
//! handle a few steps in a turn while they take no time worth the name, since such a message costs more.
//!
//! What is lost if it is killed at any await: what is in its hands, dropped as values. Its neighbours
//! are told by the ends of their subscriptions.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::inlet::InletMessage;
use super::inlets::{Incoming, Inlets};
use super::message::{
    MessageOf, StageMessage, Subscribing, to_consumer, to_inlet, to_own, to_producer,
};
use super::outlet::{End, Outlet};
use super::{
    Cancel, CancelReason, Flow, Mailbox, ProducerConsumer, ProducerMessage, StageError, StageKind,
    StageResult, StageSpec,
};
use ractor::{ActorProcessingErr, ActorRef};

/// How many steps a stage handles before others on its thread have their turn, and what has come from outside
/// is seen.
const STEPS_AT_ONCE: u32 = 16;
/// How long a consumer's turn may have taken for another step to be a part of it.
const SHORT_TURN: Duration = Duration::from_micros(100);

pub(super) struct StageState<B: ProducerConsumer> {
    spec: StageSpec<B>,
    behaviour: B,
    flow: Flow<B::In, B::Out>,
    /// What is to be handled at the marks in the buffer, in their order.
    marked: VecDeque<B::Message>,
    /// Markers that are still behind what has come.
    marked_in: VecDeque<B::Message>,
    /// A message to itself is on its way.
    is_next_due: bool,
    /// How many steps it has handled since others had their turn.
    steps: u32,
    is_finished: bool,
}

pub(super) struct StageActor<B>(PhantomData<fn() -> B>);

impl<B> StageActor<B> {
    pub(super) const NEW: Self = Self(PhantomData);
}

impl<B> Clone for StageActor<B> {
    fn clone(&self) -> Self {
        Self::NEW
    }
}

#[ractor::actor(message = MessageOf<B>, state = StageState<B>, arguments = StageSpec<B>)]
impl<B: ProducerConsumer> StageActor<B> {
    async fn pre_start(
        &self,
        myself: ActorRef<MessageOf<B>>,
        spec: StageSpec<B>,
    ) -> Result<StageState<B>, ActorProcessingErr> {
        spec.check()?;
        spec.gauges.begin();
        let gauges = || Arc::clone(&spec.gauges);
        // What is sent from now on waits until it has begun.
        spec.place.send_replace(Some(myself.clone()));
        let cell = myself.get_cell();
        let inlet = Mailbox::of_actor(myself.clone(), StageMessage::Inlet, to_inlet);
        let consumer = Mailbox::of_actor(
            myself,
            |message| StageMessage::Inlet(InletMessage::Consumer(message)),
            to_consumer,
        );
        let outlet = Outlet::new((spec.dispatcher)(), spec.buffer, spec.gate, gauges());
        Ok(StageState {
            behaviour: (spec.build)(),
            flow: Flow {
                inlets: Inlets::new(Arc::clone(&spec.name), cell, inlet, consumer, gauges()),
                outlet,
            },
            marked: VecDeque::new(),
            marked_in: VecDeque::new(),
            is_next_due: false,
            steps: 0,
            is_finished: false,
            spec,
        })
    }

    async fn post_start(
        &self,
        myself: ActorRef<MessageOf<B>>,
        state: &mut StageState<B>,
    ) -> Result<(), ActorProcessingErr> {
        let own = Mailbox::of_actor(myself.clone(), StageMessage::Own, to_own);
        state.behaviour.started(own, &mut state.flow).await?;
        for (source, options) in state.spec.subscriptions.clone() {
            state.flow.inlets.subscribe(source, options)?;
        }
        if B::KIND != StageKind::Consumer {
            let producer = Mailbox::of_actor(myself.clone(), StageMessage::Producer, to_producer);
            state.spec.source.announce(producer);
        }
        state.turn(&myself).await
    }

    async fn handle(
        &self,
        myself: ActorRef<MessageOf<B>>,
        message: MessageOf<B>,
        state: &mut StageState<B>,
    ) -> Result<(), ActorProcessingErr> {
        state.take(message).await?;
        state.turn(&myself).await
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<MessageOf<B>>,
        state: &mut StageState<B>,
    ) -> Result<(), ActorProcessingErr> {
        state.behaviour.stopping().await;
        let reason = match state.is_finished {
            true => CancelReason::Done,
            false => CancelReason::Shutdown,
        };
        state.flow.inlets.close();
        state.flow.outlet.close(&reason);
        state.show();
        Ok(())
    }
}

impl<B: ProducerConsumer> StageState<B> {
    /// Takes in what has come.
    async fn take(&mut self, message: MessageOf<B>) -> StageResult {
        let Self {
            behaviour, flow, ..
        } = self;
        match message {
            StageMessage::Producer(message) => return self.heard(message).await,
            StageMessage::Inlet(InletMessage::Consumer(message)) => flow.inlets.receive(message),
            StageMessage::Inlet(InletMessage::Found(inlet, found)) => {
                if flow.inlets.found(inlet, found) {
                    return behaviour.subscribed(inlet, flow).await;
                }
            }
            StageMessage::Own(message) => return behaviour.handle(message, flow).await,
            StageMessage::AfterBuffered(message) => self.mark(message),
            StageMessage::Subscribe(subscribing) => self.subscribe(*subscribing),
            StageMessage::Cancel(inlet) => flow.inlets.cancel(inlet),
            StageMessage::Forward => flow.outlet.forward(),
            StageMessage::Finish => flow.outlet.finish(),
            StageMessage::Next => {
                self.is_next_due = false;
                if self.steps >= STEPS_AT_ONCE {
                    self.steps = 0;
                    tokio::task::yield_now().await;
                }
            }
        }
        Ok(())
    }

    async fn heard(&mut self, message: ProducerMessage<B::Out>) -> StageResult {
        let flow = &mut self.flow;
        match message {
            ProducerMessage::Subscribe(link) => {
                let id = link.id();
                if flow.outlet.subscribe(link) {
                    return self.behaviour.joined(id, flow).await;
                }
            }
            ProducerMessage::Ask {
                subscription,
                demand,
            } => {
                flow.outlet.ask(subscription, demand);
                if demand == 0 {
                    // It has taken what lay ready.
                    return self.behaviour.delivered(flow).await;
                }
            }
            ProducerMessage::Cancel { subscription } => {
                if flow.outlet.cancel(subscription) {
                    return self.behaviour.left(subscription, flow).await;
                }
            }
        }
        Ok(())
    }

    fn mark(&mut self, message: B::Message) {
        if self.flow.inlets.is_drained() {
            self.flow.outlet.mark();
            self.marked.push_back(message);
        } else {
            self.flow.inlets.mark();
            self.marked_in.push_back(message);
        }
    }

    fn subscribe(&mut self, subscribing: Subscribing<B::In>) {
        let Subscribing {
            source,
            options,
            instead_of,
            reply,
        } = subscribing;
        let inlets = &mut self.flow.inlets;
        let checked = self.spec.check_asks(&source, &options);
        let subscribed = checked.and_then(|()| match instead_of {
            Some(earlier) => inlets.resubscribe(earlier, source, options),
            None => inlets.subscribe(source, options),
        });
        // Who asked may have lost interest.
        let _gone = reply.send(subscribed);
    }

    async fn turn(&mut self, myself: &ActorRef<MessageOf<B>>) -> Result<(), ActorProcessingErr> {
        let began = Instant::now();
        loop {
            let is_any_left = self.step().await?;
            if self.ends(is_any_left) {
                self.is_finished = true;
                myself.stop(Some("done".to_owned()));
                return Ok(());
            }
            if !is_any_left {
                return Ok(());
            }
            if !self.may_go_on(began) {
                return self.go_on_later(myself);
            }
        }
    }

    /// Tells whether anything is left to do.
    async fn step(&mut self) -> Result<bool, ActorProcessingErr> {
        self.steps += 1;
        // A step may take its time.
        self.flow.inlets.show();
        self.work().await?;
        let is_unsatisfied = self.settle().await?;
        self.flow.inlets.forward(self.flow.outlet.demand());
        self.show();
        Ok(is_unsatisfied || self.flow.inlets.is_any_ready(self.has_demand()))
    }

    /// Whether the next step may be a part of a turn that has begun then.
    fn may_go_on(&self, began: Instant) -> bool {
        B::KIND == StageKind::Consumer && self.steps < STEPS_AT_ONCE && began.elapsed() < SHORT_TURN
    }

    fn go_on_later(&mut self, myself: &ActorRef<MessageOf<B>>) -> Result<(), ActorProcessingErr> {
        if !self.is_next_due {
            self.is_next_due = true;
            myself.cast(StageMessage::Next)?;
        }
        Ok(())
    }

    /// Whether what it makes of events is wanted.
    fn has_demand(&self) -> bool {
        B::KIND == StageKind::Consumer || self.flow.outlet.demand() > 0
    }

    /// Handles one step of what has come.
    async fn work(&mut self) -> StageResult {
        let Some(next) = self.flow.inlets.next(self.has_demand()) else {
            return Ok(());
        };
        match next {
            Incoming::Events {
                subscription,
                events,
                ask_after,
                ..
            } => {
                self.behaviour.transform(events, &mut self.flow).await?;
                // First what came of them, then the next ask.
                self.deliver().await?;
                self.flow.inlets.handled(subscription, ask_after);
                Ok(())
            }
            Incoming::Cancelled {
                inlet,
                subscription,
                reason,
            } => match self.flow.inlets.lose(inlet, subscription, reason) {
                Some(lost) => {
                    let (reason, flow) = (&lost.reason, &mut self.flow);
                    self.behaviour.cancelled(lost.inlet, reason, flow).await?;
                    self.follow(lost.source, lost.cancel, lost.reason)
                }
                None => Ok(()),
            },
            Incoming::Mark => {
                if let Some(message) = self.marked_in.pop_front() {
                    self.mark(message);
                }
                Ok(())
            }
        }
    }

    /// A producer is lost, or done: follows it, if that was chosen.
    fn follow(
        &mut self,
        source_name: Arc<str>,
        cancel: Cancel,
        reason: CancelReason,
    ) -> StageResult {
        match cancel {
            Cancel::Temporary | Cancel::Resubscribe(_) => Ok(()),
            Cancel::Transient if reason.is_normal() => Ok(()),
            Cancel::Permanent if reason.is_normal() => {
                self.flow.outlet.finish();
                Ok(())
            }
            Cancel::Permanent | Cancel::Transient => Err(StageError::ProducerLost {
                stage: Arc::clone(&self.spec.name),
                source_name,
                reason,
            }
            .into()),
        }
    }

    /// Delivers, passes markers, and asks the stage for what is wanted. Tells whether to do so again.
    async fn settle(&mut self) -> Result<bool, ActorProcessingErr> {
        if B::KIND == StageKind::Consumer && self.marked.is_empty() {
            return Ok(false);
        }
        self.deliver().await?;
        while !self.marked.is_empty() && self.flow.outlet.pass_mark() {
            if let Some(message) = self.marked.pop_front() {
                self.behaviour.handle(message, &mut self.flow).await?;
                self.deliver().await?;
            }
        }
        let demand = self.flow.outlet.demand();
        if demand == 0 {
            return Ok(false);
        }
        let before = self.flow.outlet.emitted();
        self.behaviour.demanded(demand, &mut self.flow).await?;
        let has_emitted = self.flow.outlet.emitted() > before;
        if has_emitted {
            self.deliver().await?;
        }
        Ok(has_emitted && B::KIND == StageKind::Producer && self.flow.outlet.demand() > 0)
    }

    async fn deliver(&mut self) -> StageResult {
        if B::KIND == StageKind::Consumer {
            return Ok(());
        }
        if self.flow.outlet.flush() > 0 {
            self.behaviour.delivered(&mut self.flow).await?;
        }
        if let Some(overflow) = self.flow.outlet.overflow() {
            self.behaviour.overflowed(overflow);
        }
        Ok(())
    }

    fn ends(&self, is_any_left: bool) -> bool {
        let Flow { inlets, outlet } = &self.flow;
        match (inlets.end(), outlet.end()) {
            (Some(End::Now), _) | (_, Some(End::Now)) => true,
            (_, Some(End::WhenDrained)) => {
                outlet.is_drained() && self.marked.is_empty() && !is_any_left
            }
            _ => false,
        }
    }

    fn show(&self) {
        if B::KIND != StageKind::Producer {
            self.flow.inlets.show();
        }
        if B::KIND != StageKind::Consumer {
            self.flow.outlet.show();
        }
    }
}
