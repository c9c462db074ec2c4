//! What became of attempts, as it is written: [`Attempted`], and the stream of them.
//!
//! The ledger publishes each answer after the database has confirmed it. Publishing never waits; a
//! follower that falls behind is told how many it missed. Nobody pays for what nobody follows.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::broadcast;

use super::Answer;
use crate::job::{Attempt, JobId, Transition};
use crate::supervision::Subscription;

/// How many attempts a follower may fall behind.
pub const ATTEMPTS_CAPACITY: usize = 4096;

/// What became of one attempt on this node.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Attempted {
    /// The job.
    pub job: JobId,
    /// Which of its attempts.
    pub attempt: Attempt,
    /// The job's kind.
    pub kind: String,
    /// The queue it was claimed from.
    pub queue: Arc<str>,
    /// The worker that ran it; `None` if its handler never began.
    pub worker: Option<Arc<str>>,
    /// How long its handler ran.
    pub ran: Option<Duration>,
    /// When it ended; the answer was written a little later.
    pub ended_at: SystemTime,
    /// What it was to change.
    pub transition: Transition,
    /// Whether it did: the answer of a stale attempt changes nothing.
    pub is_accepted: bool,
}

/// What is told of an attempt if somebody follows.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) kind: String,
    pub(crate) worker: Option<Arc<str>>,
    pub(crate) ran: Option<Duration>,
    pub(crate) ended_at: SystemTime,
}

/// The stream of attempts that ended on this node.
#[derive(Debug)]
pub(crate) struct Facts(broadcast::Sender<Attempted>);

impl Facts {
    pub(crate) fn follow(&self) -> Subscription<Attempted> {
        Subscription::to(&self.0)
    }

    /// Whether stories are worth their writing.
    pub(crate) fn is_followed(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// Tells what became of an attempt.
    pub(crate) fn publish(&self, answer: &Answer, is_accepted: bool) {
        let Some(story) = &answer.story else { return };
        let attempted = Attempted {
            job: answer.settlement.id,
            attempt: answer.settlement.attempt,
            kind: story.kind.clone(),
            queue: Arc::clone(&answer.queue),
            worker: story.worker.clone(),
            ran: story.ran,
            ended_at: story.ended_at,
            transition: answer.settlement.transition.clone(),
            is_accepted,
        };
        // An error says that the last follower has just left.
        let _left = self.0.send(attempted);
    }
}

impl Default for Facts {
    fn default() -> Self {
        Self(broadcast::Sender::new(ATTEMPTS_CAPACITY))
    }
}
