//! A buffer that fills while its last content is on its way: how batches form without a timer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Items that wait for the one flush that is under way.
#[derive(Debug)]
pub(super) struct Gather<T>(Arc<Mutex<State<T>>>);

#[derive(Debug)]
struct State<T> {
    waiting: Vec<T>,
    is_flushing: bool,
}

impl<T> Gather<T> {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            waiting: Vec::new(),
            is_flushing: false,
        })))
    }

    /// Adds an item. If no flush is under way, the caller gets one to run.
    #[must_use]
    pub(super) fn push(&self, item: T) -> Option<Flush<T>> {
        let mut state = lock(&self.0);
        state.waiting.push(item);
        let is_first = !std::mem::replace(&mut state.is_flushing, true);
        is_first.then(|| Flush {
            state: Arc::clone(&self.0),
            is_done: false,
        })
    }
}

/// The one flush that is under way. Dropped before it is done, by the end of its runtime, it makes way
/// for another and drops what waited for it.
#[derive(Debug)]
pub(super) struct Flush<T> {
    state: Arc<Mutex<State<T>>>,
    is_done: bool,
}

impl<T> Flush<T> {
    /// Takes up to `limit` items, the oldest first. `None` ends the flush.
    pub(super) fn take(&mut self, limit: usize) -> Option<Vec<T>> {
        let mut state = lock(&self.state);
        if state.waiting.is_empty() {
            state.is_flushing = false;
            self.is_done = true;
            return None;
        }
        let count = limit.min(state.waiting.len());
        let rest = state.waiting.split_off(count);
        Some(std::mem::replace(&mut state.waiting, rest))
    }
}

impl<T> Drop for Flush<T> {
    fn drop(&mut self) {
        if !self.is_done {
            let mut state = lock(&self.state);
            state.waiting.clear();
            state.is_flushing = false;
        }
    }
}

fn lock<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    // Nothing here panics half-way, so a poisoned lock guards a whole state.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_flush_at_a_time_takes_what_has_gathered() {
        let gather = Gather::new();
        let mut flush = gather.push(1).expect("nothing is under way");
        assert!(gather.push(2).is_none());
        assert!(gather.push(3).is_none());
        assert_eq!(flush.take(2), Some(vec![1, 2]));
        assert_eq!(flush.take(2), Some(vec![3]));
        assert_eq!(flush.take(2), None);
        assert!(gather.push(4).is_some());
    }

    #[test]
    fn a_flush_that_is_cut_off_makes_way() {
        let gather = Gather::new();
        drop(gather.push(1));
        let mut flush = gather.push(2).expect("the first flush is gone");
        assert_eq!(flush.take(9), Some(vec![2]));
    }
}
