//! Claimed rows as they come, read straight into their places.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use diesel::data_types::PgTimestamp;
use diesel::deserialize::{self, FromSql};
use diesel::pg::Pg;
use diesel::row::{Field, Row};
use diesel::sql_types::{
    BigInt, Bool, Integer, Jsonb, Nullable, Record, SmallInt, Text, Timestamptz,
};

use super::{ClaimedJob, EPOCH_US, Rare, time_limit};
use crate::job::{Attempt, Fingerprint, JobId};
use crate::store::ctid::{Ctid, Tid};

const TOO_LITTLE: &str = "the claim returned too little";

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
pub(super) struct Reader {
    /// Of the last job.
    kind: Option<Arc<str>>,
    payloads: Payloads,
}

impl Reader {
    pub(super) fn read<'a>(&mut self, row: &impl Row<'a, Pg>) -> deserialize::Result<ClaimedJob> {
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
/// thread, costs a third of all else that is done to read a row.
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
