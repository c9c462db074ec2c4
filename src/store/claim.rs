//! `claim`: available jobs become a node's own. `reclaim`: those whose claim's answer was lost.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::data_types::PgTimestamp;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::pg::Pg;
use diesel::row::{Field, Row};
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz, Untyped,
};

use super::pool::is_conflict;
use super::statement::typed;
use super::{CallRow, Store};
use crate::Error;
use crate::job::{Attempt, Backoff, Fingerprint, JobId, NodeId, Repertoire, Stored};

/// How often a claim is tried when others begin jobs of the same ordering keys at the same moment.
pub(crate) const CLAIM_TRIES: u32 = 5;

/// A lower bound of what is worth looking at, in claim order. A hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClaimBound {
    pub(crate) priority: i16,
    pub(crate) id: i64,
}

impl ClaimBound {
    /// Below every job.
    pub(crate) const NONE: Self = Self {
        priority: i16::MIN,
        id: i64::MIN,
    };
}

/// What a fetcher wants.
#[derive(Debug)]
pub(crate) struct ClaimRequest {
    pub(crate) node: NodeId,
    pub(crate) queue: Arc<str>,
    /// What this node can run.
    pub(crate) kinds: Arc<Repertoire>,
    pub(crate) above: ClaimBound,
    pub(crate) limit: u32,
    /// How many suspects: jobs under which a process died.
    pub(crate) suspects: u32,
}

/// A job that was claimed, as it lies in its row.
#[derive(Debug)]
pub(crate) struct ClaimedJob {
    pub(crate) id: JobId,
    pub(crate) attempt: Attempt,
    pub(crate) kind: Arc<str>,
    pub(crate) priority: i16,
    pub(crate) failures: u32,
    pub(crate) deaths: u32,
    pub(crate) max_attempts: Option<u16>,
    pub(crate) time_limit: Option<Duration>,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) enqueued_at: DateTime<Utc>,
    /// From when it could have been claimed to the claim, by the database's clock.
    pub(crate) waited: Duration,
    pub(crate) version: i32,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) payload: Vec<u8>,
    pub(crate) ordering_key: Option<String>,
    /// It counts under the limits of its queue.
    pub(crate) is_limited: bool,
    /// The trace context of who enqueued it.
    pub(crate) traceparent: Option<String>,
}

impl ClaimedJob {
    /// What `row` has become, which was claimed as it was enqueued.
    pub(crate) fn at_birth(row: CallRow, id: JobId, enqueued_at: DateTime<Utc>) -> Self {
        Self {
            id,
            attempt: Attempt::from_i32(1),
            kind: row.kind.into(),
            priority: row.priority,
            failures: 0,
            deaths: 0,
            max_attempts: row.max_attempts.map(i16::unsigned_abs),
            time_limit: row.time_limit_ms.map(time_limit),
            backoff: row.backoff,
            enqueued_at,
            version: row.version,
            fingerprint: row.fingerprint,
            payload: row.payload,
            ordering_key: row.ordering_key,
            // In a queue with limits nobody is claimed at birth.
            is_limited: false,
            waited: Duration::ZERO,
            traceparent: row.traceparent,
        }
    }

    pub(crate) fn bound(&self) -> ClaimBound {
        ClaimBound {
            priority: self.priority,
            id: self.id.as_i64(),
        }
    }

    pub(crate) fn stored(&self) -> Stored<'_> {
        Stored {
            version: self.version,
            fingerprint: self.fingerprint,
            bytes: &self.payload,
        }
    }
}

impl Store {
    /// Claims for the demand of a queue, in claim order.
    pub(crate) async fn claim(
        &self,
        request: &ClaimRequest,
    ) -> Result<Vec<Box<ClaimedJob>>, Error> {
        for _ in 1..CLAIM_TRIES {
            match self.claim_once(request).await {
                // Another node has just begun a job of the same ordering key; by now it can be seen.
                Err(error) if is_conflict(&error) => {}
                claimed => return claimed,
            }
        }
        self.claim_once(request).await
    }

    async fn claim_once(&self, request: &ClaimRequest) -> Result<Vec<Box<ClaimedJob>>, Error> {
        let mut session = self.0.claim.session().await?;
        let jobs = session
            .fetch::<Untyped, Box<ClaimedJob>>(
                "claim",
                &self.sql().claim,
                &[
                    &typed::<BigInt, _>(&request.node.as_i64()),
                    &typed::<Text, _>(&*request.queue),
                    &typed::<Array<Text>, _>(request.kinds.kinds()),
                    &typed::<SmallInt, _>(&request.above.priority),
                    &typed::<BigInt, _>(&request.above.id),
                    &typed::<BigInt, _>(&i64::from(request.limit)),
                    &typed::<BigInt, _>(&i64::from(request.suspects)),
                    &typed::<Array<Integer>, _>(request.kinds.versions()),
                ],
            )
            .await?;
        Ok(in_claim_order(jobs))
    }

