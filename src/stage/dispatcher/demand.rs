//! Each event to one consumer, fairly.

use std::collections::{BTreeMap, VecDeque};

use super::{Delivery, Dispatcher, Refusal, take_front};
use crate::stage::{SubscriptionId, Wishes};

/// Gives each event to one consumer, fairly: who has waited longest is served first, and nobody gets
/// more than its share of what is there while others wait.
///
/// GenStage's dispatcher of this name serves the largest demand first and starves the small ones;
/// this one does not. Order is kept within a consumer.
#[derive(Debug, Default)]
pub struct DemandDispatcher {
    unmet: BTreeMap<SubscriptionId, u32>,
    /// Who has unmet demand, the longest waiting first. Each stands here once.
    waiting: VecDeque<SubscriptionId>,
    demand: u64,
}

impl DemandDispatcher {
    /// A dispatcher without consumers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<T: Send + 'static> Dispatcher<T> for DemandDispatcher {
    fn subscribe(
        &mut self,
        subscription: SubscriptionId,
        _wishes: &Wishes<T>,
    ) -> Result<(), Refusal> {
        self.unmet.entry(subscription).or_insert(0);
        Ok(())
    }

    fn cancel(&mut self, subscription: SubscriptionId) {
        let unmet = self.unmet.remove(&subscription).unwrap_or_default();
        if unmet > 0 {
            self.waiting.retain(|waiting| *waiting != subscription);
            self.demand -= u64::from(unmet);
        }
    }

    fn ask(&mut self, subscription: SubscriptionId, demand: u32) {
        let Some(unmet) = self.unmet.get_mut(&subscription) else {
            return;
        };
        if *unmet == 0 && demand > 0 {
            self.waiting.push_back(subscription);
        }
        let before = *unmet;
        *unmet = unmet.saturating_add(demand);
        self.demand += u64::from(*unmet - before);
    }

    fn demand(&self) -> u64 {
        self.demand
    }

    fn dispatch(&mut self, events: &mut VecDeque<T>, deliveries: &mut Vec<Delivery<T>>) {
        while !events.is_empty() {
            let share = events.len().div_ceil(self.waiting.len().max(1));
            let Some(subscription) = self.waiting.pop_front() else {
                break;
            };
            let unmet = self
                .unmet
                .get_mut(&subscription)
                .expect("who waits is subscribed");
            let count = share.min(*unmet as usize);
            *unmet -= count as u32;
            self.demand -= count as u64;
            if *unmet > 0 {
                self.waiting.push_back(subscription);
            }
            let taken = take_front(events, count);
            deliveries.push(Delivery::new(subscription, taken));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumers<const N: usize>(dispatcher: &mut DemandDispatcher) -> [SubscriptionId; N] {
        std::array::from_fn(|_| {
            let id = SubscriptionId::fresh();
            let subscribed =
                Dispatcher::<u32>::subscribe(dispatcher, id, &Wishes::<u32>::default());
            assert_eq!(subscribed, Ok(()));
            id
        })
    }

    fn ask(dispatcher: &mut DemandDispatcher, id: SubscriptionId, demand: u32) {
        Dispatcher::<u32>::ask(dispatcher, id, demand);
    }

    fn dispatch(
        dispatcher: &mut DemandDispatcher,
        events: &mut VecDeque<u32>,
    ) -> Vec<(SubscriptionId, Vec<u32>)> {
        let mut deliveries = Vec::new();
        dispatcher.dispatch(events, &mut deliveries);
        let told = deliveries.into_iter();
        told.map(|delivery| (delivery.subscription, delivery.events))
            .collect()
    }

    #[test]
    fn the_longest_waiting_is_served_first() {
        let mut dispatcher = DemandDispatcher::new();
        let [a, b] = consumers(&mut dispatcher);
        ask(&mut dispatcher, b, 1);
        ask(&mut dispatcher, a, 1);
        let mut events = VecDeque::from([1, 2, 3]);
        assert_eq!(
            dispatch(&mut dispatcher, &mut events),
            [(b, vec![1]), (a, vec![2])]
        );
        assert_eq!(events, [3]);
        assert_eq!(dispatcher.demand, 0);
    }

    #[test]
    fn a_large_demand_does_not_starve_a_small_one() {
        let mut dispatcher = DemandDispatcher::new();
        let [large, small] = consumers(&mut dispatcher);
        ask(&mut dispatcher, large, 100);
        ask(&mut dispatcher, small, 1);
        let mut events = VecDeque::from([1, 2, 3, 4]);
        assert_eq!(
            dispatch(&mut dispatcher, &mut events),
            [(large, vec![1, 2]), (small, vec![3]), (large, vec![4])]
        );
        assert_eq!(dispatcher.demand, 97);
    }

    #[test]
    fn a_cancelled_demand_is_not_served() {
        let mut dispatcher = DemandDispatcher::new();
        let [gone, stays] = consumers(&mut dispatcher);
        ask(&mut dispatcher, gone, 5);
        ask(&mut dispatcher, stays, 1);
        Dispatcher::<u32>::cancel(&mut dispatcher, gone);
        ask(&mut dispatcher, gone, 7);
        assert_eq!(dispatcher.demand, 1);
        let mut events = VecDeque::from([1, 2]);
        assert_eq!(dispatch(&mut dispatcher, &mut events), [(stays, vec![1])]);
    }
}
