//! Who gets which event: pure state machines behind one trait.

mod broadcast;
mod demand;
mod partition;
#[cfg(test)]
mod properties;

use std::collections::VecDeque;
use std::fmt;

pub use broadcast::BroadcastDispatcher;
pub use demand::DemandDispatcher;
pub use partition::{DEFAULT_PARTITION_QUEUE, PartitionDispatcher};

use super::{PartitionLoad, SubscriptionId, Wishes};

/// Who gets which event. A pure state machine: it sends nothing, waits for nothing, and knows
/// consumers by the ids of their subscriptions alone.
///
/// The runtime calls [`subscribe`](Self::subscribe) before anything else of a subscription, and
/// nothing of it after [`cancel`](Self::cancel). It asks the producer for as many events as
/// [`demand`](Self::demand) says, less those it has buffered, so a dispatcher need not remember what
/// was passed on.
///
/// # Examples
///
/// One that gives every event to whoever subscribed last:
///
/// ```
/// use std::collections::VecDeque;
/// use callboard::stage::{Delivery, Dispatcher, Refusal, SubscriptionId, Wishes};
///
/// #[derive(Default)]
/// struct LastComer {
///     comers: Vec<(SubscriptionId, u64)>,
/// }
///
/// impl<T: Send + 'static> Dispatcher<T> for LastComer {
///     fn subscribe(&mut self, id: SubscriptionId, _: &Wishes<T>) -> Result<(), Refusal> {
///         self.comers.push((id, 0));
///         Ok(())
///     }
///     fn cancel(&mut self, id: SubscriptionId) {
///         self.comers.retain(|(comer, _)| *comer != id);
///     }
///     fn ask(&mut self, id: SubscriptionId, demand: u32) {
///         let asked = self.comers.iter_mut().find(|(comer, _)| *comer == id);
///         asked.into_iter().for_each(|(_, unmet)| *unmet += u64::from(demand));
///     }
///     fn demand(&self) -> u64 {
///         self.comers.last().map_or(0, |(_, unmet)| *unmet)
///     }
///     fn dispatch(&mut self, events: &mut VecDeque<T>, deliveries: &mut Vec<Delivery<T>>) {
///         let Some((id, unmet)) = self.comers.last_mut() else { return };
///         let count = events.len().min(*unmet as usize);
///         if count > 0 {
///             *unmet -= count as u64;
///             deliveries.push(Delivery::new(*id, events.drain(..count).collect()));
///         }
///     }
/// }
/// ```
pub trait Dispatcher<T>: Send + 'static {
    /// Begins a subscription.
    ///
    /// # Errors
    ///
    /// A [`Refusal`], which ends the subscription.
    fn subscribe(
        &mut self,
        subscription: SubscriptionId,
        wishes: &Wishes<T>,
    ) -> Result<(), Refusal>;

    /// Ends a subscription and forgets its unmet demand.
    fn cancel(&mut self, subscription: SubscriptionId);

    /// Adds to the demand of a subscription.
    fn ask(&mut self, subscription: SubscriptionId, demand: u32);

    /// How many events it can use at present.
    fn demand(&self) -> u64;

    /// Takes events from the front of `events`, as many as it can use, and says who gets them. What
    /// stays is offered again.
    fn dispatch(&mut self, events: &mut VecDeque<T>, deliveries: &mut Vec<Delivery<T>>);

    /// Takes back the events of a delivery whose consumer is gone. Its [`cancel`](Self::cancel)
    /// follows the first of them. Returns those that any other consumer may have instead.
    fn undelivered(&mut self, _subscription: SubscriptionId, events: Vec<T>) -> Vec<T> {
        events
    }

    /// The number of the first event that it has taken and still holds, counted from 0 by their
    /// taking; `None` if it holds none.
    fn first_held(&self) -> Option<u64> {
        None
    }

    /// The load of each of its partitions, if it has any. Read after every step.
    fn partitions(&self) -> Vec<PartitionLoad> {
        Vec::new()
    }
}

/// Events for one consumer.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery<T> {
    /// Whose.
    pub subscription: SubscriptionId,
    /// What it gets: at least one.
    pub events: Vec<T>,
    /// How many passed by before these.
    pub missed: u64,
}

impl<T> Delivery<T> {
    /// Events for one consumer, which has missed none.
    #[must_use]
    pub fn new(subscription: SubscriptionId, events: Vec<T>) -> Self {
        Self {
            subscription,
            events,
            missed: 0,
        }
    }
}

/// Why a dispatcher does not take a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no partition of this number.
    NoSuchPartition {
        /// The number asked for.
        partition: u32,
        /// How many there are.
        partitions: u32,
    },
    /// Another consumer has this partition.
    PartitionTaken {
        /// The number asked for.
        partition: u32,
    },
    /// For a reason of its own.
    Other(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchPartition {
                partition,
                partitions,
            } => {
                let last = partitions.saturating_sub(1);
                write!(
                    f,
                    "there is no partition {partition}; they are numbered 0 to {last}"
                )
            }
            Self::PartitionTaken { partition } => {
                write!(f, "partition {partition} has a consumer already")
            }
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

/// Takes the first `count` events; all of them without moving each.
fn take_front<T>(events: &mut VecDeque<T>, count: usize) -> Vec<T> {
    if count == events.len() {
        return std::mem::take(events).into();
    }
    events.drain(..count).collect()
}

/// What a consumer's stage has for a dispatcher: there is nobody to dispatch to.
#[derive(Debug)]
pub(super) struct NoDispatcher;

impl<T> Dispatcher<T> for NoDispatcher {
    fn subscribe(&mut self, _: SubscriptionId, _: &Wishes<T>) -> Result<(), Refusal> {
        Err(Refusal::Other("a consumer has no events".to_owned()))
    }

    fn cancel(&mut self, _: SubscriptionId) {}

    fn ask(&mut self, _: SubscriptionId, _: u32) {}

    fn demand(&self) -> u64 {
        0
    }

    fn dispatch(&mut self, _: &mut VecDeque<T>, _: &mut Vec<Delivery<T>>) {}
}
