//! Questions: where a job stands.

use chrono::{DateTime, Utc};
use diesel::sql_types::{
    BigInt, Binary, Bool, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz,
};
use serde_json::Value;

use super::statement::{Bind, typed};
use super::{Progress, Store};
use crate::Error;
use crate::job::{Attempt, BuryReason, Fingerprint, JobId, JobState, NodeId, Stored};

/// A job, wherever it lies.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct JobInfo {
    /// Its id.
    pub id: JobId,
    /// Its queue.
    pub queue: String,
    /// Its kind.
    pub kind: String,
    /// Where it stands.
    pub state: JobState,
    /// Its priority; not kept in the history.
    pub priority: Option<i16>,
    /// Its last attempt; 0 before the first.
    pub attempt: Attempt,
    /// How many attempts failed; not kept in the history.
    pub failures: Option<u32>,
    /// How many processes died while they ran it; not kept in the history.
    pub deaths: Option<u32>,
    /// When it was enqueued, by the database's clock.
    pub enqueued_at: DateTime<Utc>,
    /// When it may start, if it waits for its time.
    pub due_at: Option<DateTime<Utc>>,
    /// When its last attempt was claimed.
    pub attempted_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// What its handler kept.
    pub output: Option<Value>,
    /// Every attempt's error, the oldest first.
    pub errors: Vec<Value>,
    /// Why it was given up, if it is dead.
    pub reason: Option<BuryReason>,
    /// The node that runs it, or ran it last.
    pub node: Option<NodeId>,
    /// Its arguments, unread; not kept in the history.
    pub arguments: Option<Arguments>,
    /// Jobs of its queue with this key run one at a time; not kept in the history.
    pub ordering_key: Option<String>,
    /// Whose share of its queue's limits it takes; not kept in the history.
    pub limit_key: Option<String>,
    /// Whether it waits for an earlier job with its ordering key to end.
    pub is_behind: bool,
    /// How far it has come, if its handler says so; gone when it is completed or cancelled.
    pub progress: Option<Progress>,
    /// When its handler last kept a checkpoint; gone when it is completed or cancelled.
    pub checkpointed_at: Option<DateTime<Utc>>,
}

/// Which unfinished jobs; empty, all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct JobFilter {
    kind: Option<String>,
    queue: Option<String>,
    state: Option<JobState>,
}

impl JobFilter {
    /// Every unfinished job.
    pub fn all() -> Self {
        Self::default()
    }

    /// Only jobs of this kind.
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// Only jobs of this queue.
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Only jobs in this state: scheduled, available, executing or retryable.
    pub fn state(mut self, state: JobState) -> Self {
        self.state = Some(state);
        self
    }
}

/// Arguments as they lie in a row.
#[derive(Clone, PartialEq, Eq)]
pub struct Arguments {
    pub(super) version: i32,
    pub(super) fingerprint: Fingerprint,
    pub(super) payload: Vec<u8>,
}

impl Arguments {
    pub(crate) fn stored(&self) -> Stored<'_> {
        Stored {
            version: self.version,
            fingerprint: self.fingerprint,
            bytes: &self.payload,
        }
    }
}

impl std::fmt::Debug for Arguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.stored().fmt(f)
    }
}

