//! What a board is told: its options, their defaults and limits.

#[cfg(feature = "testing")]
use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorCell, SpawnErr};
use tokio::sync::watch;

use super::Board;
use super::mourner::OnBuried;
use crate::Error;
use crate::client::TraceContext;
use crate::event::{Bulletin, Event};
use crate::handler::{Handler, Job};
use crate::job::DEFAULT_PAYLOAD_LIMIT;
use crate::queue::{Attempted, Buried, Queue};
use crate::stage::Source;
use crate::store::Database;
use crate::supervision::{ChildSpec, Shutdown, Subscription};

/// How long a node may be silent before its jobs are taken back, unless configured.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(15);
/// How often a node looks for dead nodes, unless configured.
pub const DEFAULT_SWEEP_EVERY: Duration = Duration::from_millis(400);
/// How long running handlers may take to finish at a shutdown, unless configured.
pub const DEFAULT_SHUTDOWN_GRACE: Duration = Duration::from_secs(15);
/// How many processes may die under a job before it is quarantined, unless configured.
pub const DEFAULT_MAX_DEATHS: u32 = 3;
/// How long finished jobs are kept in the history, unless configured.
pub const DEFAULT_HISTORY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How often a board that reports metrics samples its gauges, unless configured.
#[cfg(feature = "metrics")]
pub const DEFAULT_SAMPLE_EVERY: Duration = Duration::from_secs(15);

/// A board before it is started. Every option is checked by [`start`](Self::start).
#[derive(Debug, Clone)]
#[must_use = "a board does nothing until it is started"]
pub struct Builder {
    pub(super) database: Database,
    pub(super) queues: Vec<(Queue, &'static std::panic::Location<'static>)>,
    pub(super) handlers: Vec<Handler>,
    pub(super) payload_limit: usize,
    pub(super) lease: Duration,
    pub(super) sweep_every: Duration,
    pub(super) shutdown_grace: Duration,
    pub(super) max_deaths: u32,
    pub(super) history: Duration,
    pub(super) migrates: Migrates,
    pub(super) retry_start_for: Duration,
    pub(super) children: Vec<ChildSpec>,
    pub(super) attempts: Source<Attempted>,
    pub(super) on_buried: Option<OnBuried>,
    pub(super) bulletin: Bulletin,
    pub(super) trace_context: Option<TraceContext>,
    pub(super) sample_every: Option<Duration>,
    #[cfg(feature = "metrics")]
    pub(super) reports: Reports,
    #[cfg(feature = "testing")]
    pub(super) map_handlers: Option<MapHandlers>,
}

/// Whether the board reports to the recorder of the `metrics` crate.
#[cfg(feature = "metrics")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reports {
    Nothing,
    Metrics,
}

/// What a test puts into the place of each handler.
#[cfg(feature = "testing")]
#[derive(Clone)]
pub(super) struct MapHandlers(pub(super) Arc<dyn Fn(Handler) -> Handler + Send + Sync>);

#[cfg(feature = "testing")]
impl std::fmt::Debug for MapHandlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MapHandlers")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Migrates {
    AtStart,
    Never,
}

impl Builder {
    pub(super) fn new(database: Database) -> Self {
        Self {
            database,
            queues: Vec::new(),
            handlers: Vec::new(),
            payload_limit: DEFAULT_PAYLOAD_LIMIT,
            lease: DEFAULT_LEASE,
            sweep_every: DEFAULT_SWEEP_EVERY,
            shutdown_grace: DEFAULT_SHUTDOWN_GRACE,
            max_deaths: DEFAULT_MAX_DEATHS,
            history: DEFAULT_HISTORY,
            migrates: Migrates::AtStart,
            retry_start_for: Duration::ZERO,
            children: Vec::new(),
            attempts: Source::new("attempts"),
            bulletin: Bulletin::default(),
            trace_context: None,
            sample_every: None,
            #[cfg(feature = "metrics")]
            reports: Reports::Nothing,
            #[cfg(feature = "testing")]
            map_handlers: None,
            on_buried: None,
        }
    }

    /// What will become of every attempt on this node; see [`Board::attempts`]. For consumers among
    /// the board's own [children](Self::child).
    #[must_use]
    pub fn attempts(&self) -> Source<Attempted> {
        self.attempts.clone()
    }

