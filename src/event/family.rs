//! One thing for each queue and kind, made when it is first met, and never more than so many.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// How many pairs of queue and kind have series of their own. Names come from outside, by
/// [`Call::named`](crate::Call::named), so there must be an end to them.
const MOST: usize = 1_000;

/// What stands for the names beyond.
const OTHER: &str = "other";

/// One thing for each queue and kind.
#[derive(Debug)]
pub(super) struct Family<T> {
    make: fn(&str, &str) -> T,
    made: RwLock<Made<T>>,
}

#[derive(Debug)]
struct Made<T> {
    by_queue: HashMap<Box<str>, HashMap<Box<str>, T>>,
    count: usize,
}

impl<T> Family<T> {
    pub(super) fn new(make: fn(&str, &str) -> T) -> Self {
        let made = Made {
            by_queue: HashMap::new(),
            count: 0,
        };
        Self {
            make,
            made: RwLock::new(made),
        }
    }

    /// Uses what belongs to this queue and kind.
    pub(super) fn with(&self, queue: &str, kind: &str, act: impl Fn(&T)) {
        // Nothing panics while it holds the lock.
        let made = self.made.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = made.find(queue, kind) {
            return act(found);
        }
        drop(made);
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        let (queue, kind) = match made.count < MOST {
            true => (queue, kind),
            false => (OTHER, OTHER),
        };
        if made.find(queue, kind).is_none() {
            let of_queue = made.by_queue.entry(queue.into()).or_default();
            of_queue.insert(kind.into(), (self.make)(queue, kind));
            made.count += 1;
        }
        made.find(queue, kind).into_iter().for_each(act);
    }
}

impl<T> Made<T> {
    fn find(&self, queue: &str, kind: &str) -> Option<&T> {
        self.by_queue.get(queue)?.get(kind)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn each_pair_has_its_own_until_there_are_too_many() {
        let family: Family<(String, AtomicU32)> =
            Family::new(|queue, kind| (format!("{queue}/{kind}"), AtomicU32::new(0)));
        let met = |queue: &str, kind: &str| {
            let seen = std::cell::RefCell::new((String::new(), 0));
            family.with(queue, kind, |(name, times)| {
                let times = times.fetch_add(1, Ordering::Relaxed) + 1;
                *seen.borrow_mut() = (name.clone(), times);
            });
            seen.into_inner()
        };
        assert_eq!(met("mail", "a"), ("mail/a".to_owned(), 1));
        assert_eq!(met("mail", "a"), ("mail/a".to_owned(), 2));
        (1..MOST).for_each(|n| assert_eq!(met("mail", &n.to_string()).1, 1));
        assert_eq!(met("mail", "b"), ("other/other".to_owned(), 1));
        assert_eq!(met("post", "a"), ("other/other".to_owned(), 2));
        assert_eq!(met("mail", "a"), ("mail/a".to_owned(), 3));
    }
}
