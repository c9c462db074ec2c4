//! `claim`: available jobs become a node's own. `reclaim`: those whose claim's answer was lost.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use diesel::data_types::PgTimestamp;
use diesel::deserialize::{self, FromSql};
use diesel::pg::Pg;
use diesel::row::{Field, Row};
use diesel::sql_types::{
    Array, BigInt, Bool, Integer, Jsonb, Nullable, Record, SmallInt, Text, Timestamptz,
};

use super::ctid::{Ctid, Tid};
use super::enqueue::Birth;
use super::session::{PgRow, Session, is_conflict};
use super::statement::{Bind, Statement, typed};
use super::{CallRow, Store};
use crate::Error;
use crate::job::{Attempt, Backoff, Fingerprint, JobId, NodeId, Repertoire, Stored};

const TOO_LITTLE: &str = "the claim returned too little";
/// Where PostgreSQL's time begins, in microseconds of ours.
const EPOCH_US: i64 = 946_684_800_000_000;

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
    /// They are done so soon that other claims rather pass them over than that this one takes them out of the index.
    pub(crate) are_quick: bool,
}

/// A job that was claimed, as it lies in its row. Small, since many lie side by side.
#[derive(Debug)]
pub(crate) struct ClaimedJob {
    pub(crate) id: JobId,
    pub(crate) attempt: Attempt,
    pub(crate) priority: i16,
    pub(crate) version: i32,
    pub(crate) fingerprint: Fingerprint,
    /// Shared by the jobs of a claim that follow one another.
    pub(crate) kind: Arc<str>,
    /// Its memory is shared, too.
    pub(crate) payload: Bytes,
    enqueued_us: i64,
    /// From when it could have been claimed to the claim, by the database's clock.
    waited_us: u64,
    /// Where its row lay when it was claimed; a hint.
    pub(crate) ctid: Option<Ctid>,
    rare: Option<Box<Rare>>,
}

/// What few jobs have.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    pub(crate) failures: u32,
    pub(crate) deaths: u32,
    pub(crate) max_attempts: Option<u16>,
    pub(crate) time_limit: Option<Duration>,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) ordering_key: Option<String>,
    /// It counts under the limits of its queue.
    pub(crate) is_limited: bool,
    /// The trace context of who enqueued it.
    pub(crate) traceparent: Option<String>,
}

impl ClaimedJob {
    /// What `row` has become, which was claimed as it was enqueued.
    pub(crate) fn at_birth(row: CallRow, birth: Birth) -> Self {
        let is_plain = row.max_attempts.is_none()
            && row.time_limit_ms.is_none()
            && row.backoff.is_none()
            && row.ordering_key.is_none()
            && row.traceparent.is_none();
        let rare = Rare {
            max_attempts: row.max_attempts.map(i16::unsigned_abs),
            time_limit: row.time_limit_ms.map(time_limit),
            backoff: row.backoff,
            ordering_key: row.ordering_key,
            traceparent: row.traceparent,
            // In a queue with limits nobody is claimed at birth.
            ..Rare::default()
        };
        Self {
            id: birth.id,
            attempt: Attempt::from_i32(1),
            kind: row.kind.into(),
            priority: row.priority,
            enqueued_us: birth.enqueued_at.timestamp_micros(),
            version: row.version,
            fingerprint: row.fingerprint,
            payload: row.payload.into(),
            waited_us: 0,
            ctid: Some(birth.ctid),
            rare: (!is_plain).then(|| Box::new(rare)),
        }
    }

    pub(crate) fn rare(&self) -> &Rare {
        static NOTHING: Rare = Rare {
            failures: 0,
            deaths: 0,
            max_attempts: None,
            time_limit: None,
            backoff: None,
            ordering_key: None,
            is_limited: false,
            traceparent: None,
        };
        self.rare.as_deref().unwrap_or(&NOTHING)
    }

    pub(crate) fn take_ordering_key(&mut self) -> Option<String> {
        self.rare.as_mut()?.ordering_key.take()
    }

