//! `unblock`: the next job of an ordering key has its turn.

use diesel::sql_types::{Array, Nullable, SmallInt, Text};

use super::Store;
use super::statement::typed;
use crate::Error;

/// Jobs of one queue with the same key run one at a time, in the order of their enqueue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct OrderingKey {
    pub(crate) queue: String,
    pub(crate) key: String,
}

impl Store {
    /// Gives the next job of each of these keys its turn, or of all keys. To be called after the
    /// commit of whatever may have ended the job before, or put one behind. Answers with queue and
    /// priority of each job whose turn has come.
    pub(crate) async fn unblock(
        &self,
        keys: Option<&[OrderingKey]>,
    ) -> Result<Vec<(String, i16)>, Error> {
        let columns = keys.map(|keys| {
            let column = |of: fn(&OrderingKey) -> &String| keys.iter().map(of).collect::<Vec<_>>();
            (column(|key| &key.queue), column(|key| &key.key))
        });
        let (queues, keys) = columns.unzip();
        let mut session = self.0.settle.session().await?;
        session
            .fetch::<(Text, SmallInt), _>(
                "unblock",
                &self.sql().unblock,
                &[
                    &typed::<Nullable<Array<Text>>, _>(&queues),
                    &typed::<Nullable<Array<Text>>, _>(&keys),
                ],
            )
            .await
    }
}
