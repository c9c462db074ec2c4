//! The way in: enqueue, cancel, requeue, ask. Knows jobs and the store, and no actor: it works in a
//! process that has no workers and knows only names.

mod announcer;
mod asks;
mod births;
mod breakers;
mod candidates;
mod check;
mod coalescer;
mod control;
mod enqueue;
mod explain;
mod gather;
mod health;
mod letters;
mod limits;
mod queue_handle;
mod reason;
mod told;
mod trace_context;
mod turns;
mod wakeups;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Instant;

pub(crate) use asks::{Asks, Birth, Loan, Offer, Recipient};
pub(crate) use births::Births;
pub use breakers::BreakerControl;
pub use explain::Explanation;
pub use health::{Condition, Health};
pub use letters::ChosenDead;
pub(crate) use queue_handle::Applied;
pub use queue_handle::{Halting, MAX_WORKERS, QueueHandle};
pub use reason::Reason;
pub(crate) use trace_context::TraceContext;
pub(crate) use wakeups::{Interest, Wakeups};

use announcer::Announcer;
use coalescer::Coalescer;
use turns::Turns;

use crate::event::{Bulletin, Event};
use crate::job::{DEFAULT_PAYLOAD_LIMIT, Kind, MAX_PAYLOAD_LIMIT};
use crate::store::{Database, Lanes, Origin, Store};
use crate::supervision::Subscription;
use crate::{BoxError, Error};

/// Enqueues jobs, and asks about them. Cheap to clone.
///
/// A board has one ([`Board::client`](crate::Board::client)). A process without workers makes one
/// with [`connect`](Self::connect).
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> Result<(), callboard::Error> {
/// use callboard::{Client, Database, job::Call};
///
/// let client = Client::connect(Database::from_url("postgres://localhost/app")?).await?;
/// // This process does not have the code of the job; its name and its arguments are enough.
/// let id = client.enqueue(Call::named("mail.send_welcome", &(123_i64,)).queue("mail")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    store: Store,
    /// What this process knows of kinds.
    kinds: RwLock<HashMap<String, Arc<Kind>>>,
    payload_limit: usize,
    wakeups: Wakeups,
    births: Births,
    coalescer: Arc<Coalescer>,
    announcer: Arc<Announcer>,
    turns: Turns,
    bulletin: Bulletin,
    trace_context: OnceLock<TraceContext>,
    /// Since when the database does not answer.
    silent_since: Mutex<Option<Instant>>,
}

/// What a client is made of.
pub(crate) struct ClientParts {
    pub(crate) store: Store,
    pub(crate) kinds: HashMap<String, Arc<Kind>>,
    pub(crate) payload_limit: usize,
    pub(crate) wakeups: Wakeups,
    pub(crate) births: Births,
    pub(crate) bulletin: Bulletin,
}

impl Client {
    /// A client of a process without workers.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`]; [`Error::is_schema`] when no board has migrated the database yet.
    pub async fn connect(database: Database) -> Result<Self, Error> {
        Self::connect_with_limit(database, DEFAULT_PAYLOAD_LIMIT).await
    }

    /// As [`connect`](Self::connect), with another limit for payloads, in bytes.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect); [`Error::is_config`] when the limit is 0 or above
    /// [`MAX_PAYLOAD_LIMIT`].
    pub async fn connect_with_limit(
        database: Database,
        payload_limit: usize,
    ) -> Result<Self, Error> {
        check_payload_limit(payload_limit)?;
        let store = Store::new(database, Lanes::CLIENT_ONLY)?;
        store.database().check_schema().await?;
        Ok(Self::from_parts(ClientParts {
            store,
            kinds: HashMap::new(),
            payload_limit,
            wakeups: Wakeups::default(),
            births: Births::default(),
            bulletin: Bulletin::default(),
        }))
    }

    pub(crate) fn from_parts(parts: ClientParts) -> Self {
        let ClientParts {
            store,
            kinds,
            payload_limit,
            wakeups,
            births,
            bulletin,
        } = parts;
        let coalescer = Arc::new(Coalescer::new(store.clone(), births.clone()));
        let announcer = Arc::new(Announcer::new(store.clone()));
        let turns = Turns::new(store.clone());
        Self(Arc::new(Inner {
            store,
            kinds: RwLock::new(kinds),
            payload_limit,
            wakeups,
            births,
            coalescer,
            announcer,
            turns,
            bulletin,
            trace_context: OnceLock::new(),
            silent_since: Mutex::default(),
        }))
    }

