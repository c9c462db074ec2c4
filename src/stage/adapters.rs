//! Producers and consumers as the runtime sees them: producer-consumers with one side that nothing comes
//! through.

use std::convert::Infallible;

use super::{
    CancelReason, Consumer, Flow, InletId, Mailbox, Overflow, Producer, ProducerConsumer,
    StageKind, StageResult, SubscriptionId,
};

/// A producer, as the runtime sees it: a stage that nothing comes to.
#[derive(Debug)]
pub struct Produces<P>(pub(super) P);

impl<P: Producer> ProducerConsumer for Produces<P> {
    type In = Infallible;
    type Out = P::Event;
    type Message = P::Message;

    const KIND: StageKind = StageKind::Producer;

    async fn transform(
        &mut self,
        _events: Vec<Infallible>,
        _flow: &mut Flow<Infallible, P::Event>,
    ) -> StageResult {
        Ok(())
    }

    async fn demanded(
        &mut self,
        demand: usize,
        flow: &mut Flow<Infallible, P::Event>,
    ) -> StageResult {
        self.0.produce(demand, &mut flow.outlet).await
    }

    async fn started(
        &mut self,
        myself: Mailbox<P::Message>,
        flow: &mut Flow<Infallible, P::Event>,
    ) -> StageResult {
        self.0.started(myself, &mut flow.outlet).await
    }

    async fn handle(
        &mut self,
        message: P::Message,
        flow: &mut Flow<Infallible, P::Event>,
    ) -> StageResult {
        self.0.handle(message, &mut flow.outlet).await
    }

    async fn delivered(&mut self, flow: &mut Flow<Infallible, P::Event>) -> StageResult {
        self.0.delivered(&mut flow.outlet).await
    }

    async fn joined(
        &mut self,
        subscription: SubscriptionId,
        flow: &mut Flow<Infallible, P::Event>,
    ) -> StageResult {
        self.0.joined(subscription, &mut flow.outlet).await
    }

    async fn left(
        &mut self,
        subscription: SubscriptionId,
        flow: &mut Flow<Infallible, P::Event>,
    ) -> StageResult {
        self.0.left(subscription, &mut flow.outlet).await
    }

    fn overflowed(&mut self, overflow: Overflow<P::Event>) {
        self.0.overflowed(overflow);
    }

    async fn stopping(&mut self) {
        self.0.stopping().await;
    }
}

/// A consumer, as the runtime sees it: a stage that nothing leaves.
#[derive(Debug)]
pub struct Consumes<C>(pub(super) C);

impl<C: Consumer> ProducerConsumer for Consumes<C> {
    type In = C::Event;
    type Out = Infallible;
    type Message = C::Message;

    const KIND: StageKind = StageKind::Consumer;

    async fn transform(
        &mut self,
        events: Vec<C::Event>,
        flow: &mut Flow<C::Event, Infallible>,
    ) -> StageResult {
        self.0.consume(events, &mut flow.inlets).await
    }

    async fn started(
        &mut self,
        myself: Mailbox<C::Message>,
        flow: &mut Flow<C::Event, Infallible>,
    ) -> StageResult {
        self.0.started(myself, &mut flow.inlets).await
    }

    async fn handle(
        &mut self,
        message: C::Message,
        flow: &mut Flow<C::Event, Infallible>,
    ) -> StageResult {
        self.0.handle(message, &mut flow.inlets).await
    }

    async fn subscribed(
        &mut self,
        inlet: InletId,
        flow: &mut Flow<C::Event, Infallible>,
    ) -> StageResult {
        self.0.subscribed(inlet, &mut flow.inlets).await
    }

    async fn cancelled(
        &mut self,
        inlet: InletId,
        reason: &CancelReason,
        flow: &mut Flow<C::Event, Infallible>,
    ) -> StageResult {
        self.0.cancelled(inlet, reason, &mut flow.inlets).await
    }

    async fn stopping(&mut self) {
        self.0.stopping().await;
    }
}
