//! Brings a queue's workers to the number that is wanted, while they run.
//!
//! What is lost if this is cut off at any await: nothing. Whoever calls it calls it again, and what it does
//! a second time does no harm.

use std::collections::HashMap;
use std::sync::Arc;

use super::desk::{Desk, Held};
use super::tree::worker;
use super::{Office, Seat};
use crate::supervision::{ChildInfo, SupervisorError, SupervisorRef};

/// What a worker that is one too many is told.
const ONE_TOO_MANY: &str = "one too many";

/// Starts the workers that are missing, and has those leave that are too many: after the job that they
/// run. `workers` is their supervisor; while it does not run, it says so, and its next start begins
/// with the right number.
pub(crate) async fn staff(
    office: &Arc<Office>,
    desk: &Arc<Desk>,
    workers: &SupervisorRef,
) -> Result<(), SupervisorError> {
    let snapshot = workers.snapshot();
    let there: HashMap<&str, &ChildInfo> = snapshot
        .children
        .iter()
        .map(|worker| (&*worker.info.id, &worker.info))
        .collect();
    let child = |seat: &Seat| there.get(&*seat.name).copied();
    let held = match office.custody.is_held_in(&desk.queue.name) {
        true => Held::Something,
        false => Held::Nothing,
    };
    let Some((seats, source)) = desk.seats(held, |seat| child(seat).is_some()) else {
        return Ok(());
    };
    for seat in seats {
        match (seat.is_leaving(), child(&seat)) {
            (false, Some(_)) => {}
            (false, None) => {
                let started = workers.start_child(worker(office, desk, &seat, &source));
                match started.await {
                    Ok(_) | Err(SupervisorError::AlreadyStarted { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            (true, Some(there)) => dismiss(workers, &seat, there).await?,
            // It is gone, and found to be so the next time.
            (true, None) => {}
        }
    }
    Ok(())
}

async fn dismiss(
    workers: &SupervisorRef,
    seat: &Seat,
    there: &ChildInfo,
) -> Result<(), SupervisorError> {
    if let Some(actor) = &there.actor {
        // Heard between two jobs. If it crashes before, its successor finds at its start that it may go.
        actor.stop(Some(ONE_TOO_MANY.to_owned()));
        return Ok(());
    }
    // It waits for its restart, perhaps long. One that has just come back runs no job.
    match workers.terminate_child(&*seat.name).await {
        Err(SupervisorError::UnknownChild { .. }) => Ok(()),
        done => done,
    }
}
