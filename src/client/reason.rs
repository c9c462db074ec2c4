//! What keeps a job from running, and how people are told.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::job::{Attempt, BuryReason, JobId, JobState, NodeId, shown_instant};
use crate::store::{BreakerInfo, ReachedLimit, Standstill};

/// One thing that keeps a job from running.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// There never was such a job, or it ended so long ago that its history was pruned.
    NoSuchJob,
    /// It has completed.
    Completed {
        /// When, by the database's clock.
        at: DateTime<Utc>,
    },
    /// It was cancelled.
    Cancelled {
        /// When, by the database's clock.
        at: DateTime<Utc>,
    },
    /// It was given up, and waits among the dead letters for somebody to requeue it.
    Dead {
        /// Why.
        why: BuryReason,
        /// When, by the database's clock.
        at: DateTime<Utc>,
        /// Its last error.
        error: Option<String>,
    },
    /// It executes.
    Executing {
        /// On which node.
        node: NodeId,
        /// That node's host and process id; `None` if it is on no list any more.
        node_name: Option<String>,
        /// Whether that node lives. If not, the job is taken back soon.
        is_node_live: bool,
        /// Which attempt it is.
        attempt: Attempt,
        /// Since when it was claimed, by the database's clock.
        since: DateTime<Utc>,
        /// Whether somebody has asked for its cancellation.
        is_cancelling: bool,
    },
    /// It waits for its time.
    NotDue {
        /// When it comes, by the database's clock.
        until: DateTime<Utc>,
    },
    /// It has failed, and waits before it is tried again.
    Retrying {
        /// When it is, by the database's clock.
        until: DateTime<Utc>,
        /// How many attempts have failed.
        failures: u32,
        /// The last error.
        error: Option<String>,
    },
    /// Its time has come, and the scheduler of some live node is to find that out within a second.
    Due {
        /// Since when, by the database's clock.
        since: DateTime<Utc>,
    },
    /// Its queue is paused or stopped for all nodes.
    QueueHalted {
        /// The queue.
        queue: String,
        /// Which of both, since when, why, by whom.
        standstill: Standstill,
    },
    /// No live node serves its queue.
    QueueNotServed {
        /// The queue.
        queue: String,
    },
    /// No live node that serves its queue has a handler for its kind.
    KindNotServed {
        /// The queue.
        queue: String,
        /// The kind.
        kind: String,
        /// How many live nodes serve the queue.
        nodes: u32,
    },
    /// No live node that serves its queue reads arguments of its version: builds that do are newer.
    VersionNotServed {
        /// The queue.
        queue: String,
        /// The kind.
        kind: String,
        /// The version of its arguments.
        version: i32,
        /// The newest version that any of these nodes reads.
        newest: Option<i32>,
        /// How many live nodes serve the queue and have a handler for the kind.
        nodes: u32,
    },
    /// Every live node that could run it was told for itself to pause or stop its queue.
    NodesHalted {
        /// The queue.
        queue: String,
        /// How many nodes these are.
        nodes: u32,
    },
    /// The breaker of its kind is open, or half open and lets others through.
    BreakerOpen {
        /// That breaker.
        breaker: BreakerInfo,
    },
    /// A limit of its queue is used up.
    LimitReached {
        /// The queue.
        queue: String,
        /// Which limit, of which key.
        limit: ReachedLimit,
    },
    /// An earlier job with its ordering key has not ended.
    Behind {
        /// The key.
        ordering_key: String,
        /// That job.
        job: JobId,
        /// How that job stands.
        state: JobState,
    },
    /// Processes died while they ran it, so it waits until a node runs no other job of which that is
    /// true.
    Suspect {
        /// How many processes.
        deaths: u32,
    },
    /// Nothing keeps it but the jobs before it, and that no worker is free.
    InLine {
        /// The queue.
        queue: String,
        /// How many available jobs of the queue come before it; counted up to 10,000.
        ahead: u32,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchJob => f.write_str(
                "there never was such a job, or it ended so long ago that its history was pruned",
            ),
            Self::Completed { at } => write!(f, "it completed at {}", shown_instant(at)),
            Self::Cancelled { at } => write!(f, "it was cancelled at {}", shown_instant(at)),
            Self::Dead { why, at, error } => {
                write!(
                    f,
                    "it was given up at {} ({})",
                    shown_instant(at),
                    why.as_str()
                )?;
                last_error(f, error.as_deref())?;
                f.write_str(match why {
                    BuryReason::Undecodable => {
                        "; requeue it once its node has an upcaster or a build that reads it"
                    }
                    _ => "; requeue it to run it again",
                })
            }
            Self::Executing { .. } => self.executing(f),
            Self::NotDue { until } => write!(f, "it is not due until {}", shown_instant(until)),
            Self::Retrying {
                until,
                failures,
                error,
            } => {
                let times = if *failures == 1 { "time" } else { "times" };
                write!(f, "it has failed {failures} {times}")?;
                last_error(f, error.as_deref())?;
                write!(f, "; it is tried again at {}", shown_instant(until))
            }
            Self::Due { since } => write!(
                f,
                "it is due since {}, and becomes available within a second if any node is up",
                shown_instant(since)
            ),
            Self::QueueHalted { queue, standstill } => {
                write!(f, "the queue {queue:?} is {standstill}")
            }
            Self::QueueNotServed { queue } => {
                write!(f, "no live node serves the queue {queue:?}")
            }
            Self::KindNotServed { queue, kind, nodes } => write!(
                f,
                "none of the {nodes} live nodes that serve the queue {queue:?} has a handler for {kind:?}"
            ),
            Self::VersionNotServed { .. } => self.version_not_served(f),
            Self::NodesHalted { queue, nodes } => write!(
                f,
                "the queue {queue:?} is paused or stopped on each of the {nodes} live nodes that could run it"
            ),
            Self::BreakerOpen { breaker } => write!(f, "the {breaker}"),
            Self::LimitReached { queue, limit } => {
                write!(f, "the queue {queue:?} has reached a limit: {limit}")
            }
            Self::Behind {
                ordering_key,
                job,
                state,
            } => write!(
                f,
                "job {job}, which is {state}, comes before it: they have the ordering key {ordering_key:?}"
            ),
            Self::Suspect { deaths } => write!(
                f,
                "{deaths} processes died while they ran it, so it waits until it can run alone among its like"
            ),
            Self::InLine { queue, ahead: 0 } => write!(
                f,
                "it is the next of the queue {queue:?}, and runs as soon as a worker is free"
            ),
            Self::InLine { queue, ahead } => {
                let jobs = if *ahead == 1 { "job is" } else { "jobs are" };
                write!(f, "{ahead} {jobs} before it in the queue {queue:?}")
            }
        }
    }
}

