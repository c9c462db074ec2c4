//! What a producer holds ready, within the reach of its consumers.
//!
//! Who asks takes what lies here by itself, which spares a message to the producer, one back, and the
//! wake-ups of both. What does not lie here is asked for by a message, as ever. The producer serves those
//! who wait before it lays anything down, so nobody overtakes them.
//!
//! It ends with its producer: what lies here then is dropped, and nothing is taken any more.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::pace::Pace;

/// What a producer holds ready.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    lying: Mutex<Lying<T>>,
    /// How many events lie here, for who need not know it to the one.
    count: AtomicUsize,
}

#[derive(Debug)]
struct Lying<T> {
    events: VecDeque<T>,
    /// The producer wants to know when fewer than so many are left.
    low_water: usize,
    /// How long consumers took for how many events, since somebody looked.
    spent: (Duration, u32),
    pace: Pace,
}

impl<T> Lying<T> {
    fn note(&mut self, spent: Option<(Duration, u32)>) {
        if let Some((time, events)) = spent {
            self.spent.0 += time;
            self.spent.1 += events;
        }
    }

    /// Whether the producer wants to know that little is left. Once is enough.
    fn is_low(&mut self) -> bool {
        let is_low = self.events.len() < self.low_water;
        if is_low {
            self.low_water = 0;
        }
        is_low
    }
}

/// What somebody took who asked.
#[derive(Debug)]
pub(super) struct Taken<T> {
    pub(super) events: Vec<T>,
    /// Whether the producer wants to know of it.
    pub(super) is_low: bool,
}

impl<T> Shelf<T> {
    pub(super) fn new() -> Self {
        Self {
            lying: Mutex::new(Lying {
                events: VecDeque::new(),
                low_water: 0,
                spent: (Duration::ZERO, 0),
                pace: Pace::default(),
            }),
            count: AtomicUsize::new(0),
        }
    }

    /// Takes up to `wanted` events, for a consumer that has taken so long for so many before.
    pub(super) fn take(&self, wanted: u32, spent: Option<(Duration, u32)>) -> Taken<T> {
        // Not while others wait for the lock.
        let mut events = Vec::with_capacity(self.len().min(wanted as usize));
        self.with(|lying| {
            lying.note(spent);
            let count = lying.events.len().min(wanted as usize);
            events.extend(lying.events.drain(..count));
            let is_low = count > 0 && lying.is_low();
            Taken { events, is_low }
        })
    }

    /// As [`take`](Self::take), for one, and tells with it whether the producer wants to know.
    pub(super) fn take_one(&self, spent: Option<(Duration, u32)>) -> Option<(T, bool)> {
        self.with(|lying| {
            lying.note(spent);
            let event = lying.events.pop_front()?;
            Some((event, lying.is_low()))
        })
    }

    /// How many events lie here.
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Lets the producer lay down and give out events.
    pub(super) fn with_events<R>(&self, change: impl FnOnce(&mut VecDeque<T>) -> R) -> R {
        self.with(|lying| change(&mut lying.events))
    }

    /// Has the producer told when fewer than so many are left; 0: never.
    pub(super) fn tell_below(&self, low_water: usize) {
        self.lock().low_water = low_water;
    }

    /// How long a consumer takes for an event: a running mean.
    pub(super) fn service_time(&self) -> Option<Duration> {
        let mut lying = self.lock();
        let (time, events) = std::mem::take(&mut lying.spent);
        if events > 0 {
            lying.pace.took(time, events);
        }
        lying.pace.seconds().map(Duration::from_secs_f64)
    }

    /// The producer is gone.
    pub(super) fn close(&self) {
        let left = self.with_events(std::mem::take);
        // Dropping them may take a while.
        drop(left);
    }

    fn with<R>(&self, change: impl FnOnce(&mut Lying<T>) -> R) -> R {
        let mut lying = self.lock();
        let changed = change(&mut lying);
        self.count.store(lying.events.len(), Ordering::Release);
        changed
    }

    fn lock(&self) -> MutexGuard<'_, Lying<T>> {
        // Nothing panics while it holds the lock.
        self.lying.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf(events: std::ops::Range<u32>) -> Shelf<u32> {
        let shelf = Shelf::new();
        shelf.with_events(|lying| lying.extend(events));
        shelf
    }

    #[test]
    fn the_first_come_first_and_no_more_than_is_wanted() {
        let shelf = shelf(0..5);
        assert_eq!(shelf.take(2, None).events, [0, 1]);
        assert_eq!(
            (shelf.take(9, None).events, shelf.len()),
            (vec![2, 3, 4], 0)
        );
        assert!(shelf.take(1, None).events.is_empty());
        assert_eq!(shelf.take_one(None), None);
    }

    #[test]
    fn one_is_taken_as_several_are() {
        let shelf = shelf(0..3);
        shelf.tell_below(2);
        let took = Some((Duration::from_secs(1), 1));
        let taken = [shelf.take_one(None), shelf.take_one(took)];
        assert_eq!(taken, [Some((0, false)), Some((1, true))]);
        assert_eq!((shelf.take_one(None), shelf.len()), (Some((2, false)), 0));
        assert_eq!(shelf.service_time(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn the_producer_is_told_once_that_little_is_left() {
        let shelf = shelf(0..5);
        shelf.tell_below(4);
        let is_low = |wanted| shelf.take(wanted, None).is_low;
        assert_eq!([is_low(1), is_low(1), is_low(1)], [false, true, false]);
        shelf.tell_below(4);
        assert!(is_low(1), "it is told again when it wants to be");
        shelf.tell_below(4);
        assert!(is_low(1), "the last one");
        shelf.tell_below(4);
        assert!(
            !is_low(1),
            "nothing lay ready, which is asked for by a message"
        );
    }

    #[test]
    fn service_time_is_the_mean_of_all_since_the_last_look() {
        let shelf = shelf(0..5);
        assert_eq!(shelf.service_time(), None);
        shelf.take(1, None);
        let half_a_minute = Duration::from_secs(30);
        shelf.take(1, Some((half_a_minute, 2)));
        shelf.take(1, Some((half_a_minute, 1)));
        assert_eq!(shelf.service_time(), Some(Duration::from_secs(20)));
    }

    #[test]
    fn nothing_is_left_when_the_producer_is_gone() {
        let shelf = shelf(0..5);
        shelf.close();
        let taken = shelf.take(1, None).events;
        assert_eq!((taken.len(), shelf.len()), (0, 0));
    }
}
