//! What people and programs do to unfinished jobs from outside: `cancel`.

use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text};

use super::statement::typed;
use super::{OrderingKey, Store};
use crate::Error;
use crate::job::JobId;

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
}