impl Reason {
    fn version_not_served(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::VersionNotServed {
            queue,
            kind,
            version,
            newest,
            nodes,
        } = self
        else {
            return Ok(());
        };
        write!(
            f,
            "its arguments are of version {version}, and none of the {nodes} live nodes that serve the queue \
             {queue:?} and have a handler for {kind:?} reads them"
        )?;
        if let Some(newest) = newest {
            write!(f, " (the newest that one reads is {newest})")?;
        }
        f.write_str("; it waits for a newer build")
    }

    fn executing(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Executing {
            node,
            node_name,
            is_node_live,
            attempt,
            since,
            is_cancelling,
        } = self
        else {
            return Ok(());
        };
        let name = node_name.as_deref().unwrap_or("on no list any more");
        let since = shown_instant(since);
        write!(
            f,
            "it executes on the node {node} ({name}) since {since}, attempt {attempt}"
        )?;
        if !is_node_live {
            f.write_str("; that node is dead, and any live one takes the job back soon")?;
        }
        if *is_cancelling {
            f.write_str("; its handler was told to stop")?;
        }
        Ok(())
    }
}

fn last_error(f: &mut fmt::Formatter<'_>, error: Option<&str>) -> fmt::Result {
    match error {
        Some(error) => write!(f, ", at last with: {error}"),
        None => Ok(()),
    }
}
