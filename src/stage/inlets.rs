//! A stage's side towards its producers: its subscriptions, and what has come of them.
//!
//! Invariants: events of a subscription that is over are dropped as values; what a producer sent
//! before it ended a subscription is handled before the end is.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::ActorCell;

use super::inlet::{Inlet, InletMessage, Search};
use super::meter::Gauges;
use super::outlet::End;
use super::source::Announced;
use super::{
    Asks, Cancel, CancelReason, ConsumerMessage, InletId, Mailbox, Source, StageError,
    SubscribeOptions, Subscription, SubscriptionId,
};

/// A stage's side towards its producers.
pub struct Inlets<T: Send + 'static> {
    name: Arc<str>,
    actor: ActorCell,
    myself: Mailbox<InletMessage<T>>,
    consumer: Mailbox<ConsumerMessage<T>>,
    inlets: Vec<Inlet<T>>,
    incoming: VecDeque<Incoming<T>>,
    waiting: usize,
    from: Option<InletId>,
    end: Option<End>,
    gauges: Arc<Gauges>,
}

/// What has come and is not handled yet, in order.
pub(super) enum Incoming<T> {
    Events {
        inlet: InletId,
        subscription: SubscriptionId,
        events: Vec<T>,
        ask_after: u32,
    },
    Cancelled {
        inlet: InletId,
        subscription: SubscriptionId,
        reason: CancelReason,
    },
    /// A marker stands here, on its way to the buffer.
    Mark,
}

/// A subscription that is over.
pub(super) struct Lost {
    pub(super) inlet: InletId,
    pub(super) reason: CancelReason,
    pub(super) source: Arc<str>,
    pub(super) cancel: Cancel,
}

