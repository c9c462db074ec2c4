//! Dead letters: list, count and group them, `requeue` them, delete them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::sql_types::{
    Array, BigInt, Binary, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz,
};
use serde_json::Value;

use super::nodes::millis;
use super::read::{list, word};
use super::statement::typed;
use super::{Arguments, Store};
use crate::Error;
use crate::job::{Attempt, BuryReason, ErrorFingerprint, Fingerprint, JobId, MAX_WAIT, NodeId};

/// Which dead letters; empty, all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct DeadFilter {
    ids: Option<Vec<i64>>,
    kind: Option<String>,
    queue: Option<String>,
    reason: Option<BuryReason>,
    error: Option<ErrorFingerprint>,
    older_than: Option<Duration>,
}

impl DeadFilter {
    /// Every dead letter.
    pub fn all() -> Self {
        Self::default()
    }

    /// Only these jobs.
    pub fn ids(mut self, ids: impl IntoIterator<Item = JobId>) -> Self {
        self.ids = Some(ids.into_iter().map(JobId::as_i64).collect());
        self
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

    /// Only jobs that were buried for this reason.
    pub fn reason(mut self, reason: BuryReason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Only jobs whose last error has this fingerprint, of whatever kind they are.
    pub fn error(mut self, fingerprint: ErrorFingerprint) -> Self {
        self.error = Some(fingerprint);
        self
    }

    /// Only the letters of this group: of its kind, with its error.
    pub fn group(self, group: &DeadGroup) -> Self {
        self.kind(&group.kind).error(group.fingerprint)
    }

    /// Only jobs that were buried longer ago than this, by the database's clock; in milliseconds, up to a
    /// hundred years.
    pub fn older_than(mut self, age: Duration) -> Self {
        self.older_than = Some(age.min(MAX_WAIT));
        self
    }
}

/// A dead letter: a job that was given up, with everything that is known of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The job.
    pub id: JobId,
    /// Its queue.
    pub queue: String,
    /// Its kind.
    pub kind: String,
    /// Why it was given up.
    pub reason: BuryReason,
    /// Its last attempt.
    pub attempt: Attempt,
    /// How many attempts failed.
    pub failures: u32,
    /// How many processes died while they ran it.
    pub deaths: u32,
    /// When it was enqueued, by the database's clock.
    pub enqueued_at: DateTime<Utc>,
    /// When its last attempt was claimed.
    pub attempted_at: Option<DateTime<Utc>>,
    /// When it was given up, by the database's clock.
    pub buried_at: DateTime<Utc>,
    /// The node that ran it last.
    pub node: Option<NodeId>,
    /// Its priority.
    pub priority: i16,
    /// How many attempts might fail, if its enqueue said so.
    pub max_attempts: Option<u16>,
    /// Jobs of its queue with this key run one at a time.
    pub ordering_key: Option<String>,
    /// Whose share of its queue's limits it takes.
    pub limit_key: Option<String>,
    /// What its last error has in common with others; with the kind it names its [group](DeadGroup).
    pub error_fingerprint: ErrorFingerprint,
    /// Every attempt's error, the oldest first.
    pub errors: Vec<Value>,
    /// How things stood when it was given up: node, worker, timings, queue depth, load, and under
    /// `recent_errors` what else of its kind had failed on that node.
    pub diagnostics: Value,
    /// Its arguments, unread.
    pub arguments: Arguments,
}

/// Dead letters that are alike: of the same kind, with the same
/// [error but for its variable parts](crate::job::normal_message).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadGroup {
    /// The kind of its jobs.
    pub kind: String,
    /// What their last errors have in common. Letters of a build that took no fingerprints have
    /// [`ErrorFingerprint::UNKNOWN`].
    pub fingerprint: ErrorFingerprint,
    /// How many letters there are.
    pub letters: u64,
    /// When the first of them was buried.
    pub first_buried_at: DateTime<Utc>,
    /// When the last of them was buried.
    pub last_buried_at: DateTime<Utc>,
    /// The one that was buried last.
    pub sample: JobId,
    /// How that one failed in the end: `error`, `panic`, `timed_out`, …
    pub sample_failure: String,
    /// The message of its last error.
    pub sample_message: String,
}

/// How many letters there were, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeadCount {
    pub(crate) letters: u64,
    pub(crate) at: DateTime<Utc>,
}

/// Which part of the letters that a filter names: those buried until then, if that is said, with an id above
/// this one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeadPart {
    pub(crate) until: Option<DateTime<Utc>>,
    pub(crate) above: i64,
    pub(crate) limit: u32,
}

type LetterSql = (
    (BigInt, Text, Text, Text, Integer, Integer, Integer),
    (Timestamptz, Nullable<Timestamptz>, Timestamptz),
    (
        Nullable<BigInt>,
        SmallInt,
        Nullable<SmallInt>,
        Nullable<Text>,
        Nullable<Text>,
        BigInt,
    ),
    (Jsonb, Jsonb, Integer, BigInt, Binary),
);
type LetterTuple = (
    (i64, String, String, String, i32, i32, i32),
    (DateTime<Utc>, Option<DateTime<Utc>>, DateTime<Utc>),
    (
        Option<i64>,
        i16,
        Option<i16>,
        Option<String>,
        Option<String>,
        i64,
    ),
    (Value, Value, i32, i64, Vec<u8>),
);
type GroupSql = (
    Text,
    BigInt,
    BigInt,
    Timestamptz,
    Timestamptz,
    BigInt,
    Text,
    Text,
);
type GroupTuple = (
    String,
    i64,
    i64,
    DateTime<Utc>,
    DateTime<Utc>,
    i64,
    String,
    String,
);

