//! The whole: what an application starts, holds and shuts down.

mod breakers;
mod builder;
mod checks;
mod doubts;
mod gate;
mod guarded;
mod handlers;
mod health;
mod heartbeat;
#[cfg(unix)]
mod isolates;
mod launch;
mod ledger;
mod liveness;
mod mourner;
mod notifier;
mod pruner;
mod pulse;
mod queues;
mod rescuer;
mod roll;
mod sampler;
mod scheduler;
mod signals;
mod steward;
mod tree;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use crate::client::Health;
#[cfg(feature = "metrics")]
pub use builder::DEFAULT_SAMPLE_EVERY;
pub use builder::{
    Builder, DEFAULT_HISTORY, DEFAULT_LEASE, DEFAULT_MAX_DEATHS, DEFAULT_SHUTDOWN_GRACE,
    DEFAULT_SWEEP_EVERY,
};
pub use handlers::{HandlerInfo, Handlers};
pub use health::Counts;

use gate::GateArgs;

use crate::Error;
use crate::client::{Client, QueueHandle};
use crate::event::Event;
use crate::job::NodeId;
use crate::queue::{Attempted, Office};
use crate::stage::Source;
use crate::store::{Database, WorkerInfo};
use crate::supervision::{Subscription, SupervisorRef};

/// How long the tree may take to stop beyond the graces: the ledger's last write, the goodbye, workers
/// that block their threads.
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// A running board: its supervision tree, its client, its health. Cheap to clone.
///
/// Call [`shutdown`](Self::shutdown) before the process ends. Without it nothing is lost either, but
/// the jobs in this node's hands have to wait until another node, or the next start, takes them back.
/// Dropping the last handle leaves the tree running.
#[derive(Clone)]
pub struct Board(Arc<Inner>);

struct Inner {
    root: SupervisorRef,
    office: Arc<Office>,
    /// How a shutdown begins.
    gate: GateArgs,
    /// Queues are added and removed one after the other.
    changes: tokio::sync::Mutex<()>,
    /// Handlers are swapped one swap after the other.
    swaps: std::sync::Mutex<()>,
    /// What a test puts into the place of handlers.
    #[cfg(feature = "testing")]
    map_handlers: Option<builder::MapHandlers>,
    /// An embedded server must outlive the tree.
    _database: Database,
}

impl Board {
    /// Begins to build a board over `database`.
    pub fn builder(database: Database) -> Builder {
        Builder::new(database)
    }

    /// The client of this board.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.0.office.client
    }

    /// This process's identity among the nodes, fresh at every start.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.0.office.node
    }

    /// A queue on this node alone, to be paused, resumed, stopped or scaled while it runs; see
    /// [`QueueHandle`]. What it is told is in effect when it returns (of a pause: no claim or birth is under
    /// way any more), unless the board is in trouble ([`health`](Self::health)), and is forgotten when this node ends.
    /// For all nodes, ask the [client](Self::client).
    pub fn queue(&self, name: impl Into<String>) -> QueueHandle {
        let office = &self.0.office;
        let handle = office.client.queue(name).on(office.node);
        let applied = steward::applied(office, handle.name());
        handle.applied_by(applied)
    }

    /// Who works on this node, since when, on what. Asks nobody, so it answers whatever state they are
    /// in. For all nodes, ask the client: [`Client::workers`].
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerInfo> {
        let office = &self.0.office;
        let here = (office.node, &*office.node_name);
        let workers = roll::roll(office, &self.0.root).into_iter();
        workers.map(|worker| worker.info(here, None)).collect()
    }

    /// The root of the supervision tree: its snapshot, its events, its actor.
    #[must_use]
    pub fn supervisor(&self) -> &SupervisorRef {
        &self.0.root
    }

    /// How the parts of this board are. Asks nobody, so it answers whatever state they are in.
    #[must_use]
    pub fn health(&self) -> Health {
        health::health_of(&self.0.office, &self.0.root)
    }

    /// What becomes of every attempt on this node, as it is written: a broadcast, to which any number
    /// of [consumers](crate::stage::Consumer) subscribe, or a [stream](Source::stream).
    ///
    /// A subscription with [`WhenBehind::Miss`](crate::stage::WhenBehind::Miss) never slows anybody
    /// down: what it has no demand for passes by, and is counted. The default,
    /// [`WhenBehind::Hold`](crate::stage::WhenBehind::Hold), gets everything, and sets the pace of the
    /// others; while more than some 20,000 attempts wait for it, no more jobs are claimed. News from
    /// before its subscription, and what is in its hands when it stops, it does not get.
    #[must_use]
    pub fn attempts(&self) -> Source<Attempted> {
        self.0.office.facts.source()
    }

    /// Follows what happens on this node from now on. Nobody is ever held up: a subscriber that falls
    /// behind by more than [`EVENT_CAPACITY`](crate::event::EVENT_CAPACITY) events is told how many it
    /// missed. For attempts without a gap there is [`attempts`](Self::attempts).
    ///
    /// Facts about single jobs and calls are made only while somebody subscribes, so that they cost
    /// nothing otherwise.
    #[must_use]
    pub fn events(&self) -> Subscription<Event> {
        self.0.office.bulletin.subscribe()
    }

    /// What this node has done since its start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let counters = &self.0.office.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            claimed: read(&counters.claimed),
            completed: read(&counters.completed),
            retried: read(&counters.retried),
            snoozed: read(&counters.snoozed),
            cancelled: read(&counters.cancelled),
            buried: read(&counters.buried),
            released: read(&counters.released),
            panicked: read(&counters.panicked),
            rescued: read(&counters.rescued),
            refused: read(&counters.refused),
            in_hand: self.0.office.custody.count() as u64,
        }
    }

    /// How many attempts are in hand, in one queue or in all.
    #[cfg(feature = "testing")]
    pub(crate) fn in_hand(&self, queue: Option<&str>) -> usize {
        let custody = &self.0.office.custody;
        queue.map_or_else(|| custody.count(), |queue| custody.held_in(queue).len())
    }

    /// Shuts the board down, gracefully: stops claiming, returns what has not begun, lets running
    /// handlers finish within the grace, then tells the rest to stop, cuts off those that do not, and
    /// records them as interrupted, which costs them no attempt. Writes every answer, and says
    /// goodbye. May be called by any number of callers, any number of times.
    ///
    /// # Errors
    ///
    /// [`Error::is_start`] when the tree did not stop in time; the process should exit then.
    pub async fn shutdown(&self) -> Result<(), Error> {
        let within = self.0.gate.closes_within() + STOP_WITHIN;
        let stopped = self.0.root.stop_and_wait("shutdown", Some(within)).await;
        stopped.map_err(|cause| Error::start("cannot stop the board").because(cause))
    }

    /// Ends the grace of a [`shutdown`](Self::shutdown) that is under way or to come: running
    /// handlers are told to stop at once.
    pub fn hurry(&self) {
        self.0.gate.hurry.cancel();
    }

    /// Waits until the tree has ended, by a shutdown or because it failed.
    pub async fn stopped(&self) {
        // Without a limit it cannot time out.
        let _ended = self.0.root.cell().wait(None).await;
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board")
            .field("node", &self.node())
            .finish_non_exhaustive()
    }
}
