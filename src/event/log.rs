//! Events as lines of the log of whoever listens to `tracing`: names and numbers, no arguments.
//!
//! Errors are for what somebody must look into, warnings for what the board copes with and should not
//! happen often, information for what happens once in a board's life, debug for its daily work.

use tracing::{debug, error, info, warn};

use super::{Attempted, Event};
use crate::job::{BreakerState, BuryReason, Transition};
use crate::store::Fate;

impl Event {
    pub(super) fn log(&self) {
        match self {
            // What actors do, supervision has told the log itself; and numbers are for gauges.
            Self::Supervised(_) | Self::Sampled(_) => {}
            Self::Attempted(attempted) => attempted.log(),
            Self::Started(started) => {
                let (job, attempt) = (started.job, started.attempt);
                debug!(%job, %attempt, kind = started.kind, queue = &*started.queue, "started");
            }
            Self::Rescued { job, queue, fate } => match fate {
                Fate::Rescued => warn!(%job, queue, "taken back from a node that is gone"),
                // Told as the end of its last attempt.
                Fate::Quarantined => debug!(%job, queue, "quarantined"),
                Fate::Cancelled => info!(%job, queue, "cancelled; its node is gone"),
            },
            Self::WrittenPlainly { job, reason } => {
                error!(%job, reason, "an answer could not be written as it was");
            }
            Self::NodeCondemned { node } => {
                warn!(%node, "this node is gone: its jobs are taken back")
            }
            Self::LeaseLapsed { node } => {
                warn!(%node, "the lease had lapsed; looking for what was lost");
            }
            Self::Degraded { part, reason } => {
                warn!(part, reason, "degraded; tries again by itself");
            }
            Self::BreakerOpened { breaker, reason } => {
                debug!(
                    breaker = &**breaker,
                    reason = reason.as_str(),
                    "opened by this process"
                );
            }
            Self::BreakerChanged(info) => {
                let (breaker, state) = (&*info.name, info.state.as_str());
                match info.state {
                    BreakerState::Open | BreakerState::HeldOpen => warn!(breaker, state, "{info}"),
                    _ => info!(breaker, state, "{info}"),
                }
            }
            Self::Recovered { part, after } => info!(part, ?after, "works again"),
            _ => self.log_work(),
        }
    }

    /// The daily work.
    fn log_work(&self) {
        match self {
            Self::Enqueued {
                queue, kind, jobs, ..
            } => debug!(jobs, queue = &**queue, kind = &**kind, "enqueued"),
            Self::Cancelled { job, found } => debug!(%job, ?found, "asked to cancel"),
            Self::Requeued { queue, jobs } => debug!(jobs, queue, "requeued"),
            Self::Promoted { queue, jobs } => debug!(jobs, queue, "due: promoted"),
            Self::Claimed {
                queue,
                jobs,
                wanted,
                took,
            } => debug!(jobs, wanted, queue = &**queue, ?took, "claimed"),
            Self::Written {
                answers,
                refused: 0,
                took,
            } => debug!(answers, ?took, "written"),
            Self::Written {
                answers, refused, ..
            } => warn!(
                refused,
                answers, "answers of stale attempts were refused and changed nothing"
            ),
            _ => self.log_life(),
        }
    }

    /// The life of the board and of its queues.
    fn log_life(&self) {
        match self {
            Self::Up { node, name, queues } => info!(%node, name, queues, "the board is up"),
            Self::Closing { in_hand, grace } => {
                info!(in_hand, ?grace, "closing: nothing is claimed any more");
            }
            Self::GraceOver { in_hand } => {
                warn!(in_hand, "the grace is over: handlers are told to stop");
            }
            Self::CutOff { in_hand } => {
                warn!(in_hand, "handlers that did not stop are cut off");
            }
            Self::Unwritten { answers } => error!(
                answers,
                "the board stops with answers unwritten; their jobs will run again"
            ),
            Self::FollowersBehind { held_up } => {
                warn!(held_up, "followers of attempts do not keep up");
            }
            Self::QueueAdded { queue } => info!(queue, "a queue was added"),
            Self::QueueRemoved { queue } => info!(queue, "a queue was removed"),
            Self::QueueSteered { queue, steering } => {
                info!(queue = &**queue, steering, "a queue is served otherwise");
            }
            Self::HandlersSwapped(swapped) => {
                let generation = swapped.generation;
                info!(generation, %swapped, "handlers were swapped");
            }
            Self::Pruned { pruned } => info!(pruned, "pruned old history"),
            _ => {}
        }
    }
}

impl Attempted {
    fn log(&self) {
        let (job, attempt) = (self.job, self.attempt);
        let (kind, queue) = (self.kind.as_str(), &*self.queue);
        match &self.transition {
            Transition::Bury {
                reason: BuryReason::Quarantined,
                ..
            } => {
                error!(%job, %attempt, kind, queue, "quarantined: process after process died under it");
            }
            Transition::Bury { reason, .. } if self.is_accepted => {
                warn!(%job, %attempt, kind, queue, reason = reason.as_str(), "given up: it is a dead letter");
            }
            transition => {
                let (verb, is_accepted) = (transition.verb(), self.is_accepted);
                debug!(%job, %attempt, kind, queue, verb, is_accepted, ran = ?self.ran, "attempted");
            }
        }
    }
}
