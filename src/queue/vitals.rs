//! How the parts of a board are: working, or degraded and why.
//!
//! Each entry is written by its owner alone and read by people, so it is shared state and not a
//! message: an actor that is in trouble must not be asked.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::client::Condition;
use crate::event::{Bulletin, Event};

/// The conditions of all parts, by role.
#[derive(Debug, Clone)]
pub(crate) struct Vitals {
    parts: Arc<Mutex<BTreeMap<String, Condition>>>,
    bulletin: Bulletin,
}

impl Vitals {
    pub(crate) fn new(bulletin: Bulletin) -> Self {
        Self {
            parts: Arc::default(),
            bulletin,
        }
    }

    /// Says that a part works.
    pub(crate) fn working(&self, role: &str) {
        let earlier = self.lock().insert(role.to_owned(), Condition::Working);
        if let Some(Condition::Degraded { since, .. }) = earlier {
            self.bulletin.say(Event::Recovered {
                part: role.to_owned(),
                after: since.elapsed(),
            });
        }
    }

    /// Says that a part cannot do its work at present.
    pub(crate) fn degraded(&self, role: &str, reason: &(impl fmt::Display + ?Sized)) {
        let reason = reason.to_string();
        let mut vitals = self.lock();
        let earlier = match vitals.get(role) {
            Some(Condition::Degraded { since, .. }) => Some(*since),
            _ => None,
        };
        let condition = Condition::Degraded {
            reason: reason.clone(),
            since: earlier.unwrap_or_else(Instant::now),
        };
        vitals.insert(role.to_owned(), condition);
        drop(vitals);
        if earlier.is_none() {
            self.bulletin.say(Event::Degraded {
                part: role.to_owned(),
                reason,
            });
        }
    }

    /// Forgets a part that is no more.
    pub(crate) fn forget(&self, role: &str) {
        self.lock().remove(role);
    }

    /// Every part that has said something.
    pub(crate) fn all(&self) -> BTreeMap<String, Condition> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Condition>> {
        // Nothing panics while it holds the lock, so a poisoned one guards a whole map.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
