//! What consumers and producers say to each other, and the two ends of a subscription.
//!
//! Invariants: a producer never delivers more than was asked for; what is delivered after a
//! cancellation is told by its subscription's id and dropped. Each end is an owned value whose `Drop`
//! tells the other, so that a crash, a kill or a mailbox that is thrown away ends the subscription on
//! both sides. An event that cannot be delivered comes back to the producer as a value.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::meter::Meter;
use super::shelf::Shelf;
use super::{Mailbox, Refusal, Wishes};

/// A subscription's identity, unique in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(u64);

impl SubscriptionId {
    /// An id that was never given out before in this process.
    #[must_use]
    pub fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A consumer, as its producer sees it.
pub type ConsumerRef<T> = Mailbox<ConsumerMessage<T>>;
/// A producer, as its consumers see it.
pub type ProducerRef<T> = Mailbox<ProducerMessage<T>>;

/// Why a subscription ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelReason {
    /// The producer has no more events, or the consumer wanted no more.
    Done,
    /// The producer was stopped.
    Shutdown,
    /// The producer crashed, was killed, or was not there.
    Down,
    /// The producer's dispatcher did not take the subscription.
    Refused(Refusal),
}

impl CancelReason {
    /// Whether nothing went wrong.
    #[must_use]
    pub fn is_normal(&self) -> bool {
        matches!(self, Self::Done | Self::Shutdown)
    }
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Shutdown => f.write_str("the producer was stopped"),
            Self::Down => f.write_str("the producer is gone"),
            Self::Refused(refusal) => write!(f, "refused: {refusal}"),
        }
    }
}

/// From a consumer to its producer.
pub enum ProducerMessage<T: Send + 'static> {
    /// Begins a subscription, with no demand yet. Whoever drops the link ends it.
    Subscribe(Box<ConsumerLink<T>>),
    /// Asks for this many more events. For an unknown subscription it is ignored.
    Ask {
        /// Who asks.
        subscription: SubscriptionId,
        /// How many more; 0 says only that what lay ready runs low.
        demand: u32,
    },
    /// Ends a subscription and takes back its unmet demand.
    Cancel {
        /// Which.
        subscription: SubscriptionId,
    },
}

/// From a producer to a consumer.
pub enum ConsumerMessage<T: Send + 'static> {
    /// Events that were asked for.
    Events {
        /// By which subscription.
        subscription: SubscriptionId,
        /// At least one.
        events: Vec<T>,
        /// How many passed by before these, because the consumer was behind and had chosen
        /// [`WhenBehind::Miss`](super::WhenBehind::Miss).
        missed: u64,
    },
    /// The subscription is over.
    Cancelled {
        /// Which.
        subscription: SubscriptionId,
        /// Why.
        reason: CancelReason,
    },
}

impl<T: Send + 'static> fmt::Debug for ProducerMessage<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subscribe(link) => write!(f, "Subscribe({:?})", link.id),
            Self::Ask {
                subscription,
                demand,
            } => write!(f, "Ask({subscription:?}, {demand})"),
            Self::Cancel { subscription } => write!(f, "Cancel({subscription:?})"),
        }
    }
}

impl<T: Send + 'static> fmt::Debug for ConsumerMessage<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Events {
                subscription,
                events,
                ..
            } => write!(f, "Events({subscription:?}, {})", events.len()),
            Self::Cancelled {
                subscription,
                reason,
            } => write!(f, "Cancelled({subscription:?}, {reason})"),
        }
    }
}

/// The producer's end of a subscription. Dropping it tells the consumer that the producer is
/// [down](CancelReason::Down), so a producer that crashes or is killed cannot forget to.
pub struct ConsumerLink<T: Send + 'static> {
    id: SubscriptionId,
    consumer: ConsumerRef<T>,
    wishes: Wishes<T>,
    meter: Arc<Meter>,
    within_reach: WithinReach<T>,
    reason: CancelReason,
}

/// What the producer holds ready for its consumers, once it has taken the subscription, and if it does.
type WithinReach<T> = Arc<OnceLock<Arc<Shelf<T>>>>;

impl<T: Send + 'static> ConsumerLink<T> {
    /// The subscription's identity.
    #[must_use]
    pub fn id(&self) -> SubscriptionId {
        self.id
    }

    /// What the consumer wants of the dispatcher.
    #[must_use]
    pub fn wishes(&self) -> &Wishes<T> {
        &self.wishes
    }

    /// Delivers events, which must have been asked for.
    ///
    /// # Errors
    ///
    /// The events, when the consumer is gone.
    pub fn deliver(&self, events: Vec<T>, missed: u64) -> Result<(), Vec<T>> {
        let count = events.len();
        let message = ConsumerMessage::Events {
            subscription: self.id,
            events,
            missed,
        };
        match self.consumer.send(message) {
            Ok(()) => {
                self.meter.delivered(count, missed);
                Ok(())
            }
            Err(back) => match back.0 {
                Some(ConsumerMessage::Events { events, .. }) => Err(events),
                _ => Err(Vec::new()),
            },
        }
    }

    /// Ends the subscription for this reason.
    pub fn end(mut self, reason: CancelReason) {
        self.reason = reason;
    }

    pub(super) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// Lets the consumer take by itself what lies ready.
    pub(super) fn let_take(&self, shelf: &Arc<Shelf<T>>) {
        self.within_reach.get_or_init(|| Arc::clone(shelf));
    }
}

