//! Where a producer is to be found, now and after its restart.

use std::fmt;

use tokio::sync::watch;

use super::ProducerRef;

/// Where a producer is to be found. The producer announces itself at every start, and its consumers
/// follow it: a consumer that survives its producer subscribes to the successor.
pub struct ProducerAddress<T: Send + 'static> {
    current: watch::Sender<Option<ProducerRef<T>>>,
}

impl<T: Send + 'static> ProducerAddress<T> {
    /// An address where nobody is yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            current: watch::Sender::new(None),
        }
    }

    /// Says that this is the producer from now on.
    pub fn announce(&self, producer: ProducerRef<T>) {
        self.current.send_replace(Some(producer));
    }

    /// Calls `found` with the producer that is there, and with every successor, until `found`
    /// answers false or the returned guard is dropped.
    #[must_use = "dropping the guard ends the following"]
    pub fn follow(&self, found: impl Fn(ProducerRef<T>) -> bool + Send + 'static) -> Following {
        let mut current = self.current.subscribe();
        current.mark_changed();
        let task = tokio::spawn(async move {
            while current.changed().await.is_ok() {
                let producer = current.borrow_and_update().clone();
                if producer.is_some_and(|producer| !found(producer)) {
                    break;
                }
            }
        });
        Following { task }
    }
}

impl<T: Send + 'static> Default for ProducerAddress<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Send + 'static> fmt::Debug for ProducerAddress<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_there = self.current.borrow().is_some();
        f.debug_struct("ProducerAddress")
            .field("is_there", &is_there)
            .finish()
    }
}

/// Following a producer, as long as this is kept.
#[derive(Debug)]
pub struct Following {
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}
