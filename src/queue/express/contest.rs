//! Batches that name jobs which nobody holds, on their way from the claims that find them to the rescuer, who
//! finds out whether a process died of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::{BatchId, Contested};

type Wake = Arc<dyn Fn() + Send + Sync>;

/// What nobody has judged yet.
#[derive(Default)]
pub(crate) struct Contest {
    found: Mutex<HashMap<BatchId, (Contested, Arc<str>)>>,
    wake: Mutex<Option<Wake>>,
}

impl Contest {
    /// A claim of this queue has found these.
    pub(super) fn note(&self, found: &[Contested], queue: &Arc<str>) {
        let found = found
            .iter()
            .map(|one| (one.batch, (*one, Arc::clone(queue))));
        lock(&self.found).extend(found);
        let wake = lock(&self.wake).clone();
        if let Some(wake) = wake {
            wake();
        }
    }

    /// Somebody comes to judge: `wake` reaches it from now on.
    pub(crate) fn attend(&self, wake: impl Fn() + Send + Sync + 'static) {
        *lock(&self.wake) = Some(Arc::new(wake));
    }

    /// All that were found by now, with their queues.
    pub(crate) fn take(&self) -> Vec<(Contested, Arc<str>)> {
        let found = std::mem::take(&mut *lock(&self.found));
        found.into_values().collect()
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds the lock.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Contest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Contest")
    }
}
