//! The breakers of this node's kinds, for those who claim and those who run.
//!
//! Who has no breaker pays for none: a board without breakers finds an empty list, and an attempt of a kind
//! without one looks at its handler, which it has in hand anyway.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use super::calls::{Call, Calls};
use super::fuse::{Fuse, Order, Passage};
use crate::handler::{DeclaredBreaker, Handler, Registry};
use crate::job::{Called, Ending, Repertoire};
use crate::store::ClaimedJob;

/// The breakers of this node's kinds.
#[derive(Debug)]
pub(crate) struct Breakers {
    circuit: RwLock<Circuit>,
    /// How often what may be claimed has changed.
    changes: AtomicU64,
    pub(crate) calls: Calls,
}

/// The fuses, and what they leave to be claimed, until the handlers change.
#[derive(Debug, Default)]
struct Circuit {
    fuses: Arc<[Arc<Fuse>]>,
    by_kind: HashMap<String, Arc<Fuse>>,
    /// All that this node can run.
    known: Arc<Repertoire>,
    /// What may be claimed without a ration.
    free: Arc<Repertoire>,
}

impl Breakers {
    pub(crate) fn new(registry: &Registry) -> Self {
        Self {
            circuit: RwLock::new(Circuit::of(registry, &[])),
            changes: AtomicU64::new(0),
            calls: Calls::new(),
        }
    }

    /// Guards the kinds of this registry from now on. A breaker that stays as it is goes on as it stands; one that
    /// is new lets nothing through until it is told how it stands.
    pub(crate) fn guard(&self, registry: &Registry) {
        let mut circuit = self.circuit.write().unwrap_or_else(PoisonError::into_inner);
        *circuit = Circuit::of(registry, &circuit.fuses);
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn fuses(&self) -> Arc<[Arc<Fuse>]> {
        Arc::clone(&self.read().fuses)
    }

    /// All that this node can run.
    pub(crate) fn known(&self) -> Arc<Repertoire> {
        Arc::clone(&self.read().known)
    }

    /// What may be claimed without a ration.
    pub(super) fn free(&self) -> Arc<Repertoire> {
        Arc::clone(&self.read().free)
    }

    /// How often what may be claimed has changed.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// A breaker stands so from now on. Tells whether that changes what may be claimed.
    pub(crate) fn obey(&self, fuse: &Fuse, order: Order) -> Obeyed {
        let before = fuse.order();
        if before == order {
            return Obeyed::AsBefore;
        }
        fuse.obey(order);
        self.circuit
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .count_free();
        // Probes that stay this node's for longer change nothing for anybody.
        if before.epoch == order.epoch && before.rule.is_rationed() && order.rule.is_rationed() {
            return Obeyed::AsBefore;
        }
        self.changes.fetch_add(1, Ordering::AcqRel);
        Obeyed::Anew
    }

    /// Whether an attempt may begin. If it has no passage from its claim, it gets one.
    pub(super) fn lets(&self, handler: &Handler, passage: &mut Option<Passage>) -> bool {
        if handler.breaker.is_none() {
            return true;
        }
        if passage.is_none() {
            let circuit = self.read();
            let fuse = circuit.by_kind.get(&handler.kind.name);
            *passage = fuse.and_then(Passage::free);
        }
        passage.as_ref().is_some_and(Passage::is_valid)
    }

    /// Whether an attempt of this job, which was claimed and has not begun, may still begin.
    pub(super) fn is_let(&self, job: &ClaimedJob, held: Option<&Passage>) -> bool {
        let circuit = self.read();
        if !circuit.known.can_run(&job.kind, job.version) {
            return false;
        }
        match (held, circuit.by_kind.get(&*job.kind)) {
            (Some(passage), _) => passage.is_valid(),
            (None, Some(fuse)) => fuse.lets(None).is_some(),
            (None, None) => true,
        }
    }

    /// An attempt has ended that was let through.
    pub(super) fn ended(&self, mut passage: Passage, ending: &Ending, ran: Duration) {
        if let Some(called) = Called::of(ending, ran, &passage.fuse().options) {
            passage.spend();
            let failure = match ending {
                Ending::Failed(failure) => Some(failure),
                _ => None,
            };
            self.calls.push(Call::new(&passage, called, failure));
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Circuit> {
        // Nothing panics while it holds the lock.
        self.circuit.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Circuit {
    fn of(registry: &Registry, earlier: &[Arc<Fuse>]) -> Self {
        let fuse = |declared: &DeclaredBreaker| {
            let same = earlier.iter().find(|fuse| fuse.guard(declared));
            same.map_or_else(|| Arc::new(Fuse::new(declared)), Arc::clone)
        };
        let fuses: Arc<[Arc<Fuse>]> = registry.breakers().iter().map(fuse).collect();
        let mut by_kind = HashMap::new();
        for fuse in &*fuses {
            let kinds = fuse.kinds();
            let of_kinds = kinds.kinds().iter();
            by_kind.extend(of_kinds.map(|kind| (kind.clone(), Arc::clone(fuse))));
        }
        let mut circuit = Self {
            fuses,
            by_kind,
            known: Arc::clone(registry.repertoire()),
            free: Arc::clone(registry.repertoire()),
        };
        circuit.count_free();
        circuit
    }

    fn count_free(&mut self) {
        if self.fuses.is_empty() {
            return;
        }
        let is_free = |kind: &str| {
            let fuse = self.by_kind.get(kind);
            fuse.is_none_or(|fuse| fuse.order().rule.is_free())
        };
        self.free = Arc::new(self.known.only(is_free));
    }
}

/// What a change of a breaker means for claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Obeyed {
    AsBefore,
    /// Fetchers have to look again.
    Anew,
}
