//! Every event to every consumer.

use std::collections::VecDeque;

use super::{Delivery, Dispatcher, Refusal, take_front};
use crate::stage::{Selector, SubscriptionId, WhenBehind, Wishes};

/// Gives every event to every consumer, in order, at the pace of the slowest of those that
/// [hold](WhenBehind::Hold).
///
/// - A consumer with a [selector](crate::stage::SubscribeOptions::selector) gets what it selects;
///   the rest costs it no demand.
/// - One that would rather [miss](WhenBehind::Miss) events than hold others up gets those for which
///   it has asked by the time they are dispatched, and is told how many passed by. If all are so, the
///   quickest of them sets the pace.
/// - A late comer gets everything that is dispatched after its subscription, and until it has asked
///   nothing is. What was dispatched before is over. To have all of several consumers get all events,
///   start the producer [accumulating](crate::stage::StageSpec::accumulate).
/// - While there is no consumer, events wait in the producer's buffer.
///
/// Several subscriptions of one consumer each get every event.
pub struct BroadcastDispatcher<T> {
    consumers: Vec<Consumer<T>>,
}

struct Consumer<T> {
    id: SubscriptionId,
    unmet: u64,
    selector: Option<Selector<T>>,
    when_behind: WhenBehind,
    /// What it gets of the dispatch under way.
    events: Vec<T>,
    /// What passed by before these events, and since them.
    missed_before: u64,
    missed: u64,
}

impl<T> BroadcastDispatcher<T> {
    /// A dispatcher without consumers.
    #[must_use]
    pub fn new() -> Self {
        Self {
            consumers: Vec::new(),
        }
    }

    fn holders(&self) -> impl Iterator<Item = &Consumer<T>> {
        self.consumers
            .iter()
            .filter(|consumer| consumer.when_behind == WhenBehind::Hold)
    }

    fn find(&mut self, id: SubscriptionId) -> Option<&mut Consumer<T>> {
        self.consumers.iter_mut().find(|consumer| consumer.id == id)
    }
}

impl<T: Clone> BroadcastDispatcher<T> {
    /// Gives events to everybody who gets them; the last gets the values themselves.
    fn give(&mut self, events: Vec<T>) {
        if let Some((last, others)) = self.consumers.split_last_mut() {
            for consumer in others {
                consumer.take_clones(&events);
            }
            last.take(events);
        }
    }
}

impl<T> Consumer<T> {
    /// How many of so many events it gets; the others pass it by.
    fn admit(&mut self, events: usize) -> usize {
        let got = events.min(usize::try_from(self.unmet).unwrap_or(usize::MAX));
        if got > 0 && self.events.is_empty() {
            self.missed_before = std::mem::take(&mut self.missed);
        }
        self.unmet -= got as u64;
        self.missed += (events - got) as u64;
        got
    }

    fn take(&mut self, mut events: Vec<T>) {
        if let Some(selects) = &self.selector {
            events.retain(|event| selects(event));
        }
        events.truncate(self.admit(events.len()));
        match self.events.is_empty() {
            true => self.events = events,
            false => self.events.append(&mut events),
        }
    }

    fn take_clones(&mut self, events: &[T])
    where
        T: Clone,
    {
        let Some(selects) = self.selector.clone() else {
            let got = self.admit(events.len());
            return self.events.extend_from_slice(&events[..got]);
        };
        let selected: Vec<&T> = events.iter().filter(|event| selects(event)).collect();
        let got = self.admit(selected.len());
        self.events.extend(selected.into_iter().take(got).cloned());
    }

    fn delivery(&mut self) -> Option<Delivery<T>> {
        (!self.events.is_empty()).then(|| Delivery {
            missed: self.missed_before,
            ..Delivery::new(self.id, std::mem::take(&mut self.events))
        })
    }
}

impl<T: Clone + Send + 'static> Dispatcher<T> for BroadcastDispatcher<T> {
    fn subscribe(
        &mut self,
        subscription: SubscriptionId,
        wishes: &Wishes<T>,
    ) -> Result<(), Refusal> {
        self.consumers.push(Consumer {
            id: subscription,
            unmet: 0,
            selector: wishes.selector.clone(),
            when_behind: wishes.when_behind,
            events: Vec::new(),
            missed_before: 0,
            missed: 0,
        });
        Ok(())
    }

    fn cancel(&mut self, subscription: SubscriptionId) {
        self.consumers
            .retain(|consumer| consumer.id != subscription);
    }

    fn ask(&mut self, subscription: SubscriptionId, demand: u32) {
        if let Some(consumer) = self.find(subscription) {
            consumer.unmet += u64::from(demand);
        }
    }

    fn demand(&self) -> u64 {
        let slowest = self.holders().map(|consumer| consumer.unmet).min();
        let quickest = || self.consumers.iter().map(|consumer| consumer.unmet).max();
        slowest.or_else(quickest).unwrap_or(0)
    }

    fn dispatch(&mut self, events: &mut VecDeque<T>, deliveries: &mut Vec<Delivery<T>>) {
        if self.consumers.is_empty() {
            return;
        }
        // More than once only if a consumer selects, and what it does not costs it nothing.
        loop {
            let slowest = self.holders().map(|consumer| consumer.unmet).min();
            let slowest = slowest.map_or(usize::MAX, |unmet| unmet as usize);
            let count = events.len().min(slowest);
            if count == 0 {
                break;
            }
            self.give(take_front(events, count));
        }
        deliveries.extend(self.consumers.iter_mut().filter_map(Consumer::delivery));
    }

    /// Everybody else has them.
    fn undelivered(&mut self, _subscription: SubscriptionId, _events: Vec<T>) -> Vec<T> {
        Vec::new()
    }
}

