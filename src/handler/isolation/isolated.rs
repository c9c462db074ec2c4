//! A handler that is isolated: what runs its attempts in the node, and what runs them in an isolate.

use std::fmt;
use std::sync::Arc;

use futures_util::future::try_join_all;
use serde::{Serialize, de::DeserializeOwned};

use super::frame::Attempt;
use super::shelf::Errand;
use super::{Isolation, Shelf};
use crate::Error;
use crate::handler::erased::Run;
use crate::handler::{Context, Function, FunctionHandler, Handler};
use crate::job::Stored;

/// What an isolated handler has beside its way through an isolate.
#[derive(Clone)]
pub(crate) struct Isolated {
    pub(crate) shelf: Shelf,
    /// What runs its attempts in an isolate.
    run: Arc<Run>,
}

impl Handler {
    /// Runs its attempts in processes of their own; see [`isolation`](crate::isolation).
    ///
    /// # Examples
    ///
    /// ```
    /// use callboard::isolation::Isolation;
    /// use callboard::{BoxError, Context, Handler, Job, Outcome};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Transcode { film: String }
    ///
    /// impl Job for Transcode {
    ///     const KIND: &'static str = "film.transcode";
    ///
    ///     async fn perform(self, _cx: &mut Context) -> Result<Outcome, BoxError> {
    ///         Ok(Outcome::Done)
    ///     }
    /// }
    ///
    /// let handler = Handler::of::<Transcode>().isolated(Isolation::new());
    /// ```
    #[must_use]
    pub fn isolated(mut self, isolation: Isolation) -> Self {
        let shelf = Shelf::new(&self.kind, isolation);
        let run = Arc::clone(self.own_run());
        self.run = elsewhere(shelf.clone());
        self.isolated = Some(Isolated { shelf, run });
        self
    }

    /// What runs an attempt in this process, whether the handler is isolated or not.
    pub(super) fn own_run(&self) -> &Arc<Run> {
        self.isolated
            .as_ref()
            .map_or(&self.run, |isolated| &isolated.run)
    }
}

impl<F, Shape, Arguments> FunctionHandler<F, Shape, Arguments>
where
    F: Function<Shape, Arguments>,
    Arguments: Serialize + DeserializeOwned + Send + 'static,
{
    /// Runs its attempts in processes of their own; see [`isolation`](crate::isolation).
    #[must_use]
    pub fn isolated(self, isolation: Isolation) -> Handler {
        Handler::from(self).isolated(isolation)
    }
}

/// What runs an attempt in an isolate. Its arguments are decoded there: that may run code that can crash too.
fn elsewhere(shelf: Shelf) -> Arc<Run> {
    Arc::new(move |cx, stored| {
        let errand = errand(cx, stored);
        Ok(Box::pin(shelf.clone().perform(errand)))
    })
}

fn errand(cx: &mut Context, stored: Stored<'_>) -> Errand {
    let facts = cx.facts();
    let attempt = Attempt {
        id: facts.id.as_i64(),
        attempt: facts.attempt.as_i32(),
        failures: facts.failures,
        max_attempts: facts.max_attempts,
        kind: cx.kind().to_owned(),
        queue: cx.queue().to_owned(),
        worker: cx.worker().to_owned(),
        enqueued_at: facts.enqueued_at.timestamp_micros(),
        time_left: cx.time_left(),
        node: cx.node().as_i64(),
        traceparent: facts.traceparent,
        schema: cx.client().schema().to_owned(),
        version: stored.version,
        fingerprint: stored.fingerprint.as_i64(),
        payload: stored.bytes.to_vec(),
    };
    Errand {
        attempt,
        deadline: cx.deadline(),
        signal: cx.signal().clone(),
        completed: cx.completed(),
    }
}

impl Isolated {
    /// Checks how these handlers are isolated.
    pub(crate) fn check(handlers: &[Handler]) -> Result<(), Error> {
        for handler in handlers {
            let Some(isolated) = &handler.isolated else {
                continue;
            };
            let kind = &handler.kind.name;
            isolated.shelf.isolation().check(kind)?;
            if handler.batch.is_some() {
                return Err(Error::config(format!(
                    "the kind {kind:?} is a BatchJob, registered as isolated at {}; batches cannot be \
                     isolated, make it a Job",
                    handler.place
                )));
            }
        }
        Ok(())
    }

    /// The shelves of those that are isolated.
    pub(crate) fn shelves(handlers: &[Handler]) -> Vec<Shelf> {
        let isolated = handlers
            .iter()
            .filter_map(|handler| handler.isolated.as_ref());
        isolated.map(|isolated| isolated.shelf.clone()).collect()
    }

    /// Starts an isolate for each, so that a program that cannot be isolated says so at its start.
    pub(crate) async fn prepare(shelves: &[Shelf]) -> Result<(), Error> {
        try_join_all(shelves.iter().map(Shelf::prepare)).await?;
        Ok(())
    }
}

impl fmt::Debug for Isolated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Isolated").field(&self.shelf).finish()
    }
}
