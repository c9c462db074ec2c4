//! The breakers of this node's kinds, for those who claim and those who run.
//!
//! Who has no breaker pays for none: a board without breakers finds an empty list, and an attempt of a kind
//! without one looks at its handler, which it has in hand anyway.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::calls::{Call, Calls};
use super::fuse::{Fuse, Order, Passage};
use crate::handler::{Handler, Registry};
use crate::job::{Called, Ending, Repertoire};

/// The breakers of this node's kinds.
#[derive(Debug)]
pub(crate) struct Breakers {
    fuses: Vec<Arc<Fuse>>,
    by_kind: HashMap<String, Arc<Fuse>>,
    /// Every kind that this node can run.
    known: Arc<Repertoire>,
    /// Those that may be claimed without a ration.
    free: RwLock<Arc<Repertoire>>,
    /// How often what may be claimed has changed.
    changes: AtomicU64,
    pub(crate) calls: Calls,
}

impl Breakers {
    pub(crate) fn new(registry: &Registry) -> Self {
        let fuses: Vec<_> = registry
            .breakers()
            .iter()
            .map(Fuse::new)
            .map(Arc::new)
            .collect();
        let of_kinds = |fuse: &Arc<Fuse>| {
            let fuse = Arc::clone(fuse);
            let kinds: Vec<String> = fuse.kinds.kinds().to_vec();
            kinds.into_iter().map(move |kind| (kind, Arc::clone(&fuse)))
        };
        let breakers = Self {
            by_kind: fuses.iter().flat_map(of_kinds).collect(),
            fuses,
            known: Arc::clone(registry.repertoire()),
            free: RwLock::new(Arc::clone(registry.repertoire())),
            changes: AtomicU64::new(0),
            calls: Calls::new(),
        };
        breakers.count_free();
        breakers
    }

    pub(crate) fn fuses(&self) -> &[Arc<Fuse>] {
        &self.fuses
    }

    /// Every kind that this node can run.
    pub(crate) fn known(&self) -> &Repertoire {
        &self.known
    }

    /// The kinds that may be claimed without a ration.
    pub(super) fn free(&self) -> Arc<Repertoire> {
        Arc::clone(&self.free.read().unwrap_or_else(PoisonError::into_inner))
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
        self.count_free();
        // Probes that stay this node's for longer change nothing for anybody.
        if before.epoch == order.epoch && before.rule.is_rationed() && order.rule.is_rationed() {
            return Obeyed::AsBefore;
        }
        self.changes.fetch_add(1, Ordering::AcqRel);
        Obeyed::Anew
    }

    fn count_free(&self) {
        if self.fuses.is_empty() {
            return;
        }
        let is_free = |kind: &str| {
            let fuse = self.by_kind.get(kind);
            fuse.is_none_or(|fuse| fuse.order().rule.is_free())
        };
        let free = Arc::new(self.known.only(is_free));
        *self.free.write().unwrap_or_else(PoisonError::into_inner) = free;
    }

    /// Whether an attempt may begin. If it has no passage from its claim, it gets one.
    pub(super) fn lets(&self, handler: &Handler, passage: &mut Option<Passage>) -> bool {
        if handler.breaker.is_none() {
            return true;
        }
        if passage.is_none() {
            let fuse = self.by_kind.get(&handler.kind.name);
            *passage = fuse.and_then(Passage::free);
        }
        passage.as_ref().is_some_and(Passage::is_valid)
    }

    /// Whether an attempt of this kind, which was claimed and has not begun, may still begin.
    pub(super) fn is_let(&self, kind: &str, held: Option<&Passage>) -> bool {
        match (held, self.by_kind.get(kind)) {
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
}

/// What a change of a breaker means for claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Obeyed {
    AsBefore,
    /// Fetchers have to look again.
    Anew,
}
