//! `cancel`, and questions.

use serde_json::Value;

use super::Client;
use crate::Error;
use crate::event::Event;
use crate::job::{JobId, Stored};
use crate::store::{
    Arguments, Cancelled, JobFilter, JobInfo, NodeInfo, Notice, QueueInfo, TurnAfter, WorkerInfo,
};

impl Client {
    /// Cancels a job, from any process. A waiting one is cancelled at once; an executing one is told,
    /// and ends as cancelled unless its handler completes it first.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`].
    pub async fn cancel(&self, id: JobId) -> Result<Cancelled, Error> {
        let found = self.0.store.cancel(&[id]).await?;
        let found = match found.into_iter().next() {
            None => Cancelled::NotFound,
            Some((_, false, ordering)) => {
                self.turn(TurnAfter::End, ordering);
                Cancelled::AtOnce
            }
            Some((_, true, _)) => {
                self.tell_now(Notice::Cancel(id)).await;
                Cancelled::Asked
            }
        };
        let bulletin = &self.0.bulletin;
        bulletin.say_if_heard(|| Event::Cancelled { job: id, found });
        Ok(found)
    }

    /// Where a job stands: unfinished, in the history, or dead. `None`: there is no such job, or its
    /// history was pruned.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`].
    pub async fn job(&self, id: JobId) -> Result<Option<JobInfo>, Error> {
        self.0.store.job(id).await
    }

    /// The unfinished jobs that `filter` names, at most `limit`, the oldest id first. It may read the
    /// whole table, so it is for people and tests and not for a hot path.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`].
    pub async fn jobs(&self, filter: JobFilter, limit: u32) -> Result<Vec<JobInfo>, Error> {
        self.0.store.jobs(&filter, limit).await
    }

    /// How the queues are: every one that has jobs or is served by a live node. It counts, so it is
    /// for people and not for a hot path.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`].
    pub async fn queues(&self) -> Result<Vec<QueueInfo>, Error> {
        self.0.store.queues().await
    }

    /// The nodes on the board's list, the oldest first: live ones, and those that died and whose jobs are
    /// being taken back. It counts what they execute, so it is for people and not for a hot path.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`].
    pub async fn nodes(&self) -> Result<Vec<NodeInfo>, Error> {
        self.0.store.nodes().await
    }

    /// The workers of all live nodes, as each has told last: up to five seconds ago, and when there was
    /// something new. The first thousand of a node. What a node does now, it knows itself:
    /// [`Board::workers`](crate::Board::workers); which jobs execute now is in their rows.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`].
    pub async fn workers(&self) -> Result<Vec<WorkerInfo>, Error> {
        self.0.store.workers().await
    }

    /// The arguments of a job as JSON, for people; read by the handler of its kind.
    ///
    /// # Errors
    ///
    /// [`Error::is_refused_call`] when this process has no handler for the kind, or the arguments do
    /// not decode.
    pub fn arguments(&self, kind: &str, arguments: &Arguments) -> Result<Value, Error> {
        self.read(kind, arguments.stored())
    }

    pub(crate) fn read(&self, kind: &str, stored: Stored<'_>) -> Result<Value, Error> {
        let Some(handler) = self.kind(kind) else {
            let text =
                format!("cannot read arguments of {kind:?}: no handler for it is registered here");
            return Err(Error::call(text));
        };
        let refused = |why| Error::call(format!("cannot read arguments of {kind:?}")).because(why);
        handler.to_json(stored).map_err(refused)
    }
}
