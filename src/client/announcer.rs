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
        if self.gather.push(notice) {
            let flush = Flush(Arc::clone(self));
            tokio::spawn(async move { flush.run().await });
        }
    }
}

struct Flush(Arc<Announcer>);

impl Flush {
    async fn run(&self) {
        while let Some(notices) = self.0.gather.take(usize::MAX) {
            if let Err(error) = self.0.store.notify(self.0.origin, &merged(notices)).await {
                // Only a hint: the others find the jobs at their next poll.
                tracing::debug!(%error, "could not notify other processes");
            }
            tokio::time::sleep(DEBOUNCE).await;
        }
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        if tokio::runtime::Handle::try_current().is_err() {
            self.0.gather.abandon();
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