    pub(crate) fn enqueued_at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.enqueued_us).unwrap_or_default()
    }

    /// The same, as PostgreSQL counts.
    pub(super) fn enqueued_at_there(&self) -> PgTimestamp {
        PgTimestamp(self.enqueued_us - EPOCH_US)
    }

    pub(crate) fn waited(&self) -> Duration {
        Duration::from_micros(self.waited_us)
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
    pub(crate) async fn claim(&self, request: &ClaimRequest) -> Result<Vec<ClaimedJob>, Error> {
        for _ in 1..CLAIM_TRIES {
            match self.claim_once(request).await {
                // Another node has just begun a job of the same ordering key; by now it can be seen.
                Err(error) if is_conflict(&error) => {}
                claimed => return claimed,
            }
        }
        self.claim_once(request).await
    }

    async fn claim_once(&self, request: &ClaimRequest) -> Result<Vec<ClaimedJob>, Error> {
        let mut session = self.0.claim.session().await?;
        claimed_jobs(
            &mut session,
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
                &typed::<Bool, _>(&request.are_quick),
            ],
        )
        .await
    }

    /// As [`claim`](Self::claim), for a queue with limits. Nothing comes of one without.
    pub(crate) async fn claim_limited(
        &self,
        request: &ClaimRequest,
    ) -> Result<Vec<ClaimedJob>, Error> {
        let mut session = self.0.claim.session().await?;
        claimed_jobs(
            &mut session,
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
        .await
    }

    /// Finds the jobs of a queue that are this node's by their row but not in its hands.
    pub(crate) async fn reclaim(
        &self,
        node: NodeId,
        queue: &str,
        held: &[(JobId, Attempt)],
    ) -> Result<Vec<ClaimedJob>, Error> {
        let ids: Vec<i64> = held.iter().map(|(id, _)| id.as_i64()).collect();
        let attempts: Vec<i32> = held.iter().map(|(_, attempt)| attempt.as_i32()).collect();
        let mut session = self.upkeep().await?;
        claimed_jobs(
            &mut session,
            "reclaim",
            &self.sql().reclaim,
            &[
                &typed::<BigInt, _>(&node.as_i64()),
                &typed::<Text, _>(queue),
                &typed::<Array<BigInt>, _>(&ids),
                &typed::<Array<Integer>, _>(&attempts),
            ],
        )
        .await
    }
}

/// Runs a statement that claims, and returns what it claimed in claim order.
pub(super) async fn claimed_jobs(
    session: &mut Session,
    verb: &str,
    statement: &Statement,
    binds: &[&dyn Bind],
) -> Result<Vec<ClaimedJob>, Error> {
    let mut reader = Reader::default();
    let read = move |row: &PgRow| reader.read(row);
    let mut jobs = session.fetch_by(verb, statement, binds, read).await?;
    // `RETURNING` promises no order, but mostly has it.
    if !jobs.is_sorted_by_key(ClaimedJob::bound) {
        jobs.sort_unstable_by_key(ClaimedJob::bound);
    }
    Ok(jobs)
}

fn time_limit(ms: i64) -> Duration {
    Duration::from_millis(ms.unsigned_abs())
}

/// What the last column of the claims holds, unless it is null.
type RareRecord = Record<(
    Integer,
    Integer,
    Nullable<SmallInt>,
    Nullable<BigInt>,
    Nullable<Jsonb>,
    Nullable<Text>,
    Bool,
    Nullable<Timestamptz>,
    Nullable<Text>,
)>;
type RareColumns = (
    i32,
    i32,
    Option<i16>,
    Option<i64>,
    Option<serde_json::Value>,
    Option<String>,
    bool,
    Option<PgTimestamp>,
    Option<String>,
);

/// Reads what the claims return, column by column and straight into its place: by way of a tuple of them, a
/// row costs twice as much.
#[derive(Default)]
struct Reader {
    /// Of the last job.
    kind: Option<Arc<str>>,
    payloads: Payloads,
}

