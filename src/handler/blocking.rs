//! Work of a handler that blocks its thread, and cannot be interrupted, only told.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::panics;
use super::trail::Trail;
use crate::BoxError;
use crate::client::Client;

/// What blocking work knows of its attempt.
pub struct Blocking {
    pub(super) token: CancellationToken,
    pub(super) deadline: Instant,
    pub(super) client: Client,
    /// Of the one job, if it is not a batch's.
    pub(super) trail: Option<Arc<Trail>>,
}

impl Blocking {
    /// Runs work on a thread for such. Dropped, by a time limit say, it tells the work to stop.
    pub(super) async fn run<T, F>(self, work: F) -> Result<T, BoxError>
    where
        F: FnOnce(&Self) -> T + Send + 'static,
        T: Send + 'static,
    {
        let _guard = self.token.clone().drop_guard();
        let span = tracing::Span::current();
        let work = move || span.in_scope(|| panics::catch(|| work(&self)));
        match tokio::task::spawn_blocking(work).await? {
            Ok(value) => Ok(value),
            Err(panicked) => panicked.resume(),
        }
    }

    /// Whether the work should stop: the attempt is cancelled, or its time limit has passed.
    #[must_use]
    pub fn should_stop(&self) -> bool {
        self.token.is_cancelled() || Instant::now() >= self.deadline
    }

    /// For `?` in a loop: an error as soon as the work should stop.
    ///
    /// # Errors
    ///
    /// When [`should_stop`](Self::should_stop).
    pub fn check(&self) -> Result<(), Stopped> {
        if self.should_stop() {
            Err(Stopped)
        } else {
            Ok(())
        }
    }

    /// The client of this board.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }
}

impl fmt::Debug for Blocking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocking")
            .field("should_stop", &self.should_stop())
            .finish_non_exhaustive()
    }
}

/// Blocking work was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the attempt was cancelled or its time limit has passed")]
pub struct Stopped;