type JobSql = (
    (BigInt, Text, Text, Text, Nullable<SmallInt>, Integer),
    (Nullable<Integer>, Nullable<Integer>, Timestamptz),
    (
        Nullable<Timestamptz>,
        Nullable<Timestamptz>,
        Nullable<Timestamptz>,
    ),
    (
        Nullable<Jsonb>,
        Nullable<Jsonb>,
        Nullable<Text>,
        Nullable<BigInt>,
    ),
    (Nullable<Integer>, Nullable<BigInt>, Nullable<Binary>),
    (Nullable<Text>, Nullable<Text>, Bool),
    (
        Nullable<BigInt>,
        Nullable<BigInt>,
        Nullable<Text>,
        Nullable<Integer>,
        Nullable<Timestamptz>,
        Nullable<Timestamptz>,
    ),
);
type JobTuple = (
    (i64, String, String, String, Option<i16>, i32),
    (Option<i32>, Option<i32>, DateTime<Utc>),
    (
        Option<DateTime<Utc>>,
        Option<DateTime<Utc>>,
        Option<DateTime<Utc>>,
    ),
    (Option<Value>, Option<Value>, Option<String>, Option<i64>),
    (Option<i32>, Option<i64>, Option<Vec<u8>>),
    (Option<String>, Option<String>, bool),
    ProgressTuple,
);
type ProgressTuple = (
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<i32>,
    Option<DateTime<Utc>>,
    Option<DateTime<Utc>>,
);
impl Store {
    /// Where a job stands.
    pub(crate) async fn job(&self, id: JobId) -> Result<Option<JobInfo>, Error> {
        let mut session = self.clients().await?;
        let id = id.as_i64();
        let binds: [&dyn Bind; 1] = [&typed::<BigInt, _>(&id)];
        let rows = session
            .fetch::<JobSql, JobTuple>("read a job", &self.sql().job, &binds)
            .await?;
        rows.into_iter().next().map(job).transpose()
    }

    /// The unfinished jobs that `filter` names, the oldest id first.
    pub(crate) async fn jobs(&self, filter: &JobFilter, limit: u32) -> Result<Vec<JobInfo>, Error> {
        let mut session = self.clients().await?;
        let rows = session
            .fetch::<JobSql, JobTuple>(
                "list jobs",
                &self.sql().jobs,
                &[
                    &typed::<Nullable<Text>, _>(&filter.kind),
                    &typed::<Nullable<Text>, _>(&filter.queue),
                    &typed::<Nullable<Text>, _>(&filter.state.map(JobState::as_str)),
                    &typed::<BigInt, _>(&i64::from(limit)),
                ],
            )
            .await?;
        rows.into_iter().map(job).collect()
    }
}

fn job((identity, counts, times, ended, call, keys, way): JobTuple) -> Result<JobInfo, Error> {
    let (id, queue, kind, state, priority, attempt) = identity;
    let (failures, deaths, enqueued_at) = counts;
    let (due_at, attempted_at, finished_at) = times;
    let (output, errors, reason, node) = ended;
    let arguments = match call {
        (Some(version), Some(fingerprint), Some(payload)) => Some(Arguments {
            version,
            fingerprint: Fingerprint::from_i64(fingerprint),
            payload,
        }),
        _ => None,
    };
    Ok(JobInfo {
        id: JobId::from_i64(id),
        queue,
        kind,
        state: word(JobState::from_word(&state), "state", &state)?,
        priority,
        attempt: Attempt::from_i32(attempt),
        failures: failures.map(i32::unsigned_abs),
        deaths: deaths.map(i32::unsigned_abs),
        enqueued_at,
        due_at,
        attempted_at,
        finished_at,
        output,
        errors: list(errors),
        reason: reason.as_deref().and_then(BuryReason::from_word),
        node: node.map(NodeId::from_i64),
        arguments,
        ordering_key: keys.0,
        limit_key: keys.1,
        is_behind: keys.2,
        checkpointed_at: way.5,
        progress: progress(way),
    })
}

fn progress((done, of, message, attempt, at, _): ProgressTuple) -> Option<Progress> {
    Some(Progress {
        done: done?.unsigned_abs(),
        of: of?.unsigned_abs(),
        message: message?,
        attempt: Attempt::from_i32(attempt?),
        at: at?,
    })
}

pub(super) fn list(errors: Option<Value>) -> Vec<Value> {
    match errors {
        Some(Value::Array(errors)) => errors,
        Some(other) => vec![other],
        None => Vec::new(),
    }
}

pub(super) fn word<T>(value: Option<T>, what: &str, found: &str) -> Result<T, Error> {
    value.ok_or_else(|| {
        Error::database(format!(
            "a job has the {what} {found:?}, which this build does not know"
        ))
    })
}
