//! A stage's side towards its consumers: what it has emitted, who has asked, who gets what.
//!
//! It remembers unmet demand, so that no stage has to. Whatever it holds when the stage dies is
//! dropped as values, and its consumers are told.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::buffer::Buffer;
use super::meter::Gauges;
use super::pace::Pace;
use super::shelf::Shelf;
use super::{
    BufferOptions, CancelReason, ConsumerLink, Delivery, Dispatcher, Overflow, PartitionLoad,
    SubscriptionId,
};

/// A stage's side towards its consumers.
pub struct Outlet<T: Send + 'static> {
    dispatcher: Box<dyn Dispatcher<T>>,
    buffer: Buffer<T>,
    /// Where the buffered events lie, if consumers take them by themselves.
    shelf: Option<Arc<Shelf<T>>>,
    consumers: BTreeMap<SubscriptionId, Consumer<T>>,
    gate: Gate,
    end: Option<End>,
    emitted: u64,
    /// Measured only if somebody wants to know.
    pace: Option<Pace>,
    gauges: Arc<Gauges>,
    /// Kept for its memory.
    deliveries: Vec<Delivery<T>>,
}

struct Consumer<T: Send + 'static> {
    link: Box<ConsumerLink<T>>,
    /// When it was last given events, and how many.
    served: Option<(Instant, u32)>,
}

/// Whether demand is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    /// Asks and events gather until somebody says [`forward`](super::StageRef::forward).
    Accumulating,
}

/// How a stage ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Now,
    WhenDrained,
}

