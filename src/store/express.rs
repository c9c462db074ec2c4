//! The express lane: `hold`, `foretell`, `finish` and `spill`; and for what was lost `withdraw`, `disown` and
//! `charge`.
//!
//! Jobs are held by the row locks of a transaction that stays open while they run, and end with it. What such a
//! transaction is about to begin is foretold in another one, which outlives a death of the process; the fence of
//! the lane is that note: a batch is ended by whoever strikes it out.

use std::sync::Arc;
use std::time::Instant;

use diesel::sql_types::{
    Array, BigInt, Bool, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz,
};
use serde_json::Value;

use super::claim::{ClaimRequest, claimed_jobs};
use super::ctid::Tid;
use super::nodes::{RescuedJob, RescuedSql, RescuedTuple, rescued};
use super::numbers::Numbers;
use super::pack::{Held, Pack};
use super::session::{End, Session, is_conflict};
use super::statement::typed;
use super::{ClaimedJob, Settlement, Store};
use crate::Error;
use crate::job::{Attempt, Failure, FailureKind, JobId, NodeId};

/// A batch of the lane, by a number that its node has drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BatchId(pub(crate) i64);

/// What a batch is about to begin.
#[derive(Debug)]
pub(crate) struct Foretold {
    pub(crate) batch: BatchId,
    pub(crate) queue: Arc<str>,
    pub(crate) attempts: Vec<(JobId, Attempt)>,
}

/// A batch that names a job which nobody holds: its process died, or its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contested {
    pub(crate) batch: BatchId,
    pub(crate) node: NodeId,
    /// Whether its node is on the list of nodes.
    pub(crate) is_listed: bool,
}

/// Jobs in the hands of an open transaction. Dropped, it gives them back.
pub(crate) struct Hold {
    store: Store,
    session: Session,
    node: NodeId,
    since: Instant,
}

/// Where it is written down what a batch is about to begin.
pub(crate) struct Notes {
    store: Store,
    session: Session,
    node: NodeId,
}

