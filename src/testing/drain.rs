//! Running what is due to its end, and moving time: [`TestBoard::drain`], [`TestBoard::advance`].

use std::time::Duration;

use super::TestBoard;
use super::board::Mode;
use crate::job::Transition;
use crate::queue::Attempted;
use crate::store::Notice;
use crate::supervision::SupervisorRef;

/// What became of the attempts that a [drain](TestBoard::drain) ran.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Drained {
    /// Jobs that completed.
    pub completed: u32,
    /// Attempts that failed; their jobs wait for another one.
    pub retried: u32,
    /// Attempts that snoozed.
    pub snoozed: u32,
    /// Jobs that were cancelled by their handlers or while they ran.
    pub cancelled: u32,
    /// Jobs that were given up.
    pub buried: u32,
    /// Attempts whose handlers never began or were interrupted.
    pub released: u32,
    /// Attempts that had lost their lease; their answers changed nothing.
    pub refused: u32,
    /// All of them, in the order in which they were written.
    pub attempts: Vec<Attempted>,
}

impl Drained {
    fn of(attempts: Vec<Attempted>) -> Self {
        let mut drained = Self::default();
        for attempt in &attempts {
            let count = match attempt.transition {
                _ if !attempt.is_accepted => &mut drained.refused,
                Transition::Complete { .. } => &mut drained.completed,
                Transition::Retry { .. } => &mut drained.retried,
                Transition::Snooze { .. } => &mut drained.snoozed,
                Transition::Cancel { .. } => &mut drained.cancelled,
                Transition::Bury { .. } => &mut drained.buried,
                Transition::Release { .. } => &mut drained.released,
            };
            *count += 1;
        }
        drained.attempts = attempts;
        drained
    }
}

impl TestBoard {
    /// Runs everything in a queue that is due, including what those jobs enqueue there, and tells
    /// what became of it. What waits for its time is left alone; see [`advance`](Self::advance).
    ///
    /// On a [paused](Self::paused) board the queue runs for so long and no longer. On a running one
    /// this waits until the queue has nothing left, and tells of what was written meanwhile.
    ///
    /// # Panics
    ///
    /// When the board has no such queue, or does not come to an end of it in time.
    pub async fn drain(&self, queue: &str) -> Drained {
        let Some(is_running) = self.is_running(queue) else {
            let queues = self.queues();
            panic!("cannot drain {queue:?}: this board has the queues {queues:?}");
        };
        let before = self.ended.read(<[_]>::len);
        if !is_running {
            let resumed = self.queue_supervisor().restart_child(queue).await;
            resumed.unwrap_or_else(|error| panic!("cannot drain {queue:?}: {error}"));
        }
        self.idle_in(Some(queue)).await;
        if self.mode == Mode::Paused {
            self.pause(queue).await;
        }
        Drained::of(self.ended.read(|attempts| {
            let of_queue = attempts[before..].iter().filter(|a| *a.queue == *queue);
            of_queue.cloned().collect()
        }))
    }

    pub(super) async fn pause(&self, queue: &str) {
        let paused = self.queue_supervisor().terminate_child(queue).await;
        paused.unwrap_or_else(|error| panic!("cannot pause {queue:?}: {error}"));
    }

    fn queue_supervisor(&self) -> SupervisorRef {
        self.supervisor()
            .child("queues")
            .expect("a board has a supervisor for its queues")
    }

    /// Moves time: every job that waits, scheduled or to be retried, is due that much earlier. The
    /// clocks themselves stay as they are, so times in rows and handlers do not change.
    ///
    /// # Panics
    ///
    /// When the database cannot be reached.
    pub async fn advance(&self, by: Duration) {
        let moved = self.rows.store().advance(by).await;
        moved.unwrap_or_else(|error| panic!("cannot advance the time by {by:?}: {error}"));
        self.client().tell(Notice::Scheduled);
    }

    /// Moves time to the next due job and tells by how much; `None` if no job waits.
    ///
    /// # Panics
    ///
    /// As [`advance`](Self::advance).
    pub async fn advance_to_next(&self) -> Option<Duration> {
        let next = self.rows.store().next_due().await;
        let next = next.unwrap_or_else(|error| panic!("cannot find the next due job: {error}"))?;
        // By whole milliseconds, and not one too few.
        let by = Duration::from_millis(next.as_millis() as u64 + 1);
        self.advance(by).await;
        Some(by)
    }
}
