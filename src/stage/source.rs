//! Where a stage's events are to be had, now and after its restart.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::ProducerRef;

/// Where a stage's events are to be had. The stage announces itself there at every start, so its
/// consumers can follow it from one life to the next; while nobody is there, they wait.
pub struct Source<T: Send + 'static> {
    name: Arc<str>,
    current: Arc<watch::Sender<Option<Announced<T>>>>,
}

/// A producer, and which it is of those that followed each other here.
pub(super) struct Announced<T: Send + 'static> {
    pub(super) life: u64,
    pub(super) producer: ProducerRef<T>,
}

impl<T: Send + 'static> Source<T> {
    /// A source where nobody is yet. Stages bring their own; this is for actors that speak the
    /// protocol themselves.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            current: Arc::new(watch::Sender::new(None)),
        }
    }

    /// Its name, for people.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Says that this is the producer from now on.
    pub fn announce(&self, producer: ProducerRef<T>) {
        self.current.send_modify(|current| {
            let life = current.as_ref().map_or(1, |before| before.life + 1);
            *current = Some(Announced { life, producer });
        });
    }

    /// Who is there, unless it is the one of this life.
    pub(super) fn other_than(&self, life: Option<u64>) -> Option<Announced<T>> {
        let current = self.current.borrow();
        let is_other = |found: &&Announced<T>| Some(found.life) != life;
        current.as_ref().filter(is_other).cloned()
    }

    /// Waits until somebody is there, who is not the one of this life.
    pub(super) async fn find(self, life: Option<u64>) -> Announced<T> {
        let mut changes = self.current.subscribe();
        loop {
            changes.borrow_and_update();
            if let Some(found) = self.other_than(life) {
                return found;
            }
            let changed = changes.changed().await;
            changed.expect("self keeps the sender");
        }
    }
}

impl<T: Send + 'static> Clone for Source<T> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            current: Arc::clone(&self.current),
        }
    }
}

impl<T: Send + 'static> Clone for Announced<T> {
    fn clone(&self) -> Self {
        Self {
            life: self.life,
            producer: self.producer.clone(),
        }
    }
}

impl<T: Send + 'static> fmt::Debug for Source<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.name).finish()
    }
}
