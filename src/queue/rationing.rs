//! Which breakers of a queue's kinds let few jobs through at a time, and which of them a fetcher has found
//! nothing for.
//!
//! Rationed kinds are claimed apart from all others, with a limit of their own, so that the statement of a
//! claim knows nothing of breakers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use super::Office;
use super::fuse::Rationed;
use super::lease::Lease;

#[derive(Debug)]
pub(super) struct Rationing {
    office: Arc<Office>,
    /// The breakers for whose kinds the last claim found too few jobs.
    dry: HashSet<Arc<str>>,
    /// Which change of the breakers this fetcher has seen.
    seen: u64,
}

impl Rationing {
    pub(super) fn new(office: &Arc<Office>) -> Self {
        Self {
            seen: office.breakers.changes(),
            office: Arc::clone(office),
            dry: HashSet::new(),
        }
    }

    /// Rations for up to `asked` jobs of one breaker, in a queue with so many workers.
    pub(super) fn take(&self, asked: u32, workers: u32) -> Option<Rationed> {
        let fuses = self.office.breakers.fuses();
        let mut open = fuses
            .iter()
            .filter(|fuse| fuse.is_rationed() && !self.dry.contains(&fuse.name));
        open.find_map(|fuse| fuse.ration(asked, workers, Instant::now()))
    }

    /// A claim found fewer jobs than there were rations.
    pub(super) fn came_short(&mut self, breaker: &Arc<str>) {
        self.dry.insert(Arc::clone(breaker));
    }

    /// There may be jobs again.
    pub(super) fn look_again(&mut self) {
        self.dry.clear();
    }

    /// Whether a breaker has changed since the last time this was asked.
    pub(super) fn has_changed(&mut self) -> bool {
        let changes = self.office.breakers.changes();
        std::mem::replace(&mut self.seen, changes) != changes
    }

    /// Whether a lease in hand may still go to a worker.
    pub(super) fn is_let(&self, lease: &Lease) -> bool {
        let breakers = &self.office.breakers;
        breakers.is_let(lease.job(), lease.passage())
    }
}

/// Gives rations to the leases that were claimed by them. A lease that gets none keeps nothing, and is
/// returned to the board by whoever would begin it.
pub(super) fn hand_out(mut rations: Rationed, leases: &mut [Lease]) {
    let kinds = rations.fuse().kinds();
    for lease in leases {
        if kinds.has(&lease.job().kind) {
            lease.pass(rations.one());
        }
    }
}