impl<T: Send + 'static> Drop for ConsumerLink<T> {
    fn drop(&mut self) {
        // A consumer that is gone has nothing to be told.
        let _gone = self.consumer.send(ConsumerMessage::Cancelled {
            subscription: self.id,
            reason: self.reason.clone(),
        });
    }
}

impl<T: Send + 'static> fmt::Debug for ConsumerLink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConsumerLink").field(&self.id).finish()
    }
}

/// The consumer's end of a subscription. Dropping it cancels: a consumer that panics or is killed
/// drops its state, and with it its demand.
pub struct Subscription<T: Send + 'static> {
    id: SubscriptionId,
    producer: ProducerRef<T>,
    meter: Arc<Meter>,
    within_reach: WithinReach<T>,
    /// When it was last served, with how many events.
    served: Option<(Instant, u32)>,
    is_over: bool,
}

impl<T: Send + 'static> Subscription<T> {
    /// Subscribes `consumer`, called `name` for people, to `producer`. If the producer is gone, the
    /// consumer is told so as it is told of every end.
    #[must_use]
    pub fn begin(
        producer: ProducerRef<T>,
        consumer: ConsumerRef<T>,
        wishes: Wishes<T>,
        name: &Arc<str>,
    ) -> Self {
        let id = SubscriptionId::fresh();
        let meter = Arc::new(Meter::new(Arc::clone(name)));
        let within_reach = WithinReach::default();
        // Undelivered, the link is dropped, which tells the consumer.
        let _gone = producer.send(ProducerMessage::Subscribe(Box::new(ConsumerLink {
            id,
            consumer,
            wishes,
            meter: Arc::clone(&meter),
            within_reach: Arc::clone(&within_reach),
            reason: CancelReason::Down,
        })));
        Self {
            id,
            producer,
            meter,
            within_reach,
            served: None,
            is_over: false,
        }
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> SubscriptionId {
        self.id
    }

    /// Asks for `demand` more events; 0 asks for nothing.
    pub fn ask(&self, demand: u32) {
        if demand > 0 {
            self.meter.asked(demand);
            self.send_ask(demand);
        }
    }

    /// Takes what lies ready of the `demand` more events that are wanted, and asks for the rest.
    pub(super) fn take_or_ask(&mut self, demand: u32) -> Vec<T> {
        let Some(shelf) = self.within_reach.get().filter(|_| demand > 0) else {
            self.ask(demand);
            return Vec::new();
        };
        let now = Instant::now();
        let spent = self.served.take().map(spent_until(now));
        let taken = shelf.take(demand, spent);
        self.took(taken.events.len() as u32, demand, taken.is_low, now);
        taken.events
    }

    /// As [`take_or_ask`](Self::take_or_ask), for one.
    pub(super) fn take_one_or_ask(&mut self, now: Instant) -> Option<T> {
        let Some(shelf) = self.within_reach.get() else {
            self.ask(1);
            return None;
        };
        let spent = self.served.take().map(spent_until(now));
        match shelf.take_one(spent) {
            Some((event, is_low)) => {
                self.took(1, 1, is_low, now);
                Some(event)
            }
            None => {
                self.took(0, 1, false, now);
                None
            }
        }
    }

    /// So many events of what is asked for were taken; the rest is asked for.
    fn took(&mut self, events: u32, demand: u32, is_low: bool, now: Instant) {
        self.meter.asked(demand);
        if events > 0 {
            self.meter.delivered(events as usize, 0);
            self.served = Some((now, events));
        }
        let rest = demand - events;
        if rest > 0 || is_low {
            self.send_ask(rest);
        }
    }

    /// It was served by a message.
    pub(super) fn was_served(&mut self, events: usize) {
        if self.within_reach.get().is_some() {
            self.served = Some((Instant::now(), events as u32));
        }
    }

    fn send_ask(&self, demand: u32) {
        // A producer that is gone has lost all demand; its successor is asked anew.
        let _gone = self.producer.send(ProducerMessage::Ask {
            subscription: self.id,
            demand,
        });
    }

    /// The producer has ended it: there is nobody to tell.
    pub(super) fn forget(mut self) {
        self.is_over = true;
    }

    pub(super) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }
}

fn spent_until(now: Instant) -> impl Fn((Instant, u32)) -> (Duration, u32) {
    move |(since, events)| (now.duration_since(since), events)
}

impl<T: Send + 'static> Drop for Subscription<T> {
    fn drop(&mut self) {
        if !self.is_over {
            // A producer that is gone has nothing to cancel.
            let _gone = self.producer.send(ProducerMessage::Cancel {
                subscription: self.id,
            });
        }
    }
}

impl<T: Send + 'static> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subscription").field(&self.id).finish()
    }
}
