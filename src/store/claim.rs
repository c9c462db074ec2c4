//! `claim`: available jobs become a node's own. `reclaim`: those whose claim's answer was lost.

mod reader;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Bool, Integer, SmallInt, Text};

use reader::Reader;

use super::ctid::Ctid;
use super::enqueue::Birth;
use super::session::{PgRow, Session, is_conflict};
use super::statement::{Bind, Statement, typed};
use super::{CallRow, Store};
use crate::Error;
use crate::job::{Attempt, Backoff, Fingerprint, JobId, NodeId, Repertoire, Stored};

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