    /// As [`claim`](Self::claim), for a queue with limits. Nothing comes of one without.
    pub(crate) async fn claim_limited(
        &self,
        request: &ClaimRequest,
    ) -> Result<Vec<Box<ClaimedJob>>, Error> {
        let mut session = self.0.claim.session().await?;
        let jobs = session
            .fetch::<Untyped, Box<ClaimedJob>>(
                "claim",
                &self.sql().claim_limited,
                &[
                    &typed::<BigInt, _>(&request.node.as_i64()),
                    &typed::<Text, _>(&*request.queue),
                    &typed::<Array<Text>, _>(request.kinds.kinds()),
                    &typed::<Array<Integer>, _>(request.kinds.versions()),
                    &typed::<BigInt, _>(&i64::from(request.limit)),
                    &typed::<BigInt, _>(&i64::from(request.suspects)),
                ],
            )
            .await?;
        Ok(in_claim_order(jobs))
    }

    /// Finds the jobs of a queue that are this node's by their row but not in its hands.
    pub(crate) async fn reclaim(
        &self,
        node: NodeId,
        queue: &str,
        held: &[(JobId, Attempt)],
    ) -> Result<Vec<Box<ClaimedJob>>, Error> {
        let ids: Vec<i64> = held.iter().map(|(id, _)| id.as_i64()).collect();
        let attempts: Vec<i32> = held.iter().map(|(_, attempt)| attempt.as_i32()).collect();
        let mut session = self.upkeep().await?;
        let jobs = session
            .fetch::<Untyped, Box<ClaimedJob>>(
                "reclaim",
                &self.sql().reclaim,
                &[
                    &typed::<BigInt, _>(&node.as_i64()),
                    &typed::<Text, _>(queue),
                    &typed::<Array<BigInt>, _>(&ids),
                    &typed::<Array<Integer>, _>(&attempts),
                ],
            )
            .await?;
        Ok(in_claim_order(jobs))
    }
}

/// `RETURNING` promises no order.
pub(super) fn in_claim_order(mut jobs: Vec<Box<ClaimedJob>>) -> Vec<Box<ClaimedJob>> {
    jobs.sort_unstable_by_key(|job| job.bound());
    jobs
}

fn time_limit(ms: i64) -> Duration {
    Duration::from_millis(ms.unsigned_abs())
}

/// Reads what the claims return, column by column and straight into its place: by way of a tuple of them, a
/// row costs twice as much.
impl FromSqlRow<Untyped, Pg> for Box<ClaimedJob> {
    fn build_from_row<'a>(row: &impl Row<'a, Pg>) -> deserialize::Result<Self> {
        let backoff: Option<serde_json::Value> = read::<Nullable<Jsonb>, _>(row, 8)?;
        let enqueued = read::<Timestamptz, PgTimestamp>(row, 9)?;
        let attempted = read::<Timestamptz, PgTimestamp>(row, 15)?;
        let due = read::<Nullable<Timestamptz>, Option<PgTimestamp>>(row, 16)?;
        let waited_us = attempted.0 - due.unwrap_or(enqueued).0;
        Ok(Box::new(ClaimedJob {
            id: JobId::from_i64(read::<BigInt, _>(row, 0)?),
            attempt: Attempt::from_i32(read::<Integer, _>(row, 1)?),
            kind: read_text(row, 2)?,
            priority: read::<SmallInt, _>(row, 3)?,
            failures: read::<Integer, i32>(row, 4)?.unsigned_abs(),
            deaths: read::<Integer, i32>(row, 5)?.unsigned_abs(),
            max_attempts: read::<Nullable<SmallInt>, Option<i16>>(row, 6)?.map(i16::unsigned_abs),
            time_limit: read::<Nullable<BigInt>, Option<i64>>(row, 7)?.map(time_limit),
            // A backoff that a newer build wrote and this one cannot read: the kind's own serves.
            backoff: backoff.and_then(|json| serde_json::from_value(json).ok()),
            enqueued_at: read::<Timestamptz, _>(row, 9)?,
            // Below zero where the server's clock was set back.
            waited: Duration::from_micros(u64::try_from(waited_us).unwrap_or_default()),
            version: read::<Integer, _>(row, 10)?,
            fingerprint: Fingerprint::from_i64(read::<BigInt, _>(row, 11)?),
            payload: read::<Binary, _>(row, 12)?,
            ordering_key: read::<Nullable<Text>, _>(row, 13)?,
            is_limited: read::<Bool, _>(row, 14)?,
            traceparent: read::<Nullable<Text>, _>(row, 17)?,
        }))
    }
}

fn read<'a, ST, T: FromSql<ST, Pg>>(
    row: &impl Row<'a, Pg>,
    column: usize,
) -> deserialize::Result<T> {
    let field = row.get(column).ok_or("the claim returned too little")?;
    T::from_nullable_sql(field.value())
}

fn read_text<'a>(row: &impl Row<'a, Pg>, column: usize) -> deserialize::Result<Arc<str>> {
    let field = row.get(column).ok_or("the claim returned too little")?;
    let value = field.value().ok_or("the claim returned no name")?;
    Ok(std::str::from_utf8(value.as_bytes())?.into())
}
