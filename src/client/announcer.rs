//! Debounced notifications to other processes: at once if none was sent lately, else together with
//! those that come meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::gather::Gather;
use crate::random::random_bits;
use crate::store::{Notice, Origin, Store};

/// The time between two notifications of one process. A notification takes a lock of the whole
/// server while it commits, so they must be few.
const DEBOUNCE: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Announcer {
    store: Store,
    origin: Origin,
    gather: Gather<Notice>,
}

impl Announcer {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            origin: Origin(random_bits()),
            gather: Gather::new(),
        }
    }

    /// What marks the notices of this process.
    pub(super) fn origin(&self) -> Origin {
        self.origin
    }

    /// Tells the other processes, soon.
    pub(super) fn announce(self: &Arc<Self>, notice: Notice) {
        if let Some(mut flush) = self.gather.push(notice) {
            let this = Arc::clone(self);
            tokio::spawn(async move {
                while let Some(notices) = flush.take(usize::MAX) {
                    this.send(&merged(notices)).await;
                    tokio::time::sleep(DEBOUNCE).await;
                }
            });
        }
    }

    /// Tells the other processes, and returns when that is done: for what is said rarely, by processes that may
    /// end right after.
    pub(super) async fn announce_now(&self, notice: Notice) {
        self.send(&[notice]).await;
    }

    async fn send(&self, notices: &[Notice]) {
        if let Err(error) = self.store.notify(self.origin, notices).await {
            // Only a hint: the others find out at their next poll.
            tracing::debug!(%error, "could not notify other processes");
        }
    }
}

/// One notice a queue, with the most urgent priority.
fn merged(notices: Vec<Notice>) -> Vec<Notice> {
    let mut queues: HashMap<String, i16> = HashMap::new();
    let mut others: Vec<Notice> = Vec::new();
    for notice in notices {
        match notice {
            Notice::Available { queue, priority } => {
                let most_urgent = queues.entry(queue).or_insert(priority);
                *most_urgent = priority.min(*most_urgent);
            }
            other if others.contains(&other) => {}
            other => others.push(other),
        }
    }
    let available = queues
        .into_iter()
        .map(|(queue, priority)| Notice::Available { queue, priority });
    others.into_iter().chain(available).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_of_a_queue_become_one() {
        let available = |priority| Notice::Available {
            queue: "mail".into(),
            priority,
        };
        let notices = vec![
            available(3),
            Notice::Scheduled,
            available(-1),
            Notice::Scheduled,
        ];
        assert_eq!(merged(notices), [Notice::Scheduled, available(-1)]);
    }
}