impl<T: Send + 'static> Outlet<T> {
    pub(super) fn new(
        dispatcher: Box<dyn Dispatcher<T>>,
        buffer: BufferOptions,
        gate: Gate,
        gauges: Arc<Gauges>,
    ) -> Self {
        Self {
            dispatcher,
            buffer: Buffer::new(buffer),
            shelf: None,
            consumers: BTreeMap::new(),
            gate,
            end: None,
            emitted: 0,
            pace: None,
            gauges,
            deliveries: Vec::new(),
        }
    }

    /// Emits an event. It goes to who has asked when the callback returns, or waits in the buffer.
    pub fn emit(&mut self, event: T) {
        self.emitted += 1;
        self.buffer.push(event);
    }

    /// Emits events, as [`emit`](Self::emit).
    pub fn emit_all(&mut self, events: impl IntoIterator<Item = T>) {
        let before = self.buffer.len();
        self.buffer.extend(events);
        self.emitted += (self.buffer.len() - before) as u64;
    }

    /// How many events are asked for and not emitted yet. None while the stage accumulates or
    /// finishes.
    #[must_use]
    pub fn demand(&self) -> usize {
        if self.gate == Gate::Accumulating || self.end.is_some() {
            return 0;
        }
        let asked = usize::try_from(self.dispatcher.demand()).unwrap_or(usize::MAX);
        asked.saturating_sub(self.buffered())
    }

    /// How many events wait for somebody to ask.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len() + self.shelf.as_ref().map_or(0, |shelf| shelf.len())
    }

    /// Lets consumers take by themselves what is buffered, and measures how long they take for an event.
    /// For producers whose events are the same to any consumer, and that need not know who got which.
    pub(crate) fn share(&mut self) {
        self.shelf.get_or_insert_with(|| Arc::new(Shelf::new()));
    }

    /// Calls [`delivered`](super::Producer::delivered) once when fewer than so many events are left of a
    /// [shared](Self::share) buffer; 0: never.
    pub(crate) fn tell_below(&self, events: usize) {
        if let Some(shelf) = &self.shelf {
            shelf.tell_below(events);
        }
    }

    /// How many subscriptions there are.
    #[must_use]
    pub fn consumers(&self) -> usize {
        self.consumers.len()
    }

    /// Measures the [service time](Self::service_time) from now on. It costs two looks at the clock for
    /// each delivery.
    pub fn measure_service_time(&mut self) {
        self.pace.get_or_insert_default();
    }

    /// How long a consumer takes for an event, from its delivery to the next ask: a running mean over all
    /// consumers, once it is [measured](Self::measure_service_time) and there is any.
    #[must_use]
    pub fn service_time(&self) -> Option<Duration> {
        match &self.shelf {
            Some(shelf) => shelf.service_time(),
            None => self.pace?.seconds().map(Duration::from_secs_f64),
        }
    }

    /// The demand and the queue of each partition, if the dispatcher has partitions.
    #[must_use]
    pub fn partitions(&self) -> Vec<PartitionLoad> {
        self.dispatcher.partitions()
    }

    /// Keeps only these of the buffered events.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.buffer.retain(&mut keep);
        if let Some(shelf) = &self.shelf {
            shelf.with_events(|events| events.retain(keep));
        }
    }

    /// Ends the stage once everything that it has emitted is delivered; nothing more is asked of it.
    pub fn finish(&mut self) {
        self.end.get_or_insert(End::WhenDrained);
    }

    /// Ends the stage when the callback returns. What is buffered is dropped.
    pub fn stop(&mut self) {
        self.end = Some(End::Now);
    }

    pub(super) fn end(&self) -> Option<End> {
        self.end
    }

    pub(super) fn emitted(&self) -> u64 {
        self.emitted
    }

    /// Whether everything emitted is delivered.
    pub(super) fn is_drained(&self) -> bool {
        self.buffered() == 0 && self.dispatcher.first_held().is_none()
    }

    pub(super) fn forward(&mut self) {
        self.gate = Gate::Open;
    }

    /// Takes a subscription, unless the dispatcher refuses it, and tells whether it did.
    pub(super) fn subscribe(&mut self, link: Box<ConsumerLink<T>>) -> bool {
        if let Err(refusal) = self.dispatcher.subscribe(link.id(), link.wishes()) {
            link.end(CancelReason::Refused(refusal));
            return false;
        }
        self.gauges.gained_consumer(link.meter());
        if let Some(shelf) = &self.shelf {
            link.let_take(shelf);
        }
        let consumer = Consumer { link, served: None };
        self.consumers.insert(consumer.link.id(), consumer);
        true
    }

    pub(super) fn ask(&mut self, subscription: SubscriptionId, demand: u32) {
        let Some(consumer) = self.consumers.get_mut(&subscription) else {
            return;
        };
        if let Some(((at, events), pace)) = consumer.served.take().zip(self.pace.as_mut()) {
            pace.took(at.elapsed(), events);
        }
        self.dispatcher.ask(subscription, demand);
    }

    /// Ends a subscription, and tells whether there was such a one.
    pub(super) fn cancel(&mut self, subscription: SubscriptionId) -> bool {
        let Some(consumer) = self.consumers.remove(&subscription) else {
            return false;
        };
        self.dispatcher.cancel(subscription);
        self.gauges.lost_consumer(consumer.link.meter());
        consumer.link.end(CancelReason::Done);
        true
    }

    /// Delivers what can be delivered, lays down what may be taken, and tells how many events that was.
    pub(super) fn flush(&mut self) -> usize {
        if self.gate == Gate::Accumulating || self.consumers.is_empty() {
            return 0;
        }
        let mut delivered = 0;
        let mut deliveries = std::mem::take(&mut self.deliveries);
        loop {
            delivered += self.dispatch(&mut deliveries);
            let mut is_any_lost = false;
            for delivery in deliveries.drain(..) {
                let count = delivery.events.len();
                match self.deliver(delivery) {
                    true => delivered += count,
                    false => is_any_lost = true,
                }
            }
            if !is_any_lost {
                break;
            }
        }
        self.deliveries = deliveries;
        delivered
    }

    /// Who waits is served first. What is left is laid down to be taken, if that may be; tells how much
    /// that was.
    fn dispatch(&mut self, deliveries: &mut Vec<Delivery<T>>) -> usize {
        let Self {
            dispatcher, buffer, ..
        } = self;
        let Some(shelf) = &self.shelf else {
            buffer.take_with(|events| dispatcher.dispatch(events, deliveries));
            return 0;
        };
        let fresh = buffer.len();
        if fresh == 0 && dispatcher.demand() == 0 {
            return 0;
        }
        shelf.with_events(|lying| {
            buffer.take_with(|events| lying.append(events));
            dispatcher.dispatch(lying, deliveries);
            lying.len().min(fresh)
        })
    }

    /// If the consumer is gone, its events go to the next who asks, as far as the dispatcher lets
    /// them.
    fn deliver(&mut self, delivery: Delivery<T>) -> bool {
        let subscription = delivery.subscription;
        let count = delivery.events.len() as u32;
        let Some(consumer) = self.consumers.get_mut(&subscription) else {
            // It was found gone by the delivery before.
            self.take_back(subscription, delivery.events);
            return false;
        };
        match consumer.link.deliver(delivery.events, delivery.missed) {
            Ok(()) => {
                let is_measured = self.pace.is_some();
                consumer.served = is_measured.then(|| (Instant::now(), count));
                true
            }
            Err(events) => {
                self.take_back(subscription, events);
                self.cancel(subscription);
                false
            }
        }
    }

    fn take_back(&mut self, subscription: SubscriptionId, events: Vec<T>) {
        let back = self.dispatcher.undelivered(subscription, events);
        self.buffer.put_back(back);
    }

    pub(super) fn overflow(&mut self) -> Option<Overflow<T>> {
        let overflow = self.buffer.overflow()?;
        self.gauges.dropped(overflow.events.len());
        Some(overflow)
    }

    pub(super) fn mark(&mut self) {
        self.buffer.mark();
    }

    pub(super) fn pass_mark(&mut self) -> bool {
        self.buffer.pass_mark(self.dispatcher.first_held())
    }

    /// Shows how things stand.
    pub(super) fn show(&self) {
        self.gauges.buffered(self.buffered());
        let partitions = self.dispatcher.partitions();
        if !partitions.is_empty() {
            self.gauges.partitions(partitions);
        }
    }

    /// Ends all subscriptions and drops what is left.
    pub(super) fn close(&mut self, reason: &CancelReason) {
        for consumer in std::mem::take(&mut self.consumers).into_values() {
            self.dispatcher.cancel(consumer.link.id());
            self.gauges.lost_consumer(consumer.link.meter());
            consumer.link.end(reason.clone());
        }
        self.retain(|_| false);
    }
}

impl<T: Send + 'static> Drop for Outlet<T> {
    /// Nobody takes any more of what a stage held that was killed.
    fn drop(&mut self) {
        if let Some(shelf) = &self.shelf {
            shelf.close();
        }
    }
}

impl<T: Send + 'static> fmt::Debug for Outlet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet")
            .field("demand", &self.demand())
            .field("buffered", &self.buffered())
            .field("consumers", &self.consumers())
            .finish_non_exhaustive()
    }
}
