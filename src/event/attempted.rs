//! The beginning and the end of an attempt on this node: [`Started`], [`Attempted`].

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::job::{Attempt, JobId, Transition};

/// A handler began.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Started {
    /// The job.
    pub job: JobId,
    /// Which of its attempts.
    pub attempt: Attempt,
    /// The job's kind.
    pub kind: String,
    /// The queue it was claimed from.
    pub queue: Arc<str>,
    /// The worker that runs it.
    pub worker: Arc<str>,
    /// How long it waited since it could have run: since its enqueue, or since it was due, released or
    /// taken back. By the database's clock, and by this process's from the claim on.
    pub waited: Duration,
}

/// What became of one attempt on this node; or on one that died, if this node buried its job.
#[derive(Debug, Clone, PartialEq)]
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