impl Reader {
    fn read<'a>(&mut self, row: &impl Row<'a, Pg>) -> deserialize::Result<ClaimedJob> {
        let enqueued: PgTimestamp = read::<Timestamptz, _>(row, 7)?;
        let attempted: PgTimestamp = read::<Timestamptz, _>(row, 8)?;
        let rare: Option<RareColumns> = read::<Nullable<RareRecord>, _>(row, 9)?;
        let due = rare.as_ref().and_then(|rare| rare.7);
        let waited_us = attempted.0 - due.unwrap_or(enqueued).0;
        Ok(ClaimedJob {
            id: JobId::from_i64(read::<BigInt, _>(row, 0)?),
            attempt: Attempt::from_i32(read::<Integer, _>(row, 1)?),
            kind: self.read_kind(row, 2)?,
            priority: read::<SmallInt, _>(row, 3)?,
            version: read::<Integer, _>(row, 4)?,
            fingerprint: Fingerprint::from_i64(read::<BigInt, _>(row, 5)?),
            payload: self.read_payload(row, 6)?,
            enqueued_us: enqueued.0 + EPOCH_US,
            // Below zero where the server's clock was set back.
            waited_us: u64::try_from(waited_us).unwrap_or_default(),
            ctid: read_ctid(row, 10)?,
            rare: rare.map(|columns| Box::new(Rare::from(columns))),
        })
    }

    fn read_payload<'a>(
        &mut self,
        row: &impl Row<'a, Pg>,
        column: usize,
    ) -> deserialize::Result<Bytes> {
        let field = row.get(column).ok_or(TOO_LITTLE)?;
        let value = field.value().ok_or("the claim returned no arguments")?;
        Ok(self.payloads.keep(value.as_bytes()))
    }

    fn read_kind<'a>(
        &mut self,
        row: &impl Row<'a, Pg>,
        column: usize,
    ) -> deserialize::Result<Arc<str>> {
        let field = row.get(column).ok_or(TOO_LITTLE)?;
        let value = field.value().ok_or("the claim returned no kind")?;
        let known = self.kind.as_ref();
        if let Some(kind) = known.filter(|kind| kind.as_bytes() == value.as_bytes()) {
            return Ok(Arc::clone(kind));
        }
        let kind = Arc::from(std::str::from_utf8(value.as_bytes())?);
        self.kind = Some(Arc::clone(&kind));
        Ok(kind)
    }
}

/// Payloads that follow one another share pieces of memory: to get some for each, and to give it back in another
/// thread, costs as much as all else that is read of a row.
#[derive(Default)]
struct Payloads {
    /// What is left of the piece.
    piece: BytesMut,
    /// How large it was.
    size: usize,
}

impl Payloads {
    /// A claim of few needs little.
    const FIRST: usize = 512;
    /// A piece is kept until all its jobs have ended, by one that is slow as well.
    const MOST: usize = 16 * 1024;

    fn keep(&mut self, payload: &[u8]) -> Bytes {
        if payload.len() > Self::MOST / 4 {
            return Bytes::copy_from_slice(payload);
        }
        // What is split off is not a part of its capacity any more.
        if self.piece.capacity() < payload.len() {
            self.size = (2 * self.size).clamp(Self::FIRST.max(payload.len()), Self::MOST);
            self.piece = BytesMut::with_capacity(self.size);
        }
        self.piece.extend_from_slice(payload);
        self.piece.split().freeze()
    }
}

impl From<RareColumns> for Rare {
    fn from(columns: RareColumns) -> Self {
        let (
            failures,
            deaths,
            max_attempts,
            time_limit_ms,
            backoff,
            ordering_key,
            is_limited,
            _,
            traceparent,
        ) = columns;
        Self {
            failures: failures.unsigned_abs(),
            deaths: deaths.unsigned_abs(),
            max_attempts: max_attempts.map(i16::unsigned_abs),
            time_limit: time_limit_ms.map(time_limit),
            // A backoff that a newer build wrote and this one cannot read: the kind's own serves.
            backoff: backoff.and_then(|json| serde_json::from_value(json).ok()),
            ordering_key,
            is_limited,
            traceparent,
        }
    }
}

fn read<'a, ST, T: FromSql<ST, Pg>>(
    row: &impl Row<'a, Pg>,
    column: usize,
) -> deserialize::Result<T> {
    let field = row.get(column).ok_or(TOO_LITTLE)?;
    T::from_nullable_sql(field.value())
}

fn read_ctid<'a>(row: &impl Row<'a, Pg>, column: usize) -> deserialize::Result<Option<Ctid>> {
    match row.get(column) {
        Some(field) => {
            <Option<Ctid> as FromSql<Nullable<Tid>, Pg>>::from_nullable_sql(field.value())
        }
        None => Ok(None),
    }
}
