//! The same key, the same consumer, in order.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};

use super::{Delivery, Dispatcher, Refusal};
use crate::stage::{PartitionLoad, SubscriptionId, Wishes};

/// How many events wait for one partition at most unless chosen otherwise.
pub const DEFAULT_PARTITION_QUEUE: usize = 1_000;

type PartitionOf<T> = Box<dyn Fn(&T) -> u64 + Send>;

/// Gives events of the same key to the same consumer, in order: each key belongs to a partition, and
/// each partition has one consumer.
///
/// - A consumer gets the partition it [wants](crate::stage::SubscribeOptions::partition), or the
///   first that has none. Who comes when all are taken stands by.
/// - Events for a partition wait in a queue of its own, at most [`DEFAULT_PARTITION_QUEUE`] unless
///   chosen otherwise. While any of them is full, nothing more is asked of the producer, so a skewed
///   key slows everybody down and fills no memory. A producer that can choose sees the
///   [demand of each partition](crate::stage::Outlet::partitions).
/// - When a consumer is lost, what waits for it is handed over: to one that stands by, or to the next
///   that comes. What it had been given before is its own.
pub struct PartitionDispatcher<T> {
    partition_of: PartitionOf<T>,
    partitions: Vec<Partition<T>>,
    /// Which partition a consumer has.
    places: HashMap<SubscriptionId, u32>,
    /// Who stands by, and what it has asked for.
    spare: VecDeque<(SubscriptionId, u64)>,
    max_queue: usize,
    taken: u64,
}

struct Partition<T> {
    consumer: Option<SubscriptionId>,
    unmet: u64,
    /// The events, with their numbers.
    queue: VecDeque<(u64, T)>,
    /// What its consumer gets of the dispatch under way.
    events: Vec<T>,
}

impl<T> PartitionDispatcher<T> {
    /// Partitions by a key, which is hashed.
    ///
    /// # Panics
    ///
    /// If `partitions` is 0.
    #[must_use]
    pub fn by_key<K: Hash>(partitions: u32, key: impl Fn(&T) -> K + Send + 'static) -> Self {
        // Without a random seed, so that a restarted stage partitions as before.
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        Self::by_number(partitions, move |event| hasher.hash_one(key(event)))
    }

    /// Partitions by a number, which is taken modulo `partitions`.
    ///
    /// # Panics
    ///
    /// If `partitions` is 0.
    #[must_use]
    pub fn by_number(partitions: u32, number: impl Fn(&T) -> u64 + Send + 'static) -> Self {
        assert!(partitions > 0, "there must be at least one partition");
        let empty = || Partition {
            consumer: None,
            unmet: 0,
            queue: VecDeque::new(),
            events: Vec::new(),
        };
        Self {
            partition_of: Box::new(number),
            partitions: (0..partitions).map(|_| empty()).collect(),
            places: HashMap::new(),
            spare: VecDeque::new(),
            max_queue: DEFAULT_PARTITION_QUEUE,
            taken: 0,
        }
    }

    /// Lets this many events wait for one partition (default [`DEFAULT_PARTITION_QUEUE`], at least
    /// 1). With few, a busy key holds the others up sooner.
    #[must_use]
    pub fn max_queue(mut self, events: usize) -> Self {
        self.max_queue = events.max(1);
        self
    }

    fn seat(&mut self, subscription: SubscriptionId, partition: u32, unmet: u64) {
        let seat = &mut self.partitions[partition as usize];
        (seat.consumer, seat.unmet) = (Some(subscription), unmet);
        self.places.insert(subscription, partition);
    }

    fn first_free(&self) -> Option<u32> {
        let free = self.partitions.iter().position(Partition::is_free);
        free.map(|partition| partition as u32)
    }

    /// Takes events until one of them has no room.
    fn take(&mut self, events: &mut VecDeque<T>) {
        while let Some(event) = events.front() {
            let number = (self.partition_of)(event) % self.partitions.len() as u64;
            let partition = &mut self.partitions[number as usize];
            let is_given = partition.unmet > 0 && partition.queue.is_empty();
            if !is_given && partition.queue.len() >= self.max_queue {
                return;
            }
            let event = events.pop_front().expect("it was at the front");
            if is_given {
                partition.unmet -= 1;
                partition.events.push(event);
            } else {
                partition.queue.push_back((self.taken, event));
            }
            self.taken += 1;
        }
    }
}

