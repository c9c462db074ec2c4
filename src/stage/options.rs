//! How a consumer subscribes: [`SubscribeOptions`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::StageError;
use crate::supervision::Backoff;

/// How many events a consumer holds at most unless chosen otherwise; as in GenStage.
pub const DEFAULT_MAX_DEMAND: u32 = 1_000;
/// The most events that a consumer may ask for at a time.
pub const MAX_DEMAND: u32 = 1_000_000;

/// How a consumer subscribes to a producer.
///
/// # Examples
///
/// ```
/// use callboard::stage::{Cancel, SubscribeOptions};
///
/// let options = SubscribeOptions::<u64>::new()
///     .max_demand(100)
///     .min_demand(80)
///     .cancel(Cancel::resubscribe())
///     .selector(|number| number % 2 == 0);
/// ```
#[must_use]
pub struct SubscribeOptions<T> {
    pub(super) max_demand: u32,
    min_demand: Option<u32>,
    pub(super) asks: Asks,
    pub(super) cancel: Cancel,
    pub(super) wishes: Wishes<T>,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Asks {
    /// The runtime: `max_demand` at the beginning, and again whenever no more than `min_demand` are
    /// outstanding, each time after the events before are handled. GenStage's algorithm.
    #[default]
    Automatic,
    /// The stage itself, by [`Inlets::ask`](super::Inlets::ask).
    Manual,
    /// The runtime, for what the stage's own consumers have asked for and it has not given them, up
    /// to `max_demand` at a time. Nothing is fetched that nobody waits for; what the stage filters
    /// out is asked for anew. For producer-consumers that make one event of one.
    Forwarded,
}

/// What becomes of a consumer when its subscription ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cancel {
    /// It ends too: fails if the producer was lost, stops if the producer was done or stopped.
    #[default]
    Permanent,
    /// It fails if the producer was lost, and lives on if the producer was done or stopped.
    Transient,
    /// It lives on.
    Temporary,
    /// It lives on and subscribes to the producer's successor as soon as there is one; from the
    /// second time in a row on after a wait.
    Resubscribe(Backoff),
}

impl Cancel {
    /// [`Resubscribe`](Self::Resubscribe) with a wait of 10 ms, doubled each time up to a second.
    #[must_use]
    pub fn resubscribe() -> Self {
        Self::Resubscribe(Backoff::exponential(
            Duration::from_millis(10),
            Duration::from_secs(1),
        ))
    }
}

/// What becomes of an event when its consumer has not asked for it yet; for broadcasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenBehind {
    /// It waits, and so does everybody else.
    #[default]
    Hold,
    /// It passes by, and is counted.
    Miss,
}

/// Which events a consumer wants.
pub type Selector<T> = Arc<dyn Fn(&T) -> bool + Send + Sync>;

/// What a consumer wants of its producer's dispatcher. Each dispatcher reads what concerns it.
pub struct Wishes<T> {
    /// The partition it wants; the first that is free if `None`.
    pub partition: Option<u32>,
    /// Which events it wants; all if `None`.
    pub selector: Option<Selector<T>>,
    /// What becomes of events while it is behind.
    pub when_behind: WhenBehind,
}

impl<T> SubscribeOptions<T> {
    /// The defaults: automatic demand of [`DEFAULT_MAX_DEMAND`], permanent.
    pub fn new() -> Self {
        Self {
            max_demand: DEFAULT_MAX_DEMAND,
            min_demand: None,
            asks: Asks::default(),
            cancel: Cancel::default(),
            wishes: Wishes::default(),
        }
    }

    /// Holds at most this many events at a time (default [`DEFAULT_MAX_DEMAND`], 1 to
    /// [`MAX_DEMAND`]). Too few cost a message each; with too many, events wait behind a slow one.
    pub fn max_demand(mut self, max: u32) -> Self {
        self.max_demand = max;
        self
    }

    /// Asks again when this many are outstanding (default half of `max_demand`, below `max_demand`).
    /// With 0 the consumer waits for its producer after each step; close to `max_demand` it asks
    /// often.
    pub fn min_demand(mut self, min: u32) -> Self {
        self.min_demand = Some(min);
        self
    }

    /// Says who asks (default [`Asks::Automatic`]).
    pub fn asks(mut self, asks: Asks) -> Self {
        self.asks = asks;
        self
    }

    /// Says what becomes of the consumer when the subscription ends (default
    /// [`Cancel::Permanent`]).
    pub fn cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }

    /// Wants this partition of a [`PartitionDispatcher`](super::PartitionDispatcher), from 0
    /// (default: the first that is free).
    pub fn partition(mut self, partition: u32) -> Self {
        self.wishes.partition = Some(partition);
        self
    }

    /// Wants only these events of a [`BroadcastDispatcher`](super::BroadcastDispatcher). The
    /// function runs in the producer, for each event.
    pub fn selector(mut self, wants: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        self.wishes.selector = Some(Arc::new(wants));
        self
    }

    /// Says what becomes of the events of a [`BroadcastDispatcher`](super::BroadcastDispatcher)
    /// while this consumer is behind (default [`WhenBehind::Hold`]).
    pub fn when_behind(mut self, when_behind: WhenBehind) -> Self {
        self.wishes.when_behind = when_behind;
        self
    }

    pub(super) fn min(&self) -> u32 {
        self.min_demand.unwrap_or(self.max_demand / 2)
    }

    pub(super) fn check(&self, source: &str) -> Result<(), StageError> {
        let (max, min) = (self.max_demand, self.min());
        let refuse = |option, value, expected| {
            Err(StageError::Option {
                source_name: source.into(),
                option,
                value,
                expected,
            })
        };
        if max == 0 || max > MAX_DEMAND {
            return refuse("max_demand", max, format!("1 to {MAX_DEMAND}"));
        }
        if min >= max {
            return refuse(
                "min_demand",
                min,
                format!("less than max_demand, which is {max}"),
            );
        }
        Ok(())
    }
}

impl<T> Default for SubscribeOptions<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for SubscribeOptions<T> {
    fn clone(&self) -> Self {
        Self {
            wishes: self.wishes.clone(),
            ..*self
        }
    }
}

impl<T> fmt::Debug for SubscribeOptions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscribeOptions")
            .field("max_demand", &self.max_demand)
            .field("min_demand", &self.min())
            .field("asks", &self.asks)
            .field("cancel", &self.cancel)
            .field("wishes", &self.wishes)
            .finish()
    }
}

impl<T> Default for Wishes<T> {
    fn default() -> Self {
        Self {
            partition: None,
            selector: None,
            when_behind: WhenBehind::default(),
        }
    }
}

impl<T> Clone for Wishes<T> {
    fn clone(&self) -> Self {
        Self {
            selector: self.selector.clone(),
            ..*self
        }
    }
}

impl<T> fmt::Debug for Wishes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wishes")
            .field("partition", &self.partition)
            .field("is_selective", &self.selector.is_some())
            .field("when_behind", &self.when_behind)
            .finish()
    }
}
