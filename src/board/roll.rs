//! Who works on this node: from the seats on the queues' desks, and from the tree.

use std::collections::HashMap;
use std::time::Instant;

use chrono::{DateTime, Utc};

use crate::queue::{Office, Seat};
use crate::store::{CurrentAttempt, WorkerReport};
use crate::supervision::{ChildInfo, SupervisorRef};

/// Every worker of every queue. Asks nobody.
pub(super) fn roll(office: &Office, root: &SupervisorRef) -> Vec<WorkerReport> {
    let tree = root.snapshot();
    let (now, clock) = (Instant::now(), Utc::now());
    let at = |instant: Instant| clock - now.saturating_duration_since(instant);
    let mut all = Vec::new();
    for desk in office.desks.all() {
        let queue = &desk.queue.name;
        let Some(workers) = tree.find(&["queues", queue, "workers"]) else {
            continue;
        };
        let there: HashMap<&str, &ChildInfo> = workers
            .children
            .iter()
            .map(|worker| (&*worker.info.id, &worker.info))
            .collect();
        for seat in desk.seats_taken() {
            if let Some(info) = there.get(&*seat.name) {
                all.push(report(queue, &seat, info, at));
            }
        }
    }
    all
}

fn report(
    queue: &str,
    seat: &Seat,
    info: &ChildInfo,
    at: impl Fn(Instant) -> DateTime<Utc>,
) -> WorkerReport {
    let current = seat.occupation().map(|now| {
        let attempt = (now.job, now.attempt);
        CurrentAttempt::new(attempt, &now.by.handler.kind.name, at(now.since), now.jobs)
    });
    WorkerReport {
        queue: queue.to_owned(),
        name: seat.name.to_string(),
        started_at: info.started_at.map(Into::into),
        restarts: info.restarts,
        done: seat.done(),
        current,
        last_job: seat.last_job(),
        is_leaving: seat.is_leaving(),
    }
}
