//! Concurrent single enqueues become one statement while the last one is in flight.
//!
//! There is no timer: an enqueue that finds nothing in flight leaves at once. Each caller is answered
//! after the commit. What is lost if the flush is cut off, by the end of its runtime: nothing that
//! was acknowledged; the callers get an error.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::gather::Gather;
use crate::Error;
use crate::job::JobId;
use crate::store::{CallRow, Store};

/// How many enqueues one statement takes at most.
const BATCH: usize = 1_000;

#[derive(Debug)]
pub(super) struct Coalescer {
    store: Store,
    gather: Gather<Pending>,
}

#[derive(Debug)]
struct Pending {
    row: CallRow,
    answer: oneshot::Sender<Result<JobId, Error>>,
}

impl Coalescer {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            gather: Gather::new(),
        }
    }

    /// Enqueues a call, together with those that come meanwhile.
    pub(super) async fn enqueue(self: &Arc<Self>, row: CallRow) -> Result<JobId, Error> {
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
        match self.store.enqueue(&rows).await {
            Ok(ids) => {
                for (id, answer) in ids.into_iter().zip(answers) {
                    // A caller that went away does not want to know.
                    let _gone = answer.send(Ok(id));
                }
            }
            Err(error) if rows.len() == 1 || !error.is_database() => refuse(answers, &error),
            // Somebody's row was refused. It must not take the others along.
            Err(_) => self.insert_one_by_one(&rows, answers).await,
        }
    }

    async fn insert_one_by_one(
        &self,
        rows: &[CallRow],
        answers: Vec<oneshot::Sender<Result<JobId, Error>>>,
    ) {
        for (row, answer) in rows.iter().zip(answers) {
            let inserted = self.store.enqueue(std::slice::from_ref(row)).await;
            let _gone =
                answer.send(inserted.and_then(|ids| ids.first().copied().ok_or_else(no_id)));
        }
    }
}

fn refuse(answers: Vec<oneshot::Sender<Result<JobId, Error>>>, error: &Error) {
    for answer in answers {
        let _gone = answer.send(Err(error.again()));
    }
}

fn no_id() -> Error {
    Error::database("cannot enqueue: the database answered without an id")
}
