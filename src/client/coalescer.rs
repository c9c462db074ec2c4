//! Concurrent single enqueues become one statement while the last one is in flight.
//!
//! There is no timer: an enqueue that finds nothing in flight leaves at once. Each caller is answered
//! after the commit. What is lost if the flush is cut off, by the end of its runtime: nothing that
//! was acknowledged; the callers get an error.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::births::Births;
use super::gather::Gather;
use crate::Error;
use crate::job::JobId;
use crate::store::{CallRow, Store};

/// How many enqueues one statement takes at most.
const BATCH: usize = 1_000;

#[derive(Debug)]
pub(super) struct Coalescer {
    store: Store,
    births: Births,
    gather: Gather<Pending>,
}

#[derive(Debug)]
struct Pending {
    row: CallRow,
    answer: Answer,
}

type Answer = oneshot::Sender<Result<(JobId, Fate), Error>>;

/// What becomes of a job that was enqueued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It waits to be claimed.
    Waits,
    /// It was claimed at birth, and is in this node's hands.
    Claimed,
}

impl Coalescer {
    pub(super) fn new(store: Store, births: Births) -> Self {
        Self {
            store,
            births,
            gather: Gather::new(),
        }
    }

    /// Enqueues a call, together with those that come meanwhile.
    pub(super) async fn enqueue(self: &Arc<Self>, row: CallRow) -> Result<(JobId, Fate), Error> {
        let (answer, answered) = oneshot::channel();
        if let Some(mut flush) = self.gather.push(Pending { row, answer }) {
            let this = Arc::clone(self);
            tokio::spawn(async move {
                while let Some(batch) = flush.take(BATCH) {
                    this.insert(batch).await;
                }
            });
        }
        answered.await.unwrap_or_else(|_| {
            Err(Error::database(
                "cannot enqueue: the runtime that was to do it has ended",
            ))
        })
    }

    async fn insert(&self, batch: Vec<Pending>) {
        let (rows, answers): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|pending| (pending.row, pending.answer))
            .unzip();
        match self.write(rows).await {
            Ok(written) => {
                for (written, answer) in written.into_iter().zip(answers) {
                    // A caller that went away does not want to know.
                    let _gone = answer.send(Ok(written));
                }
            }
            Err((error, rows)) if rows.len() == 1 || !error.is_database() => {
                refuse(answers, &error);
            }
            // Somebody's row was refused. It must not take the others along.
            Err((_, rows)) => self.insert_one_by_one(&rows, answers).await,
        }
    }

    /// Writes the rows, for whoever waits for them here. If it fails they come back.
    async fn write(&self, rows: Vec<CallRow>) -> Result<Vec<(JobId, Fate)>, (Error, Vec<CallRow>)> {
        let written = self.births.enqueue(&self.store, rows).await?;
        let fate = |birth: Option<_>| match birth {
            Some(_) => Fate::Claimed,
            None => Fate::Waits,
        };
        let written = written.rows.iter();
        Ok(written.map(|row| (row.id, fate(row.birth))).collect())
    }

    async fn insert_one_by_one(&self, rows: &[CallRow], answers: Vec<Answer>) {
        for (row, answer) in rows.iter().zip(answers) {
            let inserted = self.store.enqueue(std::slice::from_ref(row)).await;
            let id = inserted.and_then(|ids| ids.first().copied().ok_or_else(no_id));
            let _gone = answer.send(id.map(|id| (id, Fate::Waits)));
        }
    }
}

fn refuse(answers: Vec<Answer>, error: &Error) {
    for answer in answers {
        let _gone = answer.send(Err(error.again()));
    }
}

fn no_id() -> Error {
    Error::database("cannot enqueue: the database answered without an id")
}
