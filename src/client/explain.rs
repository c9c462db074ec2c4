//! Why a job does not run: [`Explanation`].
//!
//! The store reads all facts in one snapshot; what they mean is decided here, purely. A new thing that
//! can keep a job waiting is a fact more in `Standing`, a [`Reason`], and a line in `reasons`.

use std::fmt;

use chrono::{DateTime, Utc};

use super::{Client, Reason};
use crate::Error;
use crate::job::{BreakerState, JobId};
use crate::store::{Ended, Place, ServingNodes, Standing};

/// Why a job does not run, or that it does, or did.
///
/// Shown, it is one line: `job 7 ("mail.send"): the queue "mail" is paused since …`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The job.
    pub id: JobId,
    /// Its kind; `None` if there is no such job.
    pub kind: Option<String>,
    /// Everything that keeps it, at least one; what must come first stands first. If they are all gone, it
    /// runs.
    pub reasons: Vec<Reason>,
}

impl Client {
    /// Why a job does not run: three questions to the database, for a person in trouble. It may count up to ten
    /// thousand jobs, so it is not for a hot path.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(client: callboard::Client, id: callboard::JobId) -> Result<(), callboard::Error> {
    /// println!("{}", client.explain(id).await?);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn explain(&self, id: JobId) -> Result<Explanation, Error> {
        let standing = self.store().explain(id).await?;
        Ok(Explanation {
            id,
            reasons: standing
                .as_ref()
                .map_or_else(|| vec![Reason::NoSuchJob], reasons),
            kind: standing.map(|standing| standing.kind),
        })
    }
}

/// What keeps a job that stands so.
fn reasons(standing: &Standing) -> Vec<Reason> {
    match &standing.place {
        Place::Ended(ended, at) => vec![ended_so(*ended, *at, standing)],
        Place::Executing {
            node,
            node_name,
            is_node_live,
            since,
            is_cancelling,
        } => vec![Reason::Executing {
            node: *node,
            node_name: node_name.clone(),
            is_node_live: *is_node_live,
            attempt: standing.attempt,
            since: *since,
            is_cancelling: *is_cancelling,
        }],
        Place::Waiting {
            is_retry,
            until,
            is_due,
        } => {
            let waits = match (is_due, is_retry) {
                (true, _) => Reason::Due { since: *until },
                (false, true) => Reason::Retrying {
                    until: *until,
                    failures: standing.failures,
                    error: standing.error.clone(),
                },
                (false, false) => Reason::NotDue { until: *until },
            };
            let mut reasons = vec![waits];
            reasons.extend(kept(standing));
            reasons
        }
        Place::Available => {
            let reasons = kept(standing);
            if !reasons.is_empty() {
                return reasons;
            }
            let suspect = (standing.deaths > 0).then_some(Reason::Suspect {
                deaths: standing.deaths,
            });
            let in_line = Reason::InLine {
                queue: standing.queue.clone(),
                ahead: standing.ahead,
            };
            suspect.into_iter().chain([in_line]).collect()
        }
    }
}

fn ended_so(ended: Ended, at: DateTime<Utc>, standing: &Standing) -> Reason {
    match ended {
        Ended::Completed => Reason::Completed { at },
        Ended::Cancelled => Reason::Cancelled { at },
        Ended::Dead(why) => Reason::Dead {
            why,
            at,
            error: standing.error.clone(),
        },
    }
}

/// What keeps a job that is, or will be, available.
fn kept(standing: &Standing) -> Vec<Reason> {
    let queue = || standing.queue.clone();
    let halted = standing.standstill.clone();
    let halted = halted.map(|standstill| Reason::QueueHalted {
        queue: queue(),
        standstill,
    });
    let unserved = unserved(standing);
    let before = standing.before.clone();
    let behind = before.map(|(ordering_key, job, state)| Reason::Behind {
        ordering_key,
        job,
        state,
    });
    let breaker = standing.breaker.clone();
    let is_open = |state| {
        use BreakerState::{HalfOpen, HeldOpen, Open};
        matches!(state, Open | HalfOpen | HeldOpen)
    };
    let breaker = breaker.filter(|breaker| is_open(breaker.state));
    let breaker = breaker.map(|breaker| Reason::BreakerOpen { breaker });
    let limit = standing.limit.clone().map(|limit| Reason::LimitReached {
        queue: standing.queue.clone(),
        limit,
    });
    let reasons = [halted, unserved, breaker, limit, behind];
    reasons.into_iter().flatten().collect()
}

/// Whether there is a node that could run it.
fn unserved(standing: &Standing) -> Option<Reason> {
    let (queue, kind, nodes) = (
        standing.queue.clone(),
        standing.kind.clone(),
        standing.nodes,
    );
    let reason = match nodes {
        ServingNodes { all: 0, .. } => Reason::QueueNotServed { queue },
        ServingNodes { knowing: 0, .. } => Reason::KindNotServed {
            queue,
            kind,
            nodes: nodes.all,
        },
        ServingNodes { able: 0, .. } => Reason::VersionNotServed {
            queue,
            kind,
            version: standing.versions.0,
            newest: standing.versions.1,
            nodes: nodes.knowing,
        },
        ServingNodes { running: 0, .. } => Reason::NodesHalted {
            queue,
            nodes: nodes.able,
        },
        _ => return None,
    };
    Some(reason)
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job {}", self.id)?;
        if let Some(kind) = &self.kind {
            write!(f, " ({kind:?})")?;
        }
        for (index, reason) in self.reasons.iter().enumerate() {
            let before = if index == 0 { ": " } else { "; and " };
            write!(f, "{before}{reason}")?;
        }
        Ok(())
    }
}
