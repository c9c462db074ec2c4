//! `unblock`: the next job of an ordering key has its turn.

use diesel::sql_types::{Array, Bool, Nullable, SmallInt, Text};

use super::Store;
use super::statement::typed;
use crate::Error;

/// Jobs of one queue with the same key run one at a time, in the order of their enqueue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct OrderingKey {
    pub(crate) queue: String,
    pub(crate) key: String,
}

/// Why the next job of a key may have its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TurnAfter {
    /// One was enqueued, perhaps behind another that has ended meanwhile.
    Enqueue,
    /// The one before it has ended, or may have.
    End,
}

impl Store {
    /// Gives the next job of each of these keys its turn. To be called after the commit of whatever may
    /// have ended the job before, or put one behind. Answers with queue and priority of each job that
    /// somebody has to be told of.
    pub(crate) async fn unblock(
        &self,
        keys: &[OrderingKey],
        after: TurnAfter,
    ) -> Result<Vec<(String, i16)>, Error> {
        let column = |of: fn(&OrderingKey) -> &String| keys.iter().map(of).collect::<Vec<_>>();
        let (queues, keys) = (column(|key| &key.queue), column(|key| &key.key));
        self.unblock_among(Some(queues), Some(keys), after).await
    }

    /// Gives the next job of every key its turn where somebody waits for it. Answers with queue and
    /// priority of each job whose turn has come.
    pub(crate) async fn unblock_all(&self) -> Result<Vec<(String, i16)>, Error> {
        self.unblock_among(None, None, TurnAfter::Enqueue).await
    }

    async fn unblock_among(
        &self,
        queues: Option<Vec<&String>>,
        keys: Option<Vec<&String>>,
        after: TurnAfter,
    ) -> Result<Vec<(String, i16)>, Error> {
        let mut session = self.0.settle.session().await?;
        session
            .fetch::<(Text, SmallInt), _>(
                "unblock",
                &self.sql().unblock,
                &[
                    &typed::<Nullable<Array<Text>>, _>(&queues),
                    &typed::<Nullable<Array<Text>>, _>(&keys),
                    &typed::<Bool, _>(&(after == TurnAfter::End)),
                ],
            )
            .await
    }
}