impl<T> Default for BroadcastDispatcher<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> std::fmt::Debug for BroadcastDispatcher<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BroadcastDispatcher")
            .field("consumers", &self.consumers.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn join(
        dispatcher: &mut BroadcastDispatcher<u32>,
        when_behind: WhenBehind,
        selector: Option<Selector<u32>>,
    ) -> SubscriptionId {
        let id = SubscriptionId::fresh();
        let wishes = Wishes {
            selector,
            when_behind,
            ..Wishes::default()
        };
        assert_eq!(dispatcher.subscribe(id, &wishes), Ok(()));
        id
    }

    fn dispatch(
        dispatcher: &mut BroadcastDispatcher<u32>,
        events: &mut VecDeque<u32>,
    ) -> Vec<(SubscriptionId, Vec<u32>, u64)> {
        let mut deliveries = Vec::new();
        dispatcher.dispatch(events, &mut deliveries);
        let told = deliveries.into_iter();
        told.map(|delivery| (delivery.subscription, delivery.events, delivery.missed))
            .collect()
    }

    #[test]
    fn the_slowest_sets_the_pace() {
        let mut dispatcher = BroadcastDispatcher::new();
        let quick = join(&mut dispatcher, WhenBehind::Hold, None);
        let slow = join(&mut dispatcher, WhenBehind::Hold, None);
        dispatcher.ask(quick, 10);
        assert_eq!(dispatcher.demand(), 0);
        dispatcher.ask(slow, 1);
        assert_eq!(dispatcher.demand(), 1);
        let mut events = VecDeque::from([1, 2]);
        assert_eq!(
            dispatch(&mut dispatcher, &mut events),
            [(quick, vec![1], 0), (slow, vec![1], 0)]
        );
        assert_eq!(events, [2]);
        dispatcher.cancel(slow);
        assert_eq!(dispatcher.demand(), 9, "who left holds nobody up");
    }

    #[test]
    fn what_a_consumer_does_not_select_costs_it_no_demand() {
        let mut dispatcher = BroadcastDispatcher::new();
        let all = join(&mut dispatcher, WhenBehind::Hold, None);
        let even = join(
            &mut dispatcher,
            WhenBehind::Hold,
            Some(Arc::new(|event| event % 2 == 0)),
        );
        dispatcher.ask(all, 9);
        dispatcher.ask(even, 2);
        let mut events = (1..=9).collect();
        assert_eq!(
            dispatch(&mut dispatcher, &mut events),
            [(all, vec![1, 2, 3, 4], 0), (even, vec![2, 4], 0)]
        );
        assert_eq!(events, [5, 6, 7, 8, 9]);
    }

    #[test]
    fn one_that_may_miss_events_holds_nobody_up_and_is_told_how_many() {
        let mut dispatcher = BroadcastDispatcher::new();
        let holds = join(&mut dispatcher, WhenBehind::Hold, None);
        let misses = join(&mut dispatcher, WhenBehind::Miss, None);
        dispatcher.ask(holds, 10);
        dispatcher.ask(misses, 1);
        let mut events = VecDeque::from([1, 2, 3]);
        assert_eq!(
            dispatch(&mut dispatcher, &mut events),
            [(holds, vec![1, 2, 3], 0), (misses, vec![1], 0)]
        );
        dispatcher.ask(misses, 1);
        let mut events = VecDeque::from([4]);
        assert_eq!(
            dispatch(&mut dispatcher, &mut events),
            [(holds, vec![4], 0), (misses, vec![4], 2)]
        );
    }

    #[test]
    fn among_those_that_may_miss_events_the_quickest_sets_the_pace() {
        let mut dispatcher = BroadcastDispatcher::<u32>::new();
        let quick = join(&mut dispatcher, WhenBehind::Miss, None);
        join(&mut dispatcher, WhenBehind::Miss, None);
        dispatcher.ask(quick, 3);
        assert_eq!(dispatcher.demand(), 3);
        let mut events = VecDeque::from([1, 2, 3, 4]);
        assert_eq!(
            dispatch(&mut dispatcher, &mut events),
            [(quick, vec![1, 2, 3], 0)]
        );
        assert!(events.is_empty(), "4 passed everybody by");
    }

    #[test]
    fn a_late_comer_gets_what_is_dispatched_from_then_on() {
        let mut dispatcher = BroadcastDispatcher::new();
        let mut events = VecDeque::from([1, 2]);
        assert_eq!(dispatch(&mut dispatcher, &mut events), []);
        let first = join(&mut dispatcher, WhenBehind::Hold, None);
        dispatcher.ask(first, 5);
        assert_eq!(
            dispatch(&mut dispatcher, &mut events),
            [(first, vec![1, 2], 0)]
        );
        let late = join(&mut dispatcher, WhenBehind::Hold, None);
        assert_eq!(dispatcher.demand(), 0, "until it has asked");
        dispatcher.ask(late, 1);
        events.push_back(3);
        assert_eq!(
            dispatch(&mut dispatcher, &mut events),
            [(first, vec![3], 0), (late, vec![3], 0)]
        );
    }
}