impl<T> Partition<T> {
    fn is_free(&self) -> bool {
        self.consumer.is_none()
    }

    /// Gives from the queue what was asked for.
    fn serve(&mut self) {
        let count = self.queue.len().min(self.unmet as usize);
        self.unmet -= count as u64;
        let served = self.queue.drain(..count).map(|(_, event)| event);
        self.events.extend(served);
    }

    fn delivery(&mut self) -> Option<Delivery<T>> {
        let consumer = self.consumer.filter(|_| !self.events.is_empty())?;
        Some(Delivery::new(consumer, std::mem::take(&mut self.events)))
    }
}

impl<T: Send + 'static> Dispatcher<T> for PartitionDispatcher<T> {
    fn subscribe(
        &mut self,
        subscription: SubscriptionId,
        wishes: &Wishes<T>,
    ) -> Result<(), Refusal> {
        let Some(wanted) = wishes.partition else {
            match self.first_free() {
                Some(free) => self.seat(subscription, free, 0),
                None => self.spare.push_back((subscription, 0)),
            }
            return Ok(());
        };
        match self.partitions.get(wanted as usize) {
            None => Err(Refusal::NoSuchPartition {
                partition: wanted,
                partitions: self.partitions.len() as u32,
            }),
            Some(partition) if !partition.is_free() => {
                Err(Refusal::PartitionTaken { partition: wanted })
            }
            Some(_) => {
                self.seat(subscription, wanted, 0);
                Ok(())
            }
        }
    }

    fn cancel(&mut self, subscription: SubscriptionId) {
        let Some(place) = self.places.remove(&subscription) else {
            self.spare.retain(|(spare, _)| *spare != subscription);
            return;
        };
        let partition = &mut self.partitions[place as usize];
        (partition.consumer, partition.unmet) = (None, 0);
        if let Some((spare, unmet)) = self.spare.pop_front() {
            self.seat(spare, place, unmet);
        }
    }

    fn ask(&mut self, subscription: SubscriptionId, demand: u32) {
        if let Some(place) = self.places.get(&subscription) {
            self.partitions[*place as usize].unmet += u64::from(demand);
        } else if let Some((_, unmet)) = self.spare.iter_mut().find(|(id, _)| *id == subscription) {
            *unmet += u64::from(demand);
        }
    }

    fn demand(&self) -> u64 {
        let is_full = |partition: &Partition<T>| partition.queue.len() >= self.max_queue;
        if self.partitions.iter().any(is_full) {
            return 0;
        }
        let unmet = |partition: &Partition<T>| {
            let queued = partition.queue.len() as u64;
            partition.unmet.saturating_sub(queued)
        };
        self.partitions.iter().map(unmet).sum()
    }

    fn dispatch(&mut self, events: &mut VecDeque<T>, deliveries: &mut Vec<Delivery<T>>) {
        self.partitions.iter_mut().for_each(Partition::serve);
        self.take(events);
        deliveries.extend(self.partitions.iter_mut().filter_map(Partition::delivery));
    }

    /// They wait for the partition's next consumer, in front of what waits there. As what was held
    /// before everything else they take the number 0.
    fn undelivered(&mut self, subscription: SubscriptionId, events: Vec<T>) -> Vec<T> {
        let Some(place) = self.places.get(&subscription) else {
            return events;
        };
        let partition = &mut self.partitions[*place as usize];
        for event in events.into_iter().rev() {
            partition.queue.push_front((0, event));
        }
        Vec::new()
    }

    fn first_held(&self) -> Option<u64> {
        let first = |partition: &Partition<T>| partition.queue.front().map(|(number, _)| *number);
        self.partitions.iter().filter_map(first).min()
    }

    fn partitions(&self) -> Vec<PartitionLoad> {
        let load = |(number, partition): (usize, &Partition<T>)| PartitionLoad {
            partition: number as u32,
            consumer: partition.consumer,
            demand: partition.unmet,
            queued: partition.queue.len() as u64,
        };
        self.partitions.iter().enumerate().map(load).collect()
    }
}

