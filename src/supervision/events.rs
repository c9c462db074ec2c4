//! The event stream of a supervision tree: [`Events`] to publish, [`Subscription`] to follow. Higher
//! layers give their own events to the same subscriptions.
//!
//! A tokio broadcast channel: publishing never waits, and a subscriber that falls behind by more
//! than the capacity is told how many events it [missed](Lagged).

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::{ChildPath, Event, EventKind};

/// The number of events a subscriber may fall behind unless chosen otherwise.
pub const EVENT_CAPACITY: usize = 1024;

/// The event stream of a tree. Make one before the tree to see its first starts, and hand it to
/// [`SupervisorSpec::events`](super::SupervisorSpec::events).
#[derive(Clone)]
pub struct Events {
    stream: broadcast::Sender<Event>,
    listener: Option<Listener>,
}

type Listener = Arc<dyn Fn(&Event) + Send + Sync>;

impl Events {
    /// A stream whose subscribers may fall behind by `capacity` events, at least 1. Memory for that
    /// many events is taken at once.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            stream: broadcast::Sender::new(capacity.max(1)),
            listener: None,
        }
    }

    /// Calls `listen` with every event before any subscriber gets it, in the supervisor that publishes
    /// it: it must neither block nor panic. Unlike a subscriber it can miss none. The last one given
    /// counts.
    #[must_use]
    pub fn listener(mut self, listen: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listen));
        self
    }

    /// Follows the stream from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        Subscription::to(&self.stream)
    }

    pub(super) fn publish(&self, path: ChildPath, kind: EventKind) {
        kind.trace(&path);
        let event = Event {
            path,
            at: SystemTime::now(),
            kind,
        };
        if let Some(listen) = &self.listener {
            listen(&event);
        }
        // An error says that nobody is subscribed, which is nobody's loss.
        let _ = self.stream.send(event);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new(EVENT_CAPACITY)
    }
}

/// A subscriber's place in an event stream.
#[derive(Debug)]
pub struct Subscription<T = Event>(broadcast::Receiver<T>);

/// The subscriber fell behind and missed this many events; the next one follows the gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("missed {0} events")]
pub struct Lagged(pub u64);

impl<T: Clone> Subscription<T> {
    pub(crate) fn to(stream: &broadcast::Sender<T>) -> Self {
        Self(stream.subscribe())
    }

    /// Waits for the next event; `None` once what publishes them and all references to
    /// it are gone.
    ///
    /// Cancelling the wait loses nothing.
    ///
    /// # Errors
    ///
    /// [`Lagged`] if events were missed. The subscription goes on with the oldest one kept.
    pub async fn next(&mut self) -> Option<Result<T, Lagged>> {
        match self.0.recv().await {
            Ok(event) => Some(Ok(event)),
            Err(RecvError::Lagged(missed)) => Some(Err(Lagged(missed))),
            Err(RecvError::Closed) => None,
        }
    }

    /// The next event if there is one already.
    ///
    /// # Errors
    ///
    /// [`Lagged`] if events were missed. The subscription goes on with the oldest one kept.
    pub fn try_next(&mut self) -> Option<Result<T, Lagged>> {
        match self.0.try_recv() {
            Ok(event) => Some(Ok(event)),
            Err(TryRecvError::Lagged(missed)) => Some(Err(Lagged(missed))),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}
