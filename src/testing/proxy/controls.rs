//! What a proxy was told to do, and what it has done: shared between whoever tells it, its thread and
//! its connections.

use std::collections::HashMap;
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
    // There are no windows of nothing.
    let mut places = statement.windows(text.len().max(1));
    text.is_empty() || places.any(|place| place.eq_ignore_ascii_case(text))
}

/// How often each statement was sent, by its text.
#[derive(Debug, Default)]
pub(super) struct Sent(Mutex<HashMap<Vec<u8>, u32>>);

impl Sent {
    pub(super) fn note(&self, statement: &[u8]) {
        let mut sent = self.lock();
        match sent.get_mut(statement) {
            Some(times) => *times += 1,
            None => drop(sent.insert(statement.to_vec(), 1)),
        }
    }

    pub(super) fn count(&self, text: &str) -> u32 {
        let sent = self.lock();
        let with_it = sent
            .iter()
            .filter(|(statement, _)| contains(statement, text.as_bytes()));
        with_it.map(|(_, times)| times).sum()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<u8>, u32>> {
        self.0.lock().expect("nobody panics with the texts in hand")
    }
}

/// What has happened so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) sent: Sent,
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
    fn statements_are_counted_by_what_they_contain() {
        let sent = Sent::default();
        for statement in ["table jobs", "commit", "COMMIT"] {
            sent.note(statement.as_bytes());
        }
        let counts = ["commit", "jobs", "begin", ""].map(|text| sent.count(text));
        assert_eq!(counts, [2, 1, 0, 3]);
    }

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
