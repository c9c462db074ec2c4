//! What a proxy was told to do, and what it has done: shared between whoever tells it, its thread and
//! its connections.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How things are to be from now on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Orders {
    pub(super) is_refusing: bool,
    pub(super) is_frozen: bool,
    /// How often it froze: a connection that has seen one is silent for ever.
    pub(super) freezes: u32,
    /// How often all connections were cut.
    pub(super) cuts: u32,
    pub(super) delay: Duration,
}

/// Answers that are to be lost.
#[derive(Debug)]
struct Loss {
    left: u32,
    /// In lower case. `None`: whatever the statement.
    text: Option<Vec<u8>>,
}

#[derive(Debug, Default)]
pub(super) struct Losses(Mutex<Vec<Loss>>);

impl Losses {
    pub(super) fn add(&self, count: u32, text: Option<&str>) {
        let text = text.map(|text| text.to_ascii_lowercase().into_bytes());
        self.lock().push(Loss { left: count, text });
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// Whether the answer to this statement is to be lost; takes one off the count if so.
    pub(super) fn take(&self, statement: &[u8]) -> bool {
        let mut losses = self.lock();
        let wanted = losses.iter_mut().find(|loss| {
            loss.text
                .as_deref()
                .is_none_or(|text| contains(statement, text))
        });
        let Some(loss) = wanted else {
            return false;
        };
        loss.left -= 1;
        losses.retain(|loss| loss.left > 0);
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Loss>> {
        self.0
            .lock()
            .expect("nobody panics with the losses in hand")
    }
}

fn contains(statement: &[u8], text: &[u8]) -> bool {
    let mut places = statement.windows(text.len());
    text.is_empty() || places.any(|place| place.eq_ignore_ascii_case(text))
}

/// What has happened so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) open: AtomicU32,
    pub(super) cut: AtomicU32,
    pub(super) refused: AtomicU32,
    pub(super) lost_answers: AtomicU32,
}

pub(super) fn count(counter: &AtomicU32) {
    counter.fetch_add(1, Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_answers_are_lost_as_was_asked_for() {
        let losses = Losses::default();
        losses.add(2, Some("Commit"));
        assert!(!losses.take(b"begin"));
        assert!(losses.take(b"COMMIT") && losses.take(b"; commit"));
        assert!(!losses.take(b"commit"));
        losses.add(1, None);
        assert!(losses.take(b""));
        assert!(!losses.take(b""));
    }
}
