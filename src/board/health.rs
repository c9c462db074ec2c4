//! How a board is, and what it has done.

use crate::client::{Condition, Health};
use crate::queue::Office;
use crate::supervision::{ChildStatus, Snapshot, SupervisorRef};

/// How the parts of a board are, without asking any of them.
pub(super) fn health_of(office: &Office, root: &SupervisorRef) -> Health {
    let mut parts = office.vitals.all();
    let snapshot = root.snapshot();
    let is_running = snapshot.info.status == ChildStatus::Running && !office.is_closing();
    if let Some(queues) = snapshot.find(&["queues"]).filter(|_| is_running) {
        parts.extend(queues.children.iter().filter_map(failed_queue));
    }
    Health {
        parts,
        is_running,
        is_ended: snapshot.info.status == ChildStatus::Stopped,
    }
}

/// A queue that melted down and waits for its restart. One that somebody stopped is none of those.
fn failed_queue(queue: &Snapshot) -> Option<(String, Condition)> {
    let waiting = |snapshot: &&Snapshot| snapshot.info.status == ChildStatus::Restarting;
    let workers = queue.find(&["workers"]);
    let failed = std::iter::once(queue).chain(workers).find(waiting)?;
    let reason = failed
        .info
        .last_exit
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    Some((
        format!("queue {}", queue.info.id),
        Condition::Failed { reason },
    ))
}

/// What a node has done since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Attempts claimed.
    pub claimed: u64,
    /// Jobs completed.
    pub completed: u64,
    /// Attempts that failed and will be retried.
    pub retried: u64,
    /// Attempts that snoozed.
    pub snoozed: u64,
    /// Jobs cancelled while they executed here.
    pub cancelled: u64,
    /// Jobs given up.
    pub buried: u64,
    /// Attempts returned without a charge: not begun, or interrupted by a shutdown.
    pub released: u64,
    /// Attempts that panicked, and took their worker down.
    pub panicked: u64,
    /// Jobs taken back from other nodes that died.
    pub rescued: u64,
    /// Answers of stale leases, which the fence refused.
    pub refused: u64,
    /// Attempts in this node's hands now, until their answers are confirmed.
    pub in_hand: u64,
}