impl<T> fmt::Debug for PartitionDispatcher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionDispatcher")
            .field("partitions", &self.partitions.len())
            .field("max_queue", &self.max_queue)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dispatcher() -> PartitionDispatcher<u64> {
        PartitionDispatcher::by_number(2, |event| *event).max_queue(2)
    }

    fn join(dispatcher: &mut PartitionDispatcher<u64>, partition: Option<u32>) -> SubscriptionId {
        let id = SubscriptionId::fresh();
        let wishes = Wishes {
            partition,
            ..Wishes::default()
        };
        assert_eq!(dispatcher.subscribe(id, &wishes), Ok(()));
        id
    }

    fn dispatch(
        dispatcher: &mut PartitionDispatcher<u64>,
        events: &mut VecDeque<u64>,
    ) -> Vec<(SubscriptionId, Vec<u64>)> {
        let mut deliveries = Vec::new();
        dispatcher.dispatch(events, &mut deliveries);
        let told = deliveries.into_iter();
        told.map(|delivery| (delivery.subscription, delivery.events))
            .collect()
    }

    #[test]
    fn a_key_goes_to_its_partition_and_a_full_one_holds_the_producer_up() {
        let mut dispatcher = dispatcher();
        let (even, odd) = (join(&mut dispatcher, None), join(&mut dispatcher, None));
        dispatcher.ask(even, 5);
        assert_eq!(dispatcher.demand(), 5);
        let mut events = VecDeque::from([1, 2, 3, 5, 4]);
        assert_eq!(dispatch(&mut dispatcher, &mut events), [(even, vec![2])]);
        assert_eq!(events, [5, 4], "the queue of the odd ones is full");
        assert_eq!(dispatcher.demand(), 0);
        assert_eq!(dispatcher.first_held(), Some(0));
        dispatcher.ask(odd, 3);
        assert_eq!(
            dispatch(&mut dispatcher, &mut events),
            [(even, vec![4]), (odd, vec![1, 3, 5])]
        );
        assert_eq!(dispatcher.first_held(), None);
    }

    #[test]
    fn what_waits_for_a_lost_consumer_is_handed_over() {
        let mut dispatcher = dispatcher();
        let lost = join(&mut dispatcher, Some(1));
        let mut events = VecDeque::from([1, 3]);
        assert_eq!(dispatch(&mut dispatcher, &mut events), []);
        dispatcher.cancel(lost);
        let next = join(&mut dispatcher, Some(1));
        dispatcher.ask(next, 5);
        assert_eq!(dispatch(&mut dispatcher, &mut events), [(next, vec![1, 3])]);
    }

    #[test]
    fn one_that_stands_by_takes_the_place_of_a_lost_one() {
        let mut dispatcher = dispatcher();
        let (first, _second) = (join(&mut dispatcher, None), join(&mut dispatcher, None));
        let spare = join(&mut dispatcher, None);
        dispatcher.ask(spare, 2);
        assert_eq!(dispatcher.demand(), 0, "it has no partition yet");
        let back = dispatcher.undelivered(first, vec![2, 4]);
        assert_eq!(back, [0; 0]);
        dispatcher.cancel(first);
        let mut events = VecDeque::new();
        assert_eq!(
            dispatch(&mut dispatcher, &mut events),
            [(spare, vec![2, 4])]
        );
    }

    #[test]
    fn a_partition_that_is_taken_or_not_there_is_refused() {
        let mut dispatcher = dispatcher();
        join(&mut dispatcher, Some(0));
        let wish = |partition| Wishes {
            partition: Some(partition),
            ..Wishes::default()
        };
        let taken = dispatcher.subscribe(SubscriptionId::fresh(), &wish(0));
        assert_eq!(taken, Err(Refusal::PartitionTaken { partition: 0 }));
        let missing = dispatcher.subscribe(SubscriptionId::fresh(), &wish(2));
        let expected = "there is no partition 2; they are numbered 0 to 1";
        assert_eq!(missing.unwrap_err().to_string(), expected);
    }
}
