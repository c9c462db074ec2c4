//! The heartbeat of the board's runtime: a task that beats there, and a watch on another thread.
//!
//! Handlers that block cost no lease, since liveness has a thread of its own; but when they block every
//! thread of the runtime, nothing goes on: no claim, no settlement, no time limit. Then somebody must say
//! why. The watch counts its own looks and not the time, so a process that was stopped and goes on is not
//! taken for a blocked one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::queue::Vitals;

const BEAT_EVERY: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// So many looks without a beat between them, and the runtime is blocked: two seconds.
const PATIENT_LOOKS: u32 = 4;

pub(super) const ROLE: &str = "runtime";

#[derive(Debug, Clone, Default)]
pub(super) struct Heartbeat(Arc<AtomicU64>);

impl Heartbeat {
    /// Beats, as often as the runtime lets it.
    pub(super) async fn beat(self) {
        loop {
            self.0.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(BEAT_EVERY).await;
        }
    }

    /// Watches from another thread, and says how it is.
    pub(super) async fn watch(&self, vitals: &Vitals) {
        let mut watch = Watch::default();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match watch.look(self.0.load(Ordering::Relaxed)) {
                None => vitals.working(ROLE),
                Some(looks) => {
                    let still_for = LOOK_EVERY * looks;
                    let reason = format!(
                        "no task of the board has run for {still_for:?}: handlers block every thread of its \
                         runtime; move blocking work to spawn_blocking, or add threads"
                    );
                    vitals.degraded(ROLE, &reason);
                }
            }
        }
    }
}

/// Finds out whether the beats have stopped.
#[derive(Debug, Default)]
struct Watch {
    seen: u64,
    still: u32,
}

impl Watch {
    /// Since how many looks nothing beats, if that is too long.
    fn look(&mut self, beats: u64) -> Option<u32> {
        if beats == self.seen {
            self.still = self.still.saturating_add(1);
        } else {
            *self = Self {
                seen: beats,
                still: 0,
            };
        }
        (self.still >= PATIENT_LOOKS).then_some(self.still)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_that_stay_away_are_noticed_and_so_is_their_return() {
        let mut watch = Watch::default();
        let looks = [3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 5, 9];
        let found = looks.map(|beats| watch.look(beats));
        let mut expected = [None; 12];
        (expected[8], expected[9]) = (Some(4), Some(5));
        assert_eq!(found, expected);
    }
}