/// The values of a statement with a filter, and others after them, or the part of the letters that is meant. A
/// macro, because they borrow from one another.
macro_rules! binds {
    (part of $filter:ident: $part:ident) => {
        binds!(
            $filter,
            typed::<Nullable<Timestamptz>, _>(&$part.until),
            typed::<BigInt, _>(&$part.above),
            typed::<BigInt, _>(&i64::from($part.limit))
        )
    };
    ($filter:expr $(, $other:expr)*) => {
        &[
            &typed::<Nullable<Array<BigInt>>, _>(&$filter.ids),
            &typed::<Nullable<Text>, _>(&$filter.kind),
            &typed::<Nullable<Text>, _>(&$filter.queue),
            &typed::<Nullable<Text>, _>(&$filter.reason.map(BuryReason::as_str)),
            &typed::<Nullable<BigInt>, _>(&$filter.error.map(ErrorFingerprint::as_i64)),
            &typed::<Nullable<BigInt>, _>(&$filter.older_than.map(millis)),
            $(&$other,)*
        ]
    };
}

impl Store {
    /// The dead letters that `filter` names, the last buried first; those after `after`, if there is one.
    pub(crate) async fn dead(
        &self,
        filter: &DeadFilter,
        after: Option<&DeadLetter>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, Error> {
        let mut session = self.clients().await?;
        let rows = session
            .fetch::<LetterSql, LetterTuple>(
                "list dead letters",
                &self.sql().dead,
                binds!(
                    filter,
                    typed::<Nullable<Timestamptz>, _>(&after.map(|letter| letter.buried_at)),
                    typed::<Nullable<BigInt>, _>(&after.map(|letter| letter.id.as_i64())),
                    typed::<BigInt, _>(&i64::from(limit))
                ),
            )
            .await?;
        rows.into_iter().map(letter).collect()
    }

    /// How many dead letters `filter` names.
    pub(crate) async fn dead_count(&self, filter: &DeadFilter) -> Result<DeadCount, Error> {
        let mut session = self.clients().await?;
        let verb = "count dead letters";
        let rows = session
            .fetch::<(BigInt, Timestamptz), (i64, DateTime<Utc>)>(
                verb,
                &self.sql().dead_count,
                binds!(filter),
            )
            .await?;
        let row = rows.into_iter().next();
        let (letters, at) =
            row.ok_or_else(|| Error::database(format!("cannot {verb}: no answer")))?;
        Ok(DeadCount {
            letters: letters.unsigned_abs(),
            at,
        })
    }

    /// The groups of the dead letters that `filter` names, the largest first.
    pub(crate) async fn dead_groups(
        &self,
        filter: &DeadFilter,
        limit: u32,
    ) -> Result<Vec<DeadGroup>, Error> {
        let mut session = self.clients().await?;
        let rows = session
            .fetch::<GroupSql, GroupTuple>(
                "group dead letters",
                &self.sql().groups,
                binds!(filter, typed::<BigInt, _>(&i64::from(limit))),
            )
            .await?;
        Ok(rows.into_iter().map(group).collect())
    }

    /// Brings a part of the dead jobs back. Answers with id, queue and priority of each.
    pub(crate) async fn requeue(
        &self,
        filter: &DeadFilter,
        part: DeadPart,
    ) -> Result<Vec<(JobId, String, i16)>, Error> {
        let mut session = self.clients().await?;
        let rows = session
            .fetch::<(BigInt, Text, SmallInt), (i64, String, i16)>(
                "requeue",
                &self.sql().requeue,
                binds!(part of filter: part),
            )
            .await?;
        let risen = |(id, queue, priority)| (JobId::from_i64(id), queue, priority);
        Ok(rows.into_iter().map(risen).collect())
    }

    /// Deletes a part of the dead letters. Answers with their ids.
    pub(crate) async fn delete_dead(
        &self,
        filter: &DeadFilter,
        part: DeadPart,
    ) -> Result<Vec<JobId>, Error> {
        let mut session = self.clients().await?;
        let rows = session
            .fetch::<BigInt, i64>(
                "delete dead letters",
                &self.sql().delete,
                binds!(part of filter: part),
            )
            .await?;
        Ok(rows.into_iter().map(JobId::from_i64).collect())
    }
}

fn letter((identity, times, limits, story): LetterTuple) -> Result<DeadLetter, Error> {
    let (id, queue, kind, reason, attempt, failures, deaths) = identity;
    let (enqueued_at, attempted_at, buried_at) = times;
    let (node, priority, max_attempts, ordering_key, limit_key, error_fingerprint) = limits;
    let (errors, diagnostics, version, fingerprint, payload) = story;
    Ok(DeadLetter {
        id: JobId::from_i64(id),
        queue,
        kind,
        reason: word(BuryReason::from_word(&reason), "reason", &reason)?,
        attempt: Attempt::from_i32(attempt),
        failures: failures.unsigned_abs(),
        deaths: deaths.unsigned_abs(),
        enqueued_at,
        attempted_at,
        buried_at,
        node: node.map(NodeId::from_i64),
        priority,
        max_attempts: max_attempts.map(i16::unsigned_abs),
        ordering_key,
        limit_key,
        error_fingerprint: ErrorFingerprint::from_i64(error_fingerprint),
        errors: list(Some(errors)),
        diagnostics,
        arguments: Arguments {
            version,
            fingerprint: Fingerprint::from_i64(fingerprint),
            payload,
        },
    })
}

fn group(
    (kind, fingerprint, letters, first, last, sample, failure, message): GroupTuple,
) -> DeadGroup {
    DeadGroup {
        kind,
        fingerprint: ErrorFingerprint::from_i64(fingerprint),
        letters: letters.unsigned_abs(),
        first_buried_at: first,
        last_buried_at: last,
        sample: JobId::from_i64(sample),
        sample_failure: failure,
        sample_message: message,
    }
}
