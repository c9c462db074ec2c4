//! Who gets which event: a pure state machine.

use std::collections::{HashMap, VecDeque};

use super::SubscriptionId;

/// Gives each event to one consumer, fairly: who has waited longest is served first, and nobody gets
/// more than its share of a batch while others wait.
///
/// GenStage's dispatcher of this name serves the largest demand first and starves the small ones;
/// this one does not. Order is kept within a consumer.
#[derive(Debug, Default)]
pub struct DemandDispatcher {
    demand: HashMap<SubscriptionId, u32>,
    /// Who has unmet demand, the longest waiting first. Each stands here once.
    waiting: VecDeque<SubscriptionId>,
    outstanding: u64,
}

impl DemandDispatcher {
    /// A dispatcher without consumers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a subscription.
    pub fn subscribe(&mut self, subscription: SubscriptionId) {
        self.demand.entry(subscription).or_insert(0);
    }

    /// Ends a subscription and forgets its unmet demand, which is returned.
    pub fn cancel(&mut self, subscription: SubscriptionId) -> u32 {
        let demand = self.demand.remove(&subscription).unwrap_or_default();
        if demand > 0 {
            self.waiting.retain(|waiting| *waiting != subscription);
            self.outstanding -= u64::from(demand);
        }
        demand
    }

    /// Adds to the demand of a subscription. An unknown one is ignored.
    pub fn ask(&mut self, subscription: SubscriptionId, demand: u32) {
        let Some(unmet) = self.demand.get_mut(&subscription) else {
            return;
        };
        if *unmet == 0 && demand > 0 {
            self.waiting.push_back(subscription);
        }
        let before = *unmet;
        *unmet = unmet.saturating_add(demand);
        self.outstanding += u64::from(*unmet - before);
    }

    /// The unmet demand of all consumers together.
    #[must_use]
    pub fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// How many consumers there are.
    #[must_use]
    pub fn consumers(&self) -> usize {
        self.demand.len()
    }

    /// Takes events from the front of `events` and says who gets them. What nobody asked for stays.
    pub fn dispatch<T>(&mut self, events: &mut VecDeque<T>) -> Vec<(SubscriptionId, Vec<T>)> {
        let mut deliveries = Vec::new();
        while !events.is_empty() {
            let share = events.len().div_ceil(self.waiting.len().max(1));
            let Some(subscription) = self.waiting.pop_front() else {
                break;
            };
            let unmet = self
                .demand
                .get_mut(&subscription)
                .expect("who waits is subscribed");
            let count = share.min(*unmet as usize);
            *unmet -= count as u32;
            self.outstanding -= count as u64;
            if *unmet > 0 {
                self.waiting.push_back(subscription);
            }
            deliveries.push((subscription, events.drain(..count).collect()));
        }
        deliveries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumers<const N: usize>(dispatcher: &mut DemandDispatcher) -> [SubscriptionId; N] {
        std::array::from_fn(|_| {
            let id = SubscriptionId::fresh();
            dispatcher.subscribe(id);
            id
        })
    }

    #[test]
    fn the_longest_waiting_is_served_first() {
        let mut dispatcher = DemandDispatcher::new();
        let [a, b] = consumers(&mut dispatcher);
        dispatcher.ask(b, 1);
        dispatcher.ask(a, 1);
        let mut events = VecDeque::from([1, 2, 3]);
        assert_eq!(
            dispatcher.dispatch(&mut events),
            [(b, vec![1]), (a, vec![2])]
        );
        assert_eq!(events, [3]);
        assert_eq!(dispatcher.outstanding(), 0);
    }

    #[test]
    fn a_large_demand_does_not_starve_a_small_one() {
        let mut dispatcher = DemandDispatcher::new();
        let [large, small] = consumers(&mut dispatcher);
        dispatcher.ask(large, 100);
        dispatcher.ask(small, 1);
        let mut events = VecDeque::from([1, 2, 3, 4]);
        let deliveries = dispatcher.dispatch(&mut events);
        assert_eq!(
            deliveries,
            [(large, vec![1, 2]), (small, vec![3]), (large, vec![4])]
        );
        assert_eq!(dispatcher.outstanding(), 97);
    }

    #[test]
    fn a_cancelled_demand_is_not_served() {
        let mut dispatcher = DemandDispatcher::new();
        let [gone, stays] = consumers(&mut dispatcher);
        dispatcher.ask(gone, 5);
        dispatcher.ask(stays, 1);
        assert_eq!(dispatcher.cancel(gone), 5);
        dispatcher.ask(gone, 7);
        assert_eq!(dispatcher.outstanding(), 1);
        let mut events = VecDeque::from([1, 2]);
        assert_eq!(dispatcher.dispatch(&mut events), [(stays, vec![1])]);
    }

    /// Delivered = min(asked, produced); nobody gets more than it asked for; nothing is lost,
    /// doubled or reordered; whatever the sequence of asks, cancels and events.
    #[test]
    fn no_sequence_breaks_the_accounts() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..300 {
            let mut dispatcher = DemandDispatcher::new();
            let ids: [SubscriptionId; 4] = consumers(&mut dispatcher);
            let mut unmet = HashMap::from(ids.map(|id| (id, 0_usize)));
            let (mut next, mut events, mut delivered) = (0_u32, VecDeque::new(), Vec::new());
            for _ in 0..60 {
                let id = ids[random.usize(..4)];
                match random.u8(..8) {
                    0 => {
                        dispatcher.cancel(id);
                        dispatcher.subscribe(id);
                        unmet.insert(id, 0);
                    }
                    1..4 => {
                        let demand = random.u32(..6);
                        dispatcher.ask(id, demand);
                        *unmet.get_mut(&id).unwrap() += demand as usize;
                    }
                    _ => {
                        let produced = random.u32(..6);
                        events.extend(next..next + produced);
                        next += produced;
                    }
                }
                let expected = events.len().min(unmet.values().sum());
                let deliveries = dispatcher.dispatch(&mut events);
                assert_eq!(
                    deliveries.iter().map(|(_, got)| got.len()).sum::<usize>(),
                    expected
                );
                for (id, got) in deliveries {
                    let left = unmet.get_mut(&id).unwrap();
                    *left = left
                        .checked_sub(got.len())
                        .expect("nobody gets more than it asked for");
                    delivered.extend(got);
                }
                assert_eq!(
                    dispatcher.outstanding() as usize,
                    unmet.values().sum::<usize>()
                );
            }
            delivered.extend(events);
            assert_eq!(delivered, (0..next).collect::<Vec<_>>());
        }
    }
}
