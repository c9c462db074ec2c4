//! What must hold of the dispatchers whatever the sequence of asks, cancels, losses and events.

use std::collections::{HashMap, VecDeque};

use super::{BroadcastDispatcher, Delivery, DemandDispatcher, Dispatcher, PartitionDispatcher};
use crate::stage::{SubscriptionId, WhenBehind, Wishes};

const RUNS: u64 = 300;
const STEPS: usize = 80;
const CONSUMERS: usize = 4;
const PARTITIONS: u64 = 3;

/// A dispatcher under test, with the accounts that it should keep.
struct Bench<D> {
    dispatcher: D,
    random: fastrand::Rng,
    consumers: Vec<Consumer>,
    events: VecDeque<u64>,
    next: u64,
    /// Whether deliveries are lost now and then, because their consumer died.
    has_losses: bool,
}

#[derive(Debug)]
struct Consumer {
    id: SubscriptionId,
    unmet: u64,
    received: Vec<u64>,
    joined_at: u64,
}

impl<D: Dispatcher<u64>> Bench<D> {
    fn new(dispatcher: D, seed: u64) -> Self {
        let mut bench = Self {
            dispatcher,
            random: fastrand::Rng::with_seed(seed),
            consumers: Vec::new(),
            events: VecDeque::new(),
            next: 0,
            has_losses: false,
        };
        (0..CONSUMERS).for_each(|_| bench.join(&Wishes::default()));
        bench
    }

    fn join(&mut self, wishes: &Wishes<u64>) {
        let id = SubscriptionId::fresh();
        assert_eq!(self.dispatcher.subscribe(id, wishes), Ok(()));
        self.consumers.push(Consumer {
            id,
            unmet: 0,
            received: Vec::new(),
            joined_at: self.next - self.events.len() as u64,
        });
    }

    /// Takes a random step, and returns a consumer that has left.
    fn step(&mut self) -> Option<Consumer> {
        let index = self.random.usize(..self.consumers.len());
        match self.random.u8(..10) {
            0 => {
                let left = self.consumers.swap_remove(index);
                self.dispatcher.cancel(left.id);
                self.join(&Wishes::default());
                return Some(left);
            }
            1..5 => {
                let demand = self.random.u32(..7);
                let consumer = &mut self.consumers[index];
                consumer.unmet += u64::from(demand);
                self.dispatcher.ask(consumer.id, demand);
            }
            _ => {
                let produced = self.random.u64(..7);
                self.events.extend(self.next..self.next + produced);
                self.next += produced;
            }
        }
        None
    }

    /// Dispatches; a consumer that is found dead gives its events back, and leaves.
    fn dispatch(&mut self) -> Vec<Consumer> {
        let mut dead = Vec::new();
        let mut deliveries = Vec::new();
        self.dispatcher.dispatch(&mut self.events, &mut deliveries);
        for delivery in deliveries {
            let found = |consumer: &Consumer| consumer.id == delivery.subscription;
            assert!(!delivery.events.is_empty(), "an empty delivery");
            let Some(index) = self.consumers.iter().position(found) else {
                // It was found dead by the delivery before.
                self.take_back(delivery);
                continue;
            };
            if self.has_losses && self.random.u8(..8) == 0 {
                let subscription = delivery.subscription;
                self.take_back(delivery);
                self.dispatcher.cancel(subscription);
                dead.push(self.consumers.swap_remove(index));
                self.join(&Wishes::default());
                continue;
            }
            let consumer = &mut self.consumers[index];
            let left = consumer.unmet.checked_sub(delivery.events.len() as u64);
            consumer.unmet = left.expect("nobody gets more than it asked for");
            consumer.received.extend(delivery.events);
        }
        dead
    }

    fn take_back(&mut self, delivery: Delivery<u64>) {
        let Delivery {
            subscription,
            events,
            ..
        } = delivery;
        let back = self.dispatcher.undelivered(subscription, events);
        for event in back.into_iter().rev() {
            self.events.push_front(event);
        }
    }

    fn unmet(&self) -> u64 {
        self.consumers.iter().map(|consumer| consumer.unmet).sum()
    }
}

/// Delivered = min(asked, produced); nothing is lost, doubled, or given to two; each consumer gets
/// its own in order.
#[test]
fn demand_keeps_its_accounts() {
    for seed in 0..RUNS {
        let mut bench = Bench::new(DemandDispatcher::new(), seed);
        let mut seen = Vec::new();
        for _ in 0..STEPS {
            seen.extend(bench.step());
            let (asked, produced) = (bench.unmet(), bench.events.len() as u64);
            assert_eq!(Dispatcher::<u64>::demand(&bench.dispatcher), asked);
            seen.extend(bench.dispatch());
            assert_eq!(bench.unmet(), asked - asked.min(produced), "seed {seed}");
            bench.has_losses = false;
        }
        seen.extend(bench.consumers);
        assert_once_and_in_order(seen, bench.events, bench.next, seed);
    }
}

/// The same with consumers that are dead when they are given events.
#[test]
fn demand_loses_nothing_with_lost_consumers() {
    for seed in 0..RUNS {
        let mut bench = Bench::new(DemandDispatcher::new(), seed);
        bench.has_losses = true;
        let mut all = Vec::new();
        for _ in 0..STEPS {
            all.extend(bench.step());
            all.extend(bench.dispatch());
        }
        let mut delivered: Vec<u64> = all
            .iter()
            .chain(&bench.consumers)
            .flat_map(|consumer| consumer.received.clone())
            .collect();
        delivered.extend(bench.events);
        delivered.sort_unstable();
        assert_eq!(
            delivered,
            (0..bench.next).collect::<Vec<_>>(),
            "seed {seed}"
        );
    }
}