    /// A client that reaches no database and says `why`, for handlers that run away from their board.
    #[cfg(any(unix, feature = "testing"))]
    pub(crate) fn unconnected(schema: &str, why: &'static str) -> Self {
        let database = Database::from_url("postgres://nowhere")
            .expect("the URL is valid")
            .schema(schema)
            .connect_with(move || async move { Err::<_, BoxError>(why.into()) });
        let store = Store::new(database, Lanes::CLIENT_ONLY).expect("the defaults are valid");
        Self::from_parts(ClientParts {
            store,
            kinds: HashMap::new(),
            payload_limit: DEFAULT_PAYLOAD_LIMIT,
            wakeups: Wakeups::default(),
            births: Births::default(),
            bulletin: Bulletin::default(),
        })
    }

    /// The schema of the board's tables.
    #[cfg(unix)]
    pub(crate) fn schema(&self) -> &str {
        self.0.store.database().schema_name()
    }

    /// Follows what this process does with jobs from now on: what it enqueues, cancels and brings back.
    /// The client of a board hears all that happens there; see
    /// [`Board::events`](crate::Board::events).
    #[must_use]
    pub fn events(&self) -> Subscription<Event> {
        self.0.bulletin.subscribe()
    }

    /// Writes the trace context of the caller into every job that is enqueued: `ask` gives it as W3C's
    /// `traceparent`, or `None` if there is none. It is asked where the enqueue is called, in the
    /// caller's span; what it gives that [is no `traceparent`](crate::job::is_traceparent) is left
    /// out. All clones of a client share it, and the first one given counts.
    ///
    /// # Examples
    ///
    /// ```ignore
    /// // With the crates opentelemetry and tracing-opentelemetry:
    /// let client = client.trace_context(|| {
    ///     let context = tracing::Span::current().context();
    ///     let span = context.span().span_context().clone();
    ///     let (trace, parent) = (span.trace_id(), span.span_id());
    ///     span.is_valid().then(|| format!("00-{trace}-{parent}-{:02x}", span.trace_flags()))
    /// });
    /// ```
    #[must_use]
    pub fn trace_context(self, ask: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        self.ask_trace_context(TraceContext::new(ask));
        self
    }

    pub(crate) fn ask_trace_context(&self, ask: TraceContext) {
        // The first one counts.
        let _later = self.0.trace_context.set(ask);
    }

    /// Counts what this client does from now on, with the recorder of the [`metrics`] crate that is
    /// installed now. For a process without a board; a board does it for its own client, if it
    /// is [told to](crate::board::Builder::metrics).
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn metrics(self) -> Self {
        self.0.bulletin.report();
        self
    }

    /// What marks the notices of this process.
    pub(crate) fn origin(&self) -> Origin {
        self.0.announcer.origin()
    }

    /// Whether this process has a handler for the kind.
    #[cfg(feature = "testing")]
    pub(crate) fn knows(&self, kind: &str) -> bool {
        self.kind(kind).is_some()
    }

    /// What this process knows of a kind.
    fn kind(&self, name: &str) -> Option<Arc<Kind>> {
        let kinds = self.0.kinds.read().unwrap_or_else(PoisonError::into_inner);
        kinds.get(name).map(Arc::clone)
    }

    /// Knows these kinds from now on, and no others.
    pub(crate) fn learn(&self, kinds: HashMap<String, Arc<Kind>>) {
        *self.0.kinds.write().unwrap_or_else(PoisonError::into_inner) = kinds;
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.0.store).finish()
    }
}

/// Checks the limit for payloads.
pub(crate) fn check_payload_limit(limit: usize) -> Result<(), Error> {
    if limit == 0 || limit > MAX_PAYLOAD_LIMIT {
        let text = format!("the payload limit is {limit} bytes; expected 1 to {MAX_PAYLOAD_LIMIT}");
        return Err(Error::config(text));
    }
    Ok(())
}
