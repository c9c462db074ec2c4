//! The registry that counts at present. Whoever runs jobs keeps the one that it knows, and asks by one load
//! whether there is a newer one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::Registry;

/// The registry that counts at present.
#[derive(Debug)]
pub(crate) struct CurrentRegistry {
    registry: RwLock<Arc<Registry>>,
    /// That registry's generation.
    generation: AtomicU64,
}

impl CurrentRegistry {
    pub(crate) fn new(registry: Registry) -> Self {
        Self {
            generation: AtomicU64::new(registry.generation()),
            registry: RwLock::new(Arc::new(registry)),
        }
    }

    pub(crate) fn get(&self) -> Arc<Registry> {
        Arc::clone(&self.registry.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether this is the one that counts.
    pub(crate) fn is(&self, known: &Registry) -> bool {
        self.generation.load(Ordering::Acquire) == known.generation()
    }

    /// From now on, this one counts.
    pub(crate) fn put(&self, registry: &Arc<Registry>) {
        // Nothing panics while it holds the lock.
        let mut current = self
            .registry
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Arc::clone(registry);
        self.generation
            .store(registry.generation(), Ordering::Release);
    }
}