fn assert_once_and_in_order(all: Vec<Consumer>, left: VecDeque<u64>, end: u64, seed: u64) {
    for consumer in &all {
        assert!(consumer.received.is_sorted(), "seed {seed}: {consumer:?}");
    }
    let received = all.into_iter().flat_map(|consumer| consumer.received);
    let mut delivered: Vec<u64> = received.chain(left).collect();
    delivered.sort_unstable();
    assert_eq!(delivered, (0..end).collect::<Vec<_>>(), "seed {seed}");
}

/// Every consumer gets all that was dispatched since it joined, in order and once; nobody gets more
/// than it asked for, and the slowest sets the pace.
#[test]
fn broadcast_gives_everything_to_everybody() {
    for seed in 0..RUNS {
        let mut bench = Bench::new(BroadcastDispatcher::new(), seed);
        for _ in 0..STEPS {
            let left = bench.step();
            let slowest = bench.consumers.iter().map(|consumer| consumer.unmet).min();
            assert_eq!(bench.dispatcher.demand(), slowest.unwrap());
            bench.dispatch();
            let dispatched = bench.next - bench.events.len() as u64;
            for consumer in &bench.consumers {
                let expected: Vec<u64> = (consumer.joined_at..dispatched).collect();
                assert_eq!(consumer.received, expected, "seed {seed}");
            }
            if let Some(left) = left {
                assert!(left.received.is_sorted());
            }
        }
    }
}

/// Whoever may miss events gets or misses each one, and holds nobody up.
#[test]
fn broadcast_counts_what_is_missed() {
    for seed in 0..RUNS {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut dispatcher = BroadcastDispatcher::new();
        let (holds, misses) = (SubscriptionId::fresh(), SubscriptionId::fresh());
        let behind = Wishes {
            when_behind: WhenBehind::Miss,
            ..Wishes::default()
        };
        dispatcher.subscribe(holds, &Wishes::default()).unwrap();
        dispatcher.subscribe(misses, &behind).unwrap();
        let (mut next, mut got, mut missed, mut held) = (0, 0, 0, 0);
        for _ in 0..STEPS {
            let produced = random.u64(..7);
            dispatcher.ask(holds, produced as u32);
            dispatcher.ask(misses, random.u32(..5));
            let mut events = (next..next + produced).collect();
            next += produced;
            let mut deliveries = Vec::new();
            dispatcher.dispatch(&mut events, &mut deliveries);
            assert!(events.is_empty(), "seed {seed}: somebody was held up");
            for delivery in deliveries {
                let count = delivery.events.len() as u64;
                if delivery.subscription == holds {
                    held += count;
                } else {
                    got += count;
                    missed += delivery.missed;
                }
            }
        }
        // A last one, so that what was missed before is told.
        dispatcher.ask(holds, 1);
        dispatcher.ask(misses, 1);
        let mut deliveries = Vec::new();
        dispatcher.dispatch(&mut VecDeque::from([next]), &mut deliveries);
        let last = deliveries.iter().find(|one| one.subscription == misses);
        missed += last.map_or(0, |delivery| delivery.missed);
        assert_eq!(held, next);
        assert_eq!(got + missed, next, "seed {seed}");
    }
}

/// A key always goes to its partition, in order over all its consumers; nothing is lost or doubled
/// when one is lost, and no queue grows beyond its bound.
#[test]
fn partition_keeps_the_order_of_each_key() {
    for seed in 0..RUNS {
        let dispatcher =
            PartitionDispatcher::by_number(PARTITIONS as u32, |event: &u64| *event).max_queue(5);
        let mut bench = Bench::new(dispatcher, seed);
        bench.has_losses = seed % 2 == 1;
        let mut by_partition: HashMap<u64, Vec<u64>> = HashMap::new();
        for _ in 0..STEPS {
            let left = bench.step();
            assert!(left.is_none_or(|left| left.received.is_empty()));
            let dead = bench.dispatch();
            assert!(dead.iter().all(|dead| dead.received.is_empty()));
            sort_by_partition(&mut bench, &mut by_partition);
            let loads = Dispatcher::partitions(&bench.dispatcher);
            // What comes back from a lost consumer may stand beyond the bound.
            let is_bounded = |queued| bench.has_losses || queued <= 5;
            assert!(loads.iter().all(|load| is_bounded(load.queued)));
        }
        bench.has_losses = false;
        for consumer in &mut bench.consumers {
            consumer.unmet += 1_000;
            bench.dispatcher.ask(consumer.id, 1_000);
        }
        while !bench.events.is_empty() || bench.dispatcher.first_held().is_some() {
            bench.dispatch();
        }
        sort_by_partition(&mut bench, &mut by_partition);
        for partition in 0..PARTITIONS {
            let got = by_partition.remove(&partition).unwrap_or_default();
            let all = 0..bench.next;
            let expected: Vec<u64> = all
                .filter(|event| event % PARTITIONS == partition)
                .collect();
            assert_eq!(got, expected, "seed {seed}, partition {partition}");
        }
    }
}

fn sort_by_partition<D>(bench: &mut Bench<D>, by_partition: &mut HashMap<u64, Vec<u64>>) {
    for consumer in &mut bench.consumers {
        for event in consumer.received.drain(..) {
            let of_key = by_partition.entry(event % PARTITIONS).or_default();
            of_key.push(event);
        }
    }
}