    /// Follows what will happen on this node, its start included; see [`Board::events`].
    #[must_use]
    pub fn events(&self) -> Subscription<Event> {
        self.bulletin.subscribe()
    }

    /// Writes the trace context of the caller into every job that the board's client enqueues; see
    /// [`Client::trace_context`](crate::Client::trace_context).
    pub fn trace_context(
        mut self,
        ask: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.trace_context = Some(TraceContext::new(ask));
        self
    }

    /// Says this often how queues, connections and the database stand, as
    /// [`Event::Sampled`] (1 s to a day; never unless this or `metrics` is asked for). Each time
    /// costs the database two cheap questions, on every node that asks. Too seldom, and a gauge misses
    /// what comes and goes.
    pub fn sample_every(mut self, sample_every: Duration) -> Self {
        self.sample_every = Some(sample_every);
        self
    }

    /// Reports to the recorder of the [`metrics`] crate that is installed when the board starts, and
    /// samples every [`DEFAULT_SAMPLE_EVERY`] unless told [otherwise](Self::sample_every). The
    /// metrics are in [`METRICS`](crate::event::METRICS). It costs each job some additions.
    ///
    /// Install the recorder first: a board that has started does not look for another one.
    #[cfg(feature = "metrics")]
    pub fn metrics(mut self) -> Self {
        self.reports = Reports::Metrics;
        self.sample_every.get_or_insert(DEFAULT_SAMPLE_EVERY);
        self
    }

    /// Serves a queue on this node.
    #[track_caller]
    pub fn queue(mut self, queue: Queue) -> Self {
        self.queues.push((queue, std::panic::Location::caller()));
        self
    }

    /// Runs jobs of this type.
    #[track_caller]
    pub fn job<J: Job>(self) -> Self {
        self.handler(Handler::of::<J>())
    }

    /// Runs these functions: `functions![reports::generate, mail::send_welcome]`.
    pub fn functions(mut self, functions: impl IntoIterator<Item = Handler>) -> Self {
        self.handlers.extend(functions);
        self
    }

    /// Runs jobs with this handler: `function!(reports::generate).max_attempts(5)`.
    pub fn handler(mut self, handler: impl Into<Handler>) -> Self {
        self.handlers.push(handler.into());
        self
    }

    /// Puts something else into the place of each handler, also of those that are swapped in later.
    #[cfg(feature = "testing")]
    pub(crate) fn map_handlers(
        mut self,
        map: impl Fn(Handler) -> Handler + Send + Sync + 'static,
    ) -> Self {
        self.handlers = self.handlers.into_iter().map(&map).collect();
        self.map_handlers = Some(MapHandlers(Arc::new(map)));
        self
    }

    /// Refuses payloads above this many bytes at the enqueue (default 1 MiB, 1 byte to 16 MiB).
    pub fn payload_limit(mut self, bytes: usize) -> Self {
        self.payload_limit = bytes;
        self
    }

    /// Lets this node be silent for so long before others take its jobs back (default
    /// [`DEFAULT_LEASE`], 1 s to a day, and at least three sweeps). It proves itself alive three times
    /// a lease. Too short, and a hiccup of the network makes jobs run twice; too long, and jobs wait
    /// for a node that hangs. A process that died is noticed much sooner.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Looks for dead nodes this often (default [`DEFAULT_SWEEP_EVERY`], 50 ms to a third of the lease).
    /// Each sweep is a query; a process that died is noticed in two.
    pub fn sweep_every(mut self, sweep_every: Duration) -> Self {
        self.sweep_every = sweep_every;
        self
    }