impl<T: Send + 'static> Inlets<T> {
    pub(super) fn new(
        name: Arc<str>,
        actor: ActorCell,
        myself: Mailbox<InletMessage<T>>,
        consumer: Mailbox<ConsumerMessage<T>>,
        gauges: Arc<Gauges>,
    ) -> Self {
        Self {
            name,
            actor,
            myself,
            consumer,
            inlets: Vec::new(),
            incoming: VecDeque::new(),
            waiting: 0,
            from: None,
            end: None,
            gauges,
        }
    }

    /// Subscribes to a producer: at once, or as soon as somebody is there.
    ///
    /// # Errors
    ///
    /// [`StageError::Option`] if an option is out of its range.
    pub fn subscribe(
        &mut self,
        source: Source<T>,
        options: SubscribeOptions<T>,
    ) -> Result<InletId, StageError> {
        options.check(source.name())?;
        let inlet = Inlet::new(source, options);
        let id = inlet.id;
        self.inlets.push(inlet);
        self.search(id, None, Duration::ZERO);
        Ok(id)
    }

    /// Ends a subscription. What has come of it and is not handled is dropped, and no event of it is
    /// delivered any more. One that is not there is ignored.
    pub fn cancel(&mut self, inlet: InletId) {
        let Some(index) = self.inlets.iter().position(|known| known.id == inlet) else {
            return;
        };
        let gone = self.inlets.swap_remove(index);
        if let Some(subscription) = gone.subscription {
            self.gauges.lost_producer(subscription.meter());
        }
        self.drop_incoming(inlet);
    }

    /// Cancels a subscription and begins another in its place. One that is not there is ignored.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe); the old one is cancelled even so.
    pub fn resubscribe(
        &mut self,
        inlet: InletId,
        source: Source<T>,
        options: SubscribeOptions<T>,
    ) -> Result<InletId, StageError> {
        self.cancel(inlet);
        self.subscribe(source, options)
    }

    /// Asks for `demand` more events. For subscriptions with [`Asks::Manual`]; one that has no
    /// producer at present is told when it [has](super::Consumer::subscribed) and asks then.
    pub fn ask(&mut self, inlet: InletId, demand: u32) {
        if let Some(index) = self.inlets.iter().position(|known| known.id == inlet) {
            self.ask_of(index, demand);
        }
    }

    /// Asks for one more event, and returns it if it lay ready: for a stage that handles it at once, and need not
    /// hear of it first. Only when all that has come is handled.
    pub(crate) fn ask_one(&mut self, inlet: InletId, now: Instant) -> Option<T> {
        let index = self.inlets.iter().position(|known| known.id == inlet)?;
        self.inlets[index].ask_one(now)
    }

    /// Asks, and takes in at once what lay ready.
    fn ask_of(&mut self, index: usize, demand: u32) {
        let events = self.inlets[index].ask(demand);
        if !events.is_empty() {
            self.take_in(index, events);
        }
    }

    /// The actor that runs the stage. Actors linked to it end with it, and it ends when they do.
    #[must_use]
    pub fn actor(&self) -> &ActorCell {
        &self.actor
    }

    /// Which producer the events come from that are being handled.
    #[must_use]
    pub fn from(&self) -> Option<InletId> {
        self.from
    }

    /// All inlets, in the order of their beginning.
    pub fn ids(&self) -> impl Iterator<Item = InletId> {
        let mut ids: Vec<InletId> = self.inlets.iter().map(|inlet| inlet.id).collect();
        ids.sort_unstable();
        ids.into_iter()
    }

    /// How many events are asked for and have not come.
    #[must_use]
    pub fn outstanding(&self, inlet: InletId) -> u64 {
        let found = self.inlets.iter().find(|known| known.id == inlet);
        found.map_or(0, |inlet| inlet.outstanding)
    }

    /// How many events have passed by, as [`WhenBehind::Miss`](super::WhenBehind::Miss) allows.
    #[must_use]
    pub fn missed(&self, inlet: InletId) -> u64 {
        let found = self.inlets.iter().find(|known| known.id == inlet);
        found.map_or(0, |inlet| inlet.missed)
    }

    /// Ends the stage when the callback returns. What has come and is not handled is dropped.
    pub fn stop(&mut self) {
        self.end = Some(End::Now);
    }

    pub(super) fn end(&self) -> Option<End> {
        self.end
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.incoming.is_empty()
    }

    /// Takes what has come. Events of a subscription that is over are dropped.
    pub(super) fn receive(&mut self, message: ConsumerMessage<T>) {
        match message {
            ConsumerMessage::Events {
                subscription,
                events,
                missed,
            } => self.take(subscription, events, missed),
            ConsumerMessage::Cancelled {
                subscription,
                reason,
            } => {
                if let Some(inlet) = self.of(subscription) {
                    let inlet = inlet.id;
                    // Behind the events that came before.
                    self.incoming.push_back(Incoming::Cancelled {
                        inlet,
                        subscription,
                        reason,
                    });
                }
            }
        }
    }

    fn take(&mut self, subscription: SubscriptionId, events: Vec<T>, missed: u64) {
        let mut inlets = self.inlets.iter();
        let Some(index) = inlets.position(|inlet| inlet.is_subscribed(subscription)) else {
            return;
        };
        let inlet = &mut self.inlets[index];
        inlet.outstanding = inlet.outstanding.saturating_sub(events.len() as u64);
        inlet.missed += missed;
        if let Some(subscription) = &mut inlet.subscription {
            subscription.was_served(events.len());
        }
        self.take_in(index, events);
    }

    fn take_in(&mut self, index: usize, mut events: Vec<T>) {
        let inlet = &mut self.inlets[index];
        let Some(subscription) = inlet.subscription.as_ref().map(Subscription::id) else {
            return;
        };
        self.waiting += events.len();
        loop {
            let chunk = inlet.step(events.len());
            let rest = match chunk.len < events.len() {
                true => events.split_off(chunk.len),
                false => Vec::new(),
            };
            self.incoming.push_back(Incoming::Events {
                inlet: inlet.id,
                subscription,
                events,
                ask_after: chunk.ask_after,
            });
            events = rest;
            if events.is_empty() {
                return;
            }
        }
    }

    /// Subscribes to the producer that was found. Tells whether it is still wanted.
    pub(super) fn found(&mut self, id: InletId, found: Announced<T>) -> bool {
        let (consumer, name) = (self.consumer.clone(), Arc::clone(&self.name));
        let Some(inlet) = self.find(id).filter(|inlet| inlet.subscription.is_none()) else {
            return false;
        };
        let source = Arc::clone(inlet.source.name());
        let meter = Arc::clone(inlet.begin(found, consumer, &name).meter());
        self.gauges.gained_producer(&source, &meter);
        true
    }

    /// The next that has come; events only if there is demand for what is made of them.
    pub(super) fn next(&mut self, has_demand: bool) -> Option<Incoming<T>> {
        if !self.is_any_ready(has_demand) {
            return None;
        }
        let next = self.incoming.pop_front()?;
        if let Incoming::Events { events, inlet, .. } = &next {
            self.waiting -= events.len();
            self.from = Some(*inlet);
        }
        Some(next)
    }

    pub(super) fn is_any_ready(&self, has_demand: bool) -> bool {
        match self.incoming.front() {
            Some(Incoming::Events { .. }) => has_demand,
            Some(_) => true,
            None => false,
        }
    }

    /// Events are handled: asks for more, unless their subscription is over.
    pub(super) fn handled(&mut self, subscription: SubscriptionId, ask_after: u32) {
        self.from = None;
        let mut inlets = self.inlets.iter();
        if let Some(index) = inlets.position(|inlet| inlet.is_subscribed(subscription)) {
            self.ask_of(index, ask_after);
        }
    }

    /// Sets a marker behind what has come.
    pub(super) fn mark(&mut self) {
        self.incoming.push_back(Incoming::Mark);
    }

    /// A subscription is over: takes it off, and begins to look for the producer's successor if it is
    /// to.
    pub(super) fn lose(
        &mut self,
        id: InletId,
        subscription: SubscriptionId,
        reason: CancelReason,
    ) -> Option<Lost> {
        let index = self.inlets.iter().position(|inlet| inlet.id == id)?;
        let inlet = &mut self.inlets[index];
        let over = inlet
            .subscription
            .take_if(|current| current.id() == subscription)?;
        self.gauges.lost_producer(over.meter());
        over.forget();
        inlet.outstanding = 0;
        let lost = Lost {
            inlet: id,
            source: Arc::clone(inlet.source.name()),
            cancel: inlet.options.cancel,
            reason,
        };
        let Cancel::Resubscribe(backoff) = lost.cancel else {
            self.inlets.swap_remove(index);
            return Some(lost);
        };
        inlet.failures = backoff.count_failure(inlet.failures, Some(inlet.since.elapsed()));
        let wait = match inlet.failures {
            1 => Duration::ZERO,
            failures => backoff.delay(failures - 1, fastrand::f64()),
        };
        // Who refused may take us later; who is gone will not come back, but a successor may.
        let life = match lost.reason {
            CancelReason::Refused(_) => None,
            _ => inlet.life,
        };
        self.search(id, life, wait);
        Some(lost)
    }

    /// Asks for what the stage's consumers have asked for and it has not given them.
    pub(super) fn forward(&mut self, demand: usize) {
        let waiting = self.waiting as u64;
        for index in 0..self.inlets.len() {
            let inlet = &self.inlets[index];
            if inlet.options.asks == Asks::Forwarded && inlet.subscription.is_some() {
                let wanted = (demand as u64).min(u64::from(inlet.options.max_demand));
                let missing = wanted.saturating_sub(inlet.outstanding + waiting);
                self.ask_of(index, missing as u32);
            }
        }
    }

    pub(super) fn show(&self) {
        self.gauges.waiting(self.waiting);
    }

    /// Cancels everything, and drops what has come.
    pub(super) fn close(&mut self) {
        for inlet in self.inlets.drain(..) {
            if let Some(subscription) = inlet.subscription {
                self.gauges.lost_producer(subscription.meter());
            }
        }
        self.incoming.clear();
        self.waiting = 0;
    }

    /// Looks for a producer other than that of `life`.
    fn search(&mut self, id: InletId, life: Option<u64>, wait: Duration) {
        let myself = self.myself.clone();
        let Some(inlet) = self.find(id) else { return };
        if wait.is_zero()
            && let Some(found) = inlet.source.other_than(life)
        {
            // A stage that is gone looks for nobody.
            let _gone = myself.send(InletMessage::Found(id, found));
            return;
        }
        let finding = inlet.source.clone().find(life);
        inlet.search = Some(Search(tokio::spawn(async move {
            let found = finding.await;
            tokio::time::sleep(wait).await;
            let _gone = myself.send(InletMessage::Found(id, found));
        })));
    }

    fn find(&mut self, id: InletId) -> Option<&mut Inlet<T>> {
        self.inlets.iter_mut().find(|inlet| inlet.id == id)
    }

    fn of(&mut self, subscription: SubscriptionId) -> Option<&mut Inlet<T>> {
        self.inlets
            .iter_mut()
            .find(|inlet| inlet.is_subscribed(subscription))
    }

    fn drop_incoming(&mut self, gone: InletId) {
        self.incoming.retain(|incoming| match incoming {
            Incoming::Events { inlet, .. } | Incoming::Cancelled { inlet, .. } => *inlet != gone,
            Incoming::Mark => true,
        });
        let counted = self.incoming.iter().map(|incoming| match incoming {
            Incoming::Events { events, .. } => events.len(),
            _ => 0,
        });
        self.waiting = counted.sum();
    }
}

impl<T: Send + 'static> fmt::Debug for Inlets<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inlets")
            .field("inlets", &self.inlets.len())
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}
