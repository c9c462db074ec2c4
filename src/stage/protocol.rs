//! What consumers and producers say to each other.
//!
//! Invariants: a producer never delivers more than was asked for; what is delivered after a
//! cancellation is ignored by its subscription's id. An event that cannot be delivered comes back to
//! the producer as a value, and one that lies in a mailbox that is thrown away is dropped as a value.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use ractor::DerivedActorRef;

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
pub type ConsumerRef<T> = DerivedActorRef<ConsumerMessage<T>>;
/// A producer, as its consumers see it.
pub type ProducerRef<T> = DerivedActorRef<ProducerMessage<T>>;

/// From a consumer to its producer.
pub enum ProducerMessage<T: Send + 'static> {
    /// Begins a subscription, with no demand yet.
    Subscribe {
        /// Its identity, chosen by the consumer.
        subscription: SubscriptionId,
        /// Where its events go.
        consumer: ConsumerRef<T>,
    },
    /// Asks for this many more events. For an unknown subscription it is ignored.
    Ask {
        /// Who asks.
        subscription: SubscriptionId,
        /// How many more.
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
    },
    /// The producer ended the subscription.
    Cancelled {
        /// Which.
        subscription: SubscriptionId,
    },
}

#[cfg(feature = "cluster")]
impl<T: Send + 'static> ractor::Message for ProducerMessage<T> {}
#[cfg(feature = "cluster")]
impl<T: Send + 'static> ractor::Message for ConsumerMessage<T> {}

impl<T: Send + 'static> fmt::Debug for ProducerMessage<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subscribe { subscription, .. } => write!(f, "Subscribe({subscription:?})"),
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
            } => {
                write!(f, "Events({subscription:?}, {})", events.len())
            }
            Self::Cancelled { subscription } => write!(f, "Cancelled({subscription:?})"),
        }
    }
}

/// The consumer's end of a subscription. Dropping it cancels: a consumer that panics or is killed
/// drops its state, and with it its demand.
pub struct Subscription<T: Send + 'static> {
    id: SubscriptionId,
    producer: ProducerRef<T>,
}

impl<T: Send + 'static> Subscription<T> {
    /// Subscribes `consumer` to `producer`. If the producer is gone, asks go nowhere until the
    /// consumer subscribes to its successor.
    #[must_use]
    pub fn begin(producer: ProducerRef<T>, consumer: ConsumerRef<T>) -> Self {
        let id = SubscriptionId::fresh();
        let _gone = producer.send_message(ProducerMessage::Subscribe {
            subscription: id,
            consumer,
        });
        Self { id, producer }
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> SubscriptionId {
        self.id
    }

    /// Asks for `demand` more events; 0 asks for nothing.
    pub fn ask(&self, demand: u32) {
        if demand > 0 {
            // A producer that is gone has lost all demand; its successor is asked anew.
            let _gone = self.producer.send_message(ProducerMessage::Ask {
                subscription: self.id,
                demand,
            });
        }
    }
}

impl<T: Send + 'static> Drop for Subscription<T> {
    fn drop(&mut self) {
        // A producer that is gone has nothing to cancel.
        let _gone = self.producer.send_message(ProducerMessage::Cancel {
            subscription: self.id,
        });
    }
}

impl<T: Send + 'static> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subscription").field(&self.id).finish()
    }
}
