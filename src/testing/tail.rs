//! What has come of a stream so far, for tests that look back and wait for more: [`Tail`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::supervision::{Lagged, Subscription};

/// Everything that a stream has published since.
#[derive(Debug)]
pub(super) struct Tail<T, S = T> {
    entries: Arc<Mutex<Entries<T, S>>>,
    growth: watch::Receiver<()>,
    watcher: AbortHandle,
}

/// Readers take in what is new themselves, so that they see all that was published before they look.
#[derive(Debug)]
struct Entries<T, S> {
    source: Subscription<S>,
    pick: fn(S) -> Option<T>,
    read: Vec<T>,
}

impl<T: Clone + Send + 'static> Tail<T> {
    /// Begins to keep what is published, from two subscriptions to the same stream.
    pub(super) fn of(subscribe: impl Fn() -> Subscription<T>) -> Self {
        Self::picking(subscribe, Some)
    }
}

impl<T: Send + 'static, S: Clone + Send + 'static> Tail<T, S> {
    /// Begins to keep what is picked of all that is published.
    pub(super) fn picking(
        subscribe: impl Fn() -> Subscription<S>,
        pick: fn(S) -> Option<T>,
    ) -> Self {
        let entries = Arc::new(Mutex::new(Entries {
            source: subscribe(),
            pick,
            read: Vec::new(),
        }));
        let (grown, growth) = watch::channel(());
        let (mut news, kept) = (subscribe(), Arc::clone(&entries));
        let watching = tokio::spawn(async move {
            // Missed or not, it was news.
            while news.next().await.is_some() {
                lock(&kept).read();
                grown.send_replace(());
            }
        });
        Self {
            entries,
            growth,
            watcher: watching.abort_handle(),
        }
    }

    /// Looks at everything so far, the oldest first.
    pub(super) fn read<R>(&self, look: impl FnOnce(&[T]) -> R) -> R {
        look(lock(&self.entries).read())
    }

    /// Something to wait on for more: take it first, then look.
    pub(super) fn growth(&self) -> watch::Receiver<()> {
        self.growth.clone()
    }
}

impl<T, S> Drop for Tail<T, S> {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl<T, S: Clone> Entries<T, S> {
    fn read(&mut self) -> &[T] {
        while let Some(next) = self.source.try_next() {
            match next {
                Ok(entry) => self.read.extend((self.pick)(entry)),
                Err(Lagged(missed)) => {
                    tracing::error!(missed, "a test could not keep up; its counts are wrong");
                }
            }
        }
        &self.read
    }
}

fn lock<T>(entries: &Mutex<T>) -> MutexGuard<'_, T> {
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}
