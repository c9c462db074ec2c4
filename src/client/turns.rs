//! The turns of ordering keys: whoever ends or enqueues a job with a key says so after the commit, and
//! the next job of that key gets its turn. What is said while a statement is under way goes with the next.
//!
//! What is lost if the flush is cut off, by the end of its runtime: some turns, which the sweep of the
//! scheduler finds.

use std::collections::HashSet;

use super::Client;
use super::gather::Gather;
use crate::store::{Notice, OrderingKey, Store, TurnAfter};

/// How many keys one statement takes at most.
const BATCH: usize = 1_000;

#[derive(Debug)]
pub(super) struct Turns {
    store: Store,
    gather: Gather<(TurnAfter, OrderingKey)>,
}

impl Turns {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            gather: Gather::new(),
        }
    }
}

impl Client {
    /// Gives the next jobs of these keys their turn, soon. To be called after the commit.
    pub(crate) fn turn(&self, after: TurnAfter, keys: impl IntoIterator<Item = OrderingKey>) {
        for key in keys {
            if let Some(mut flush) = self.0.turns.gather.push((after, key)) {
                let client = self.clone();
                tokio::spawn(async move {
                    while let Some(keys) = flush.take(BATCH) {
                        client.unblock(keys).await;
                    }
                });
            }
        }
    }

    async fn unblock(&self, said: Vec<(TurnAfter, OrderingKey)>) {
        let (mut ended, mut enqueued) = (HashSet::new(), HashSet::new());
        for (after, key) in said {
            match after {
                TurnAfter::End => ended.insert(key),
                TurnAfter::Enqueue => enqueued.insert(key),
            };
        }
        for (after, keys) in [(TurnAfter::End, ended), (TurnAfter::Enqueue, enqueued)] {
            if keys.is_empty() {
                continue;
            }
            let keys = Vec::from_iter(keys);
            match self.0.turns.store.unblock(&keys, after).await {
                Ok(next) => self.tell_of_turns(next, after),
                Err(error) => {
                    tracing::debug!(%error, "the next jobs of some ordering keys wait for the sweep");
                }
            }
        }
    }

    /// Wakes the queues of jobs whose turn has come.
    pub(crate) fn tell_of_turns(&self, next: Vec<(String, i16)>, after: TurnAfter) {
        for (queue, priority) in next {
            let priority = match after {
                TurnAfter::Enqueue => priority,
                // It is older than what its queue claims now, so that has to look at all again.
                TurnAfter::End => i16::MIN,
            };
            self.tell(Notice::Available { queue, priority });
        }
    }
}
