//! What people and programs do to jobs from outside: `cancel`, `requeue`.

use diesel::sql_types::{Array, BigInt, Bool, Nullable, SmallInt, Text};

use super::statement::typed;
use super::{OrderingKey, Store};
use crate::Error;
use crate::job::{BuryReason, JobId};

/// What a cancellation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The job was waiting and is cancelled.
    AtOnce,
    /// The job is executing; its handler is told, and the job ends as cancelled unless the handler
    /// completes it first.
    Asked,
    /// There is no such unfinished job.
    NotFound,
}

/// Which dead letters; empty, all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct DeadFilter {
    pub(super) ids: Option<Vec<i64>>,
    pub(super) kind: Option<String>,
    pub(super) queue: Option<String>,
    pub(super) reason: Option<BuryReason>,
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
}

type CancelSql = (BigInt, Bool, Nullable<Text>, Nullable<Text>);
type CancelRow = (i64, bool, Option<String>, Option<String>);

impl Store {
    /// Cancels jobs. Answers with the ids that were found, whether each is executing, and whose turn
    /// may have come by it.
    pub(crate) async fn cancel(
        &self,
        ids: &[JobId],
    ) -> Result<Vec<(JobId, bool, Option<OrderingKey>)>, Error> {
        let ids: Vec<i64> = ids.iter().map(|id| id.as_i64()).collect();
        let mut session = self.clients().await?;
        let rows = session
            .fetch::<CancelSql, CancelRow>(
                "cancel",
                &self.sql().cancel,
                &[&typed::<Array<BigInt>, _>(&ids)],
            )
            .await?;
        Ok(rows
            .into_iter()
            .map(|(id, is_executing, queue, key)| {
                let ordering = queue
                    .zip(key)
                    .map(|(queue, key)| OrderingKey { queue, key });
                (JobId::from_i64(id), is_executing, ordering)
            })
            .collect())
    }

    /// Brings up to `limit` dead jobs back. Answers with id, queue and priority of each.
    pub(crate) async fn requeue(
        &self,
        filter: &DeadFilter,
        limit: u32,
    ) -> Result<Vec<(JobId, String, i16)>, Error> {
        let mut session = self.clients().await?;
        let rows = session
            .fetch::<(BigInt, Text, SmallInt), _>(
                "requeue",
                &self.sql().requeue,
                &[
                    &typed::<Nullable<Array<BigInt>>, _>(&filter.ids),
                    &typed::<Nullable<Text>, _>(&filter.kind),
                    &typed::<Nullable<Text>, _>(&filter.queue),
                    &typed::<Nullable<Text>, _>(&filter.reason.map(BuryReason::as_str)),
                    &typed::<BigInt, _>(&i64::from(limit)),
                ],
            )
            .await?;
        let risen =
            |(id, queue, priority): (i64, String, i16)| (JobId::from_i64(id), queue, priority);
        Ok(rows.into_iter().map(risen).collect())
    }
}
