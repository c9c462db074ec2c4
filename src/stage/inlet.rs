//! One of a stage's producers, and the subscription to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::source::Announced;
use super::{
    Asks, Chunk, ConsumerMessage, ConsumerRef, Demand, Source, SubscribeOptions, Subscription,
    SubscriptionId,
};

/// One of a stage's producers, and what it wants of it. It stays the same from one subscription to
/// the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InletId(u64);

impl InletId {
    fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What reaches a stage from its producers' side.
pub(super) enum InletMessage<T: Send + 'static> {
    Consumer(ConsumerMessage<T>),
    /// Somebody is there now.
    Found(InletId, Announced<T>),
}

/// One of a stage's producers.
pub(super) struct Inlet<T: Send + 'static> {
    pub(super) id: InletId,
    pub(super) source: Source<T>,
    pub(super) options: SubscribeOptions<T>,
    pub(super) subscription: Option<Subscription<T>>,
    /// Which producer it is or was subscribed to, of those that follow each other at the source.
    pub(super) life: Option<u64>,
    pub(super) since: Instant,
    pub(super) failures: u32,
    pub(super) demand: Demand,
    /// Asked for and not come.
    pub(super) outstanding: u64,
    pub(super) missed: u64,
    pub(super) search: Option<Search>,
}

/// A search for a producer, which ends when this is dropped.
pub(super) struct Search(pub(super) tokio::task::JoinHandle<()>);

impl Drop for Search {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T: Send + 'static> Inlet<T> {
    pub(super) fn new(source: Source<T>, options: SubscribeOptions<T>) -> Self {
        Self {
            id: InletId::fresh(),
            demand: Demand::new(options.max_demand, options.min()),
            source,
            options,
            subscription: None,
            life: None,
            since: Instant::now(),
            failures: 0,
            outstanding: 0,
            missed: 0,
            search: None,
        }
    }

    /// Begins a subscription to the producer that was found.
    pub(super) fn begin(
        &mut self,
        found: Announced<T>,
        consumer: ConsumerRef<T>,
        name: &Arc<str>,
    ) -> &Subscription<T> {
        self.search = None;
        self.life = Some(found.life);
        self.since = Instant::now();
        self.outstanding = 0;
        let wishes = self.options.wishes.clone();
        let subscription = Subscription::begin(found.producer, consumer, wishes, name);
        let subscription = self.subscription.insert(subscription);
        if self.options.asks == Asks::Automatic {
            let demand = self.demand.begin();
            self.outstanding = u64::from(demand);
            subscription.ask(demand);
        }
        subscription
    }

    /// The first step of the events that have come: how many they are, and what to ask for then.
    pub(super) fn step(&mut self, events: usize) -> Chunk {
        match self.options.asks {
            Asks::Automatic => self.demand.take(events),
            Asks::Manual | Asks::Forwarded => Chunk {
                len: events,
                ask_after: 0,
            },
        }
    }

    pub(super) fn is_subscribed(&self, subscription: SubscriptionId) -> bool {
        self.subscription
            .as_ref()
            .is_some_and(|current| current.id() == subscription)
    }

    /// Asks for one more, and returns it if it lay ready.
    pub(super) fn ask_one(&mut self, now: Instant) -> Option<T> {
        let taken = self.subscription.as_mut()?.take_one_or_ask(now);
        self.outstanding += u64::from(taken.is_none());
        taken
    }

    /// Asks for more, and returns what lay ready.
    pub(super) fn ask(&mut self, demand: u32) -> Vec<T> {
        let Some(subscription) = &mut self.subscription else {
            return Vec::new();
        };
        let taken = subscription.take_or_ask(demand);
        self.outstanding += u64::from(demand) - taken.len() as u64;
        taken
    }
}
