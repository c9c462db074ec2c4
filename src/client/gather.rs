//! A buffer that fills while its last content is on its way: how batches form without a timer.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Items that wait for the one flush that is under way.
#[derive(Debug)]
pub(super) struct Gather<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    waiting: Vec<T>,
    is_flushing: bool,
}

impl<T> Gather<T> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            waiting: Vec::new(),
            is_flushing: false,
        }))
    }

    /// Adds an item. True: no flush is under way, and the caller must begin one.
    #[must_use]
    pub(super) fn push(&self, item: T) -> bool {
        let mut state = self.lock();
        state.waiting.push(item);
        !std::mem::replace(&mut state.is_flushing, true)
    }

    /// Takes up to `limit` items, the oldest first. `None` ends the flush.
    pub(super) fn take(&self, limit: usize) -> Option<Vec<T>> {
        let mut state = self.lock();
        if state.waiting.is_empty() {
            state.is_flushing = false;
            return None;
        }
        let count = limit.min(state.waiting.len());
        let rest = state.waiting.split_off(count);
        Some(std::mem::replace(&mut state.waiting, rest))
    }

    /// Ends a flush that was cut off, and drops what waited for it.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.waiting.clear();
        state.is_flushing = false;
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing here panics half-way, so a poisoned lock guards a whole state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_flush_at_a_time_takes_what_has_gathered() {
        let gather = Gather::new();
        assert!(gather.push(1));
        assert!(!gather.push(2));
        assert!(!gather.push(3));
        assert_eq!(gather.take(2), Some(vec![1, 2]));
        assert_eq!(gather.take(2), Some(vec![3]));
        assert!(!gather.push(4));
        assert_eq!(gather.take(2), Some(vec![4]));
        assert_eq!(gather.take(2), None);
        assert!(gather.push(5));
    }
}
