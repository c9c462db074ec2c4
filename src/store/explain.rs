//! `explain`: everything that says why a job does not run, read at once.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz};

use super::queues::COUNT_CAP;
use super::settings::Standstill;
use super::statement::{Bind, typed};
use super::{BreakerInfo, ReachedLimit, Store};
use crate::Error;
use crate::job::{Attempt, BuryReason, JobId, JobState, NodeId};

/// How a job stands, with all that it depends on.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) queue: String,
    pub(crate) kind: String,
    pub(crate) attempt: Attempt,
    pub(crate) failures: u32,
    pub(crate) deaths: u32,
    /// The message of its last error.
    pub(crate) error: Option<String>,
    pub(crate) place: Place,
    /// The job that its ordering key waits for, and that one's state.
    pub(crate) before: Option<(String, JobId, JobState)>,
    /// Whether its queue was paused or stopped for all nodes.
    pub(crate) standstill: Option<Standstill>,
    /// The version of its arguments, and the newest that any live node reads which serves its queue.
    pub(crate) versions: (i32, Option<i32>),
    pub(crate) nodes: ServingNodes,
    /// How many available jobs of its queue come before it; counted up to 10,000.
    pub(crate) ahead: u32,
    /// The breaker of its kind.
    pub(crate) breaker: Option<BreakerInfo>,
    /// The limit of its queue that is used up.
    pub(crate) limit: Option<ReachedLimit>,
}

/// How many live nodes serve the queue of a job. Each count is of those before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServingNodes {
    pub(crate) all: u32,
    /// They have a handler for its kind.
    pub(crate) knowing: u32,
    /// They read its arguments.
    pub(crate) able: u32,
    /// They were not told for themselves to leave the queue alone.
    pub(crate) running: u32,
}

/// Where a job lies.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Available,
    Waiting {
        is_retry: bool,
        until: DateTime<Utc>,
        is_due: bool,
    },
    Executing {
        node: NodeId,
        node_name: Option<String>,
        is_node_live: bool,
        since: DateTime<Utc>,
        is_cancelling: bool,
    },
    Ended(Ended, DateTime<Utc>),
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Completed,
    Cancelled,
    Dead(BuryReason),
}

type ExplainSql = (
    (Text, Text, Text, Text, Integer),
    (
        Integer,
        Integer,
        Nullable<Timestamptz>,
        Nullable<Bool>,
        Nullable<Timestamptz>,
    ),
    (Nullable<BigInt>, Nullable<Text>, Bool, Bool, Nullable<Text>),
    (Nullable<Text>, Nullable<BigInt>, Nullable<Text>),
    (
        Nullable<Text>,
        Nullable<Timestamptz>,
        Nullable<Text>,
        Nullable<Text>,
    ),
    (Integer, Nullable<Integer>),
    (BigInt, BigInt, BigInt, BigInt, BigInt),
);
type ExplainTuple = (
    (String, String, String, String, i32),
    (
        i32,
        i32,
        Option<DateTime<Utc>>,
        Option<bool>,
        Option<DateTime<Utc>>,
    ),
    (Option<i64>, Option<String>, bool, bool, Option<String>),
    (Option<String>, Option<i64>, Option<String>),
    (
        Option<String>,
        Option<DateTime<Utc>>,
        Option<String>,
        Option<String>,
    ),
    (i32, Option<i32>),
    (i64, i64, i64, i64, i64),
);

impl Store {
    /// How a job stands; `None` if there is no such job.
    pub(crate) async fn explain(&self, id: JobId) -> Result<Option<Standing>, Error> {
        let mut session = self.clients().await?;
        let job = id;
        let (id, cap) = (id.as_i64(), i64::from(COUNT_CAP));
        let binds: [&dyn Bind; 2] = [&typed::<BigInt, _>(&id), &typed::<BigInt, _>(&cap)];
        let rows = session
            .fetch::<ExplainSql, ExplainTuple>("explain a job", &self.sql().explain, &binds)
            .await?;
        let Some(row) = rows.into_iter().next() else {
            return Ok(None);
        };
        let mut standing = standing(row)?;
        standing.limit = self.reached_limit(&mut session, job).await?;
        let breakers = self.read_breakers(session, Some(&standing.kind)).await?;
        standing.breaker = breakers.into_iter().next().map(|breaker| breaker.info);
        Ok(Some(standing))
    }
}

fn standing(
    (identity, counts, at_work, key, setting, versions, numbers): ExplainTuple,
) -> Result<Standing, Error> {
    let (place, queue, kind, state, attempt) = identity;
    let (failures, deaths, until, is_due, at) = counts;
    let (node, node_name, is_node_live, is_cancelling, error) = at_work;
    let (ordering_key, before, before_state) = key;
    let (mode, mode_since, reason, by) = setting;
    let count = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
    let odd = |what: &str| Error::database(format!("a job {what}, which this build cannot read"));
    let known = |word: &str| {
        JobState::from_word(word).ok_or_else(|| odd(&format!("has the state {word:?}")))
    };
    let place = match (&*place, &*state) {
        ("dead", word) => {
            let reason = BuryReason::from_word(word);
            let reason = reason.ok_or_else(|| odd(&format!("was buried as {word:?}")))?;
            Place::Ended(Ended::Dead(reason), at.unwrap_or_default())
        }
        ("history", word) => {
            let ended = match known(word)? {
                JobState::Cancelled => Ended::Cancelled,
                _ => Ended::Completed,
            };
            Place::Ended(ended, at.unwrap_or_default())
        }
        (_, word) => match (known(word)?, until, node) {
            (JobState::Executing, _, Some(node)) => Place::Executing {
                node: NodeId::from_i64(node),
                node_name,
                is_node_live,
                since: at.unwrap_or_default(),
                is_cancelling,
            },
            (state @ (JobState::Scheduled | JobState::Retryable), Some(until), _) => {
                Place::Waiting {
                    is_retry: state == JobState::Retryable,
                    until,
                    is_due: is_due.unwrap_or_default(),
                }
            }
            _ => Place::Available,
        },
    };
    let before = match (ordering_key, before, before_state) {
        (Some(key), Some(id), Some(state)) => Some((key, JobId::from_i64(id), known(&state)?)),
        _ => None,
    };
    Ok(Standing {
        queue,
        kind,
        attempt: Attempt::from_i32(attempt),
        failures: failures.unsigned_abs(),
        deaths: deaths.unsigned_abs(),
        error,
        place,
        before,
        standstill: mode
            .zip(mode_since)
            .and_then(|(mode, since)| Standstill::from_row(&mode, since, reason, by)),
        versions,
        nodes: ServingNodes {
            all: count(numbers.0),
            knowing: count(numbers.1),
            able: count(numbers.2),
            running: count(numbers.3),
        },
        ahead: count(numbers.4),
        breaker: None,
        limit: None,
    })
}
