//! Who in this process is to be woken by what.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::store::Notice;

/// What somebody wants to be woken by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Interest {
    /// Jobs became available in this queue.
    Queue(String),
    /// A job will be due.
    Schedule,
    /// An executing job is to be cancelled.
    Cancel,
    /// A queue is to be served otherwise.
    Steered,
}

type Callback = Arc<dyn Fn(&Notice) + Send + Sync>;

/// The wake-ups of this process. Actors put themselves here at every start; a wake-up for somebody
/// who is not there is lost, and polling finds the work.
#[derive(Clone, Default)]
pub(crate) struct Wakeups(Arc<RwLock<HashMap<Interest, Callback>>>);

impl Wakeups {
    /// Calls `wake` from now on, instead of whoever had this interest.
    pub(crate) fn on(&self, interest: Interest, wake: impl Fn(&Notice) + Send + Sync + 'static) {
        let mut callbacks = self.0.write().unwrap_or_else(PoisonError::into_inner);
        callbacks.insert(interest, Arc::new(wake));
    }

    /// Forgets who had this interest.
    pub(crate) fn off(&self, interest: &Interest) {
        let mut callbacks = self.0.write().unwrap_or_else(PoisonError::into_inner);
        callbacks.remove(interest);
    }

    /// Wakes whom this concerns.
    pub(crate) fn wake(&self, notice: &Notice) {
        let interest = match notice {
            Notice::Available { queue, .. } => Interest::Queue(queue.clone()),
            Notice::Scheduled => Interest::Schedule,
            Notice::Cancel(_) => Interest::Cancel,
            Notice::Steered => Interest::Steered,
        };
        let callbacks = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(wake) = callbacks.get(&interest) {
            wake(notice);
        }
    }

    /// Wakes the fetcher of a queue here.
    pub(crate) fn wake_queue(&self, queue: &str) {
        self.wake(&Notice::Available {
            queue: queue.to_owned(),
            priority: i16::MAX,
        });
    }

    /// Wakes the fetcher of every queue here.
    pub(crate) fn wake_queues(&self) {
        let callbacks = self.0.read().unwrap_or_else(PoisonError::into_inner);
        for (interest, wake) in callbacks.iter() {
            if let Interest::Queue(queue) = interest {
                wake(&Notice::Available {
                    queue: queue.clone(),
                    priority: i16::MAX,
                });
            }
        }
    }
}

impl fmt::Debug for Wakeups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wakeups")
    }
}
