//! What every part of a board shares: the store, the handlers, the outbox, the custody, the counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::{
    Breakers, Burials, Contest, Custody, Desks, Facts, Looks, Outbox, RecentErrors, Vitals,
};
use crate::client::{Births, Client, Wakeups};
use crate::event::Bulletin;
use crate::handler::{CurrentRegistry, Registry};
use crate::job::NodeId;
use crate::store::{NodeCard, Notice, Store};

/// What every part of a board shares.
#[derive(Debug)]
pub(crate) struct Office {
    pub(crate) node: NodeId,
    /// Host and process id, for people.
    pub(crate) node_name: String,
    /// What others are to know of this node.
    pub(crate) card: watch::Sender<NodeCard>,
    pub(crate) store: Store,
    pub(crate) client: Client,
    pub(crate) registry: CurrentRegistry,
    pub(crate) breakers: Breakers,
    pub(crate) wakeups: Wakeups,
    pub(crate) births: Births,
    pub(crate) outbox: Outbox,
    pub(crate) custody: Custody,
    /// Batches of the express lane whose processes may have died, for the rescuer.
    pub(crate) contest: Contest,
    pub(crate) vitals: Vitals,
    pub(crate) counters: Counters,
    pub(crate) facts: Facts,
    /// Where it is said what happens.
    pub(crate) bulletin: Bulletin,
    pub(crate) recent_errors: RecentErrors,
    /// Where burials are told, if somebody wants to know.
    pub(crate) burials: Option<Arc<Burials>>,
    /// One suspect at a time: a job under which a process died runs alone among its like, so that the
    /// next death tells which one is to blame.
    pub(crate) suspects: Arc<Semaphore>,
    pub(crate) lease: Duration,
    pub(crate) desks: Desks,
    /// When it was looked how the desks' queues are to be served.
    pub(crate) looks: Looks,
    pub(crate) is_closing: AtomicBool,
}

impl Office {
    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// No fetcher claims from here on, and no job is claimed at birth.
    pub(crate) fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        self.births.close();
        self.desks.all().iter().for_each(|desk| desk.close());
        self.wakeups.wake_queues();
    }

    /// Runs these handlers from now on: what has begun goes on as it was, and whatever begins from here on is run
    /// by them, or released.
    pub(crate) fn run_with(&self, registry: Registry) {
        let registry = Arc::new(registry);
        self.client.learn(registry.kinds());
        self.registry.put(&registry);
        self.breakers.guard(&registry);
        self.card.send_modify(|card| {
            card.kinds = Arc::clone(registry.repertoire());
            card.code_versions = registry.code_versions();
        });
        // What waits of kinds that are new here may be older than what was claimed since.
        self.wakeups.wake_queues_for(i16::MIN);
        for desk in self.desks.all() {
            desk.seats_taken().iter().for_each(|seat| seat.wake());
        }
        self.wakeups.wake(&Notice::Breaker);
        self.wakeups.wake(&Notice::Steered);
    }

    /// Whether jobs may be this node's by their rows: in its hands, on the way there, or unknown to it.
    pub(crate) fn may_hold_jobs(&self) -> bool {
        let custody = &self.custody;
        custody.is_any_under_way() || custody.count() > 0 || custody.is_any_in_doubt()
    }

    /// Waits, if the queue is not to be served, until no claim of it is under way, nor an enqueue that may be born:
    /// what they bring is returned, but had been this node's.
    pub(crate) async fn halted(&self, queue: &str) {
        if let Some(desk) = self.desks.get(queue) {
            self.custody.until_come(queue, || desk.is_open()).await;
        }
    }

    /// Waits until nothing is in hand and nothing on the way there. To be called when it is closed.
    pub(crate) async fn empty(&self) {
        self.custody.empty().await;
    }
}

/// Counts since the start, for people.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) claimed: AtomicU64,
    pub(crate) completed: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) snoozed: AtomicU64,
    pub(crate) cancelled: AtomicU64,
    pub(crate) buried: AtomicU64,
    pub(crate) released: AtomicU64,
    pub(crate) panicked: AtomicU64,
    pub(crate) rescued: AtomicU64,
    /// Answers of stale leases, which the fence refused.
    pub(crate) refused: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }
}