    /// Lets running handlers take this long to finish at a shutdown (default
    /// [`DEFAULT_SHUTDOWN_GRACE`], at most a hundred years); zero tells them to stop at once.
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.shutdown_grace = grace;
        self
    }

    /// Quarantines a job when this many processes have died under it (default
    /// [`DEFAULT_MAX_DEATHS`], at least 1).
    pub fn max_deaths(mut self, max_deaths: u32) -> Self {
        self.max_deaths = max_deaths;
        self
    }

    /// Keeps finished jobs in the history for so long, by whole days (default [`DEFAULT_HISTORY`], at most a
    /// hundred years); zero keeps those of the day. Whoever asks for a job after that is told there is none.
    /// Dead letters are kept until they are requeued.
    pub fn history(mut self, keep: Duration) -> Self {
        self.history = keep;
        self
    }

    /// Leaves the database's schema alone: starting on one that is not migrated is an error.
    pub fn without_migrations(mut self) -> Self {
        self.migrates = Migrates::Never;
        self
    }

    /// Goes on trying for so long when the database cannot be reached at the start (default: not at
    /// all; at most a hundred years).
    pub fn retry_start_for(mut self, patience: Duration) -> Self {
        self.retry_start_for = patience;
        self
    }

    /// Hangs an actor of the application's own into the board's tree, at `application/…`: it starts
    /// before the queues and stops after them, so that handlers may rely on it. If it fails more often
    /// than a supervisor tolerates by default, those there are stopped and started again after a pause;
    /// the queues run on.
    ///
    /// More can be started at any time:
    /// `board.supervisor().child("application")` is their supervisor.
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.children.push(child);
        self
    }

    /// Calls `call` for every job that this node buries among the dead letters, whatever the reason:
    /// attempts spent, discarded, undecodable, or quarantined because process after process died under it
    /// (then by the node that found out). Without it (the default) nobody is told; a second one takes the
    /// place of the first.
    ///
    /// Calls come one at a time, after the letter was written, in a task of the board's. They slow nobody
    /// down and take nobody along: one that panics is logged, one that takes longer than 30 s is given
    /// up, and beyond 1,000 that wait, further burials are counted in the log and not told. A shutdown
    /// gives those that are left three seconds. So it is for alarms and not for bookkeeping: what must
    /// not be missed is in [`Client::dead_letters`](crate::Client::dead_letters).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use callboard::{Board, Database, Queue};
    /// # async fn example() -> Result<(), callboard::Error> {
    /// let board = Board::builder(Database::embedded().await?)
    ///     .queue(Queue::new("mail"))
    ///     .on_buried(async |letter| {
    ///         eprintln!("{} of {} is dead: {}", letter.job, letter.kind, letter.failure);
    ///     })
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_buried<F, Fut>(mut self, call: F) -> Self
    where
        F: Fn(Buried) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.on_buried = Some(OnBuried::new(call));
        self
    }

    /// Starts the board: migrates the schema, registers the node, starts the tree.
    ///
    /// # Errors
    ///
    /// [`Error::is_config`] names the option, its value and what is expected.
    /// [`Error::is_unreachable`] names host, port and cause; [`Error::is_schema`] the remedy.
    pub async fn start(self) -> Result<Board, Error> {
        self.launch(None).await
    }

    /// Starts the board under a ractor supervisor of the application, which hears of its end as of
    /// any linked actor's. When the supervisor stops it, it shuts down gracefully if it is stopped,
    /// and not if it is killed.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_linked(self, supervisor: ActorCell) -> Result<Board, Error> {
        self.launch(Some(supervisor)).await
    }

    /// The board as a child of a supervisor of yours, which starts a fresh one whenever it has ended,
    /// and stops it gracefully, however long that takes. The receiver has the board that runs.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use callboard::supervision::{Strategy, SupervisorSpec};
    /// use callboard::{Board, Database, Queue};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = Board::builder(Database::embedded().await?).queue(Queue::new("mail"));
    /// let (child, mut board) = builder.into_child("board");
    /// let application = SupervisorSpec::new(Strategy::OneForOne).child(child).spawn().await?;
    /// let client = board.borrow_and_update().as_ref().map(|board| board.client().clone());
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_child(self, id: impl Into<String>) -> (ChildSpec, watch::Receiver<Option<Board>>) {
        let (started, boards) = watch::channel(None);
        let start = move |supervisor: ActorCell| {
            let (builder, started) = (self.clone(), started.clone());
            async move {
                let board = builder.start_linked(supervisor).await;
                let board = board.map_err(|error| SpawnErr::StartupFailed(error.into()))?;
                let cell = board.supervisor().cell();
                started.send_replace(Some(board));
                Ok(cell)
            }
        };
        let child = ChildSpec::new(id, start)
            .role("board")
            .shutdown(Shutdown::Infinity);
        (child, boards)
    }
}
