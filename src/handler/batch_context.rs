//! What a handler knows of its batch, and what it can do there.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{Blocking, CancelReason, Context};
use crate::client::Client;
use crate::job::NodeId;
use crate::{BoxError, Error};

/// What a handler knows of its batch beside the jobs. What concerns one of them, such as its attempt, it
/// finds in [`Batched`](super::Batched).
#[derive(Debug)]
pub struct BatchContext<'a>(&'a mut Context);

impl<'a> BatchContext<'a> {
    pub(crate) fn new(cx: &'a mut Context) -> Self {
        Self(cx)
    }

    /// The name under which the first job was enqueued.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.kind()
    }

    /// The queue the jobs were claimed from.
    #[must_use]
    pub fn queue(&self) -> &str {
        self.0.queue()
    }

    /// The worker that runs them: its id in the queue's part of the tree.
    #[must_use]
    pub fn worker(&self) -> &str {
        self.0.worker()
    }

    /// The process that runs them.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.0.node()
    }

    /// The client of this board, to enqueue more.
    #[must_use]
    pub fn client(&self) -> &Client {
        self.0.client()
    }

    /// When the batch's time limit passes.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.0.deadline()
    }

    /// How much of the batch's time limit is left.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.0.time_left()
    }

    /// The batch's own span; the handler already runs inside it.
    #[must_use]
    pub fn span(&self) -> &tracing::Span {
        self.0.span()
    }

    /// Fires when the batch should stop: its time limit has passed, or every job without an answer was
    /// told to stop. A handler that does not stop by itself is dropped at its next await after the
    /// queue's `cancel_grace`.
    #[must_use]
    pub fn cancellation(&self) -> &CancellationToken {
        self.0.cancellation()
    }

    /// Why the batch should stop, once it should.
    #[must_use]
    pub fn cancel_reason(&self) -> Option<CancelReason> {
        self.0.cancel_reason()
    }

    /// As [`Context::state`].
    ///
    /// # Errors
    ///
    /// As [`Context::state`].
    pub fn state<S: Send + 'static>(&mut self) -> Result<&mut S, Error> {
        self.0.state()
    }

    /// As [`Context::spawn_blocking`]; the work keeps no checkpoints.
    ///
    /// # Panics
    ///
    /// As [`Context::spawn_blocking`].
    ///
    /// # Errors
    ///
    /// As [`Context::spawn_blocking`].
    pub async fn spawn_blocking<T, F>(&self, work: F) -> Result<T, BoxError>
    where
        F: FnOnce(&Blocking) -> T + Send + 'static,
        T: Send + 'static,
    {
        self.0.block(None, work).await
    }
}