impl Store {
    /// Holds jobs of a queue, in claim order, with the attempts that are about to begin.
    pub(crate) async fn hold(
        &self,
        request: &ClaimRequest,
    ) -> Result<(Hold, Notes, Vec<ClaimedJob>), Error> {
        // Both before anything is held, since they may have to connect.
        let notes = self.0.claim.session().await?;
        let mut session = self.0.express.session().await?;
        let since = Instant::now();
        session.begin_with_next();
        let jobs = claimed_jobs(
            &mut session,
            "hold jobs",
            &self.sql().hold,
            &[
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
        let hold = Hold {
            store: self.clone(),
            session,
            node: request.node,
            since,
        };
        let notes = Notes {
            store: self.clone(),
            session: notes,
            node: request.node,
        };
        Ok((hold, notes, jobs))
    }

    /// Strikes out a batch whose transaction was lost, so that it cannot end any more, and tells whether it had
    /// ended before: then it has left these jobs at these attempts, or ended them.
    pub(crate) async fn withdraw(
        &self,
        batch: BatchId,
        changed: &[(JobId, Attempt)],
    ) -> Result<bool, Error> {
        let mut session = self.0.settle.session().await?;
        let struck = session
            .change(
                "withdraw a batch",
                &self.sql().withdraw,
                &[&typed::<BigInt, _>(&batch.0)],
            )
            .await?;
        if struck > 0 {
            return Ok(false);
        }
        let ids = Numbers(changed.iter().map(|(id, _)| id.as_i64()).collect());
        let attempts = Numbers(changed.iter().map(|(_, at)| at.as_i32()).collect());
        let found = session
            .fetch::<Bool, bool>(
                "look how a batch ended",
                &self.sql().finished,
                &[
                    &typed::<Array<BigInt>, _>(&ids),
                    &typed::<Array<Integer>, _>(&attempts),
                ],
            )
            .await?;
        Ok(found.contains(&true))
    }

    /// Frees the jobs of batches whose transactions are over although their nodes live.
    pub(crate) async fn disown(&self, batches: &[BatchId]) -> Result<(), Error> {
        let batches: Vec<i64> = batches.iter().map(|batch| batch.0).collect();
        let mut session = self.upkeep().await?;
        session
            .change(
                "disown batches",
                &self.sql().disown,
                &[&typed::<Array<BigInt>, _>(&batches)],
            )
            .await
            .map(drop)
    }

    /// Charges the death of a process to the jobs that these batches name, and those of condemned nodes; with
    /// `everywhere`, also of nodes that are on no list.
    pub(crate) async fn charge(
        &self,
        batches: &[BatchId],
        everywhere: bool,
        max_deaths: u32,
        recent_errors: &Value,
    ) -> Result<Vec<RescuedJob>, Error> {
        let batches: Vec<i64> = batches.iter().map(|batch| batch.0).collect();
        let max_deaths = i32::try_from(max_deaths).unwrap_or(i32::MAX);
        let died = Failure::new(FailureKind::ProcessDied, "").fingerprint();
        let mut session = self.upkeep().await?;
        let rows = session
            .fetch::<RescuedSql, RescuedTuple>(
                "charge a death",
                &self.sql().charge,
                &[
                    &typed::<Array<BigInt>, _>(&batches),
                    &typed::<Bool, _>(&everywhere),
                    &typed::<Integer, _>(&max_deaths),
                    &typed::<BigInt, _>(&died.as_i64()),
                    &typed::<Jsonb, _>(recent_errors),
                ],
            )
            .await?;
        Ok(rows.into_iter().map(rescued).collect())
    }
}

impl Notes {
    /// Writes down what a batch is about to begin, unless others name some of it; then it answers with these.
    ///
    /// It commits asynchronously: the note is for a death of this process, and a crash of the server leaves
    /// no transaction open.
    pub(crate) async fn foretell(mut self, foretold: &Foretold) -> Result<Vec<Contested>, Error> {
        let ids = Numbers(
            foretold
                .attempts
                .iter()
                .map(|(id, _)| id.as_i64())
                .collect(),
        );
        let attempts = foretold
            .attempts
            .iter()
            .map(|(_, attempt)| attempt.as_i32());
        let attempts = Numbers(attempts.collect());
        let first = ids.0.iter().min().copied().unwrap_or_default();
        let last = ids.0.iter().max().copied().unwrap_or_default();
        let rows = self
            .session
            .fetch::<(BigInt, BigInt, Bool), (i64, i64, bool)>(
                "foretell a batch",
                &self.store.0.sql.foretell,
                &[
                    &typed::<BigInt, _>(&foretold.batch.0),
                    &typed::<BigInt, _>(&self.node.as_i64()),
                    &typed::<Text, _>(&*foretold.queue),
                    &typed::<BigInt, _>(&first),
                    &typed::<BigInt, _>(&last),
                    &typed::<Array<BigInt>, _>(&ids),
                    &typed::<Array<Integer>, _>(&attempts),
                ],
            )
            .await?;
        let contested = |(batch, node, is_listed)| Contested {
            batch: BatchId(batch),
            node: NodeId::from_i64(node),
            is_listed,
        };
        Ok(rows.into_iter().map(contested).collect())
    }
}

impl Hold {
    /// When the jobs came into its hands.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// Gives all back, at once.
    pub(crate) async fn release(mut self) -> Result<(), Error> {
        self.session.end(End::RollBack).await
    }

    /// Completes these jobs of a queue and strikes the batch out. `false`: it is not this node's to end any more,
    /// and nothing was done.
    pub(crate) async fn finish(
        &mut self,
        batch: BatchId,
        queue: &str,
        completed: &[&Held],
    ) -> Result<bool, Error> {
        let pack = Pack::of(completed);
        let (first, last) = pack.between();
        let held_us = self.held_us();
        let rows = self
            .session
            .fetch::<Nullable<BigInt>, Option<i64>>(
                "finish a batch",
                &self.store.0.sql.finish,
                &[
                    &typed::<BigInt, _>(&self.node.as_i64()),
                    &typed::<BigInt, _>(&batch.0),
                    &typed::<Text, _>(queue),
                    &typed::<BigInt, _>(&held_us),
                    &typed::<Array<Tid>, _>(&pack.places),
                    &typed::<Array<BigInt>, _>(&pack.ids),
                    &typed::<Array<Timestamptz>, _>(&pack.enqueued_at),
                    &typed::<BigInt, _>(&first),
                    &typed::<BigInt, _>(&last),
                    &typed::<Array<Text>, _>(&pack.kinds),
                    &typed::<Nullable<Array<SmallInt>>, _>(&pack.kind_of()),
                    &typed::<Array<Tid>, _>(&pack.singles),
                ],
            )
            .await?;
        match rows.into_iter().flatten().next() {
            None => Ok(false),
            Some(ended) if ended == completed.len() as i64 => Ok(true),
            Some(ended) => Err(Error::database(format!(
                "cannot finish a batch: it holds {} jobs that are to be completed, and {ended} were deleted",
                completed.len()
            ))),
        }
    }

    /// Makes ordinary executing jobs of these.
    pub(crate) async fn spill(&mut self, jobs: &[JobId]) -> Result<(), Error> {
        let ids: Vec<i64> = jobs.iter().map(|id| id.as_i64()).collect();
        let held_us = self.held_us();
        let spilled = self
            .session
            .change(
                "spill a batch",
                &self.store.0.sql.spill,
                &[
                    &typed::<BigInt, _>(&self.node.as_i64()),
                    &typed::<Array<BigInt>, _>(&ids),
                    &typed::<BigInt, _>(&held_us),
                ],
            )
            .await;
        spilled.map(drop)
    }

    /// Settles jobs that were spilled just now, and tells which were accepted; none, if the database refuses
    /// one of the answers. They are executing then as the others are.
    pub(crate) async fn settle(&mut self, answers: &[&Settlement]) -> Result<Vec<JobId>, Error> {
        self.session.order("savepoint answers").await?;
        let store = self.store.clone();
        let settled = store.write_others(&mut self.session, self.node, answers);
        match settled.await {
            Ok(accepted) => {
                self.session.order("release savepoint answers").await?;
                Ok(accepted.into_iter().map(JobId::from_i64).collect())
            }
            Err(error) if error.is_database() => {
                let back = "rollback to savepoint answers; release savepoint answers";
                self.session.order(back).await?;
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// Makes durable what was done, and frees the rest.
    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        self.session.end(End::Commit).await
    }

    fn held_us(&self) -> i64 {
        i64::try_from(self.since.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

/// Whether a spill failed since another job of an ordering key has begun meanwhile.
pub(crate) fn is_behind_another(error: &Error) -> bool {
    is_conflict(error)
}
