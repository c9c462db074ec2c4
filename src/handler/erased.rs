//! What runs the jobs of one kind, whatever form the kind has.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;

#[cfg(unix)]
use super::isolation::Isolated;
use super::{BatchHandler, Context, Job};
use crate::BoxError;
use crate::job::{Breaker, Codec, DecodeError, Defaults, Kind, Outcome, Stored};

/// The end of an attempt as its handler tells it.
pub(crate) type Performed<'a> = BoxFuture<'a, Result<Outcome, BoxError>>;

pub(super) type Run =
    dyn for<'a> Fn(&'a mut Context, Stored<'_>) -> Result<Performed<'a>, DecodeError> + Send + Sync;

/// What runs the jobs of one kind.
#[derive(Clone)]
pub struct Handler {
    pub(crate) kind: Arc<Kind>,
    pub(crate) run: Arc<Run>,
    /// Many at once, if the kind is a [`BatchJob`](super::BatchJob).
    pub(crate) batch: Option<BatchHandler>,
    pub(crate) breaker: Option<Breaker>,
    /// How the application calls this code.
    pub(crate) code_version: Option<Cow<'static, str>>,
    /// What runs it in a process of its own, if it is isolated.
    #[cfg(unix)]
    pub(crate) isolated: Option<Isolated>,
    /// Where it was registered, for error messages.
    pub(crate) place: &'static Location<'static>,
}

impl Handler {
    /// The handler of a job type.
    #[must_use]
    #[track_caller]
    pub fn of<J: Job>() -> Self {
        let defaults = Defaults {
            queue: J::QUEUE.into(),
            priority: J::PRIORITY,
            max_attempts: J::MAX_ATTEMPTS,
            time_limit: J::TIME_LIMIT,
            backoff: J::backoff(),
        };
        let codec = Arc::new(Codec {
            version: J::VERSION,
            upcasters: J::upcasters(),
        });
        let kind = Kind::new(J::KIND, J::ALIASES, defaults, Arc::clone(&codec));
        let place = Location::caller();
        Self {
            kind: Arc::new(kind),
            batch: J::batching().map(|batching| BatchHandler::new(batching, Arc::clone(&codec))),
            breaker: J::breaker(),
            code_version: None,
            #[cfg(unix)]
            isolated: None,
            run: runner(codec, |cx, job: J| Box::pin(job.perform(cx))),
            place,
        }
    }

    /// The name of the kind whose jobs it runs.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind.name
    }

    /// Calls this code so, in [`Handlers::list`](crate::board::Handlers::list), [`Client::nodes`](crate::Client::nodes)
    /// and the log: a release, a commit. At most 100 bytes, no white space. It is for people alone, and says nothing
    /// of arguments; their version is [`Job::VERSION`].
    ///
    /// Without it: the newest version of arguments that it reads, and which swap of its board brought it (0: it was
    /// there from the start), as in `2.0`.
    #[must_use]
    pub fn code_version(mut self, version: impl Into<Cow<'static, str>>) -> Self {
        self.code_version = Some(version.into());
        self
    }

    /// Lets one attempt take this long, if neither the row nor the kind says otherwise.
    pub(crate) fn time_limit(&self, of_row: Option<Duration>) -> Duration {
        of_row.unwrap_or(self.kind.defaults.time_limit)
    }
}

/// What decodes a payload and runs it.
pub(super) fn runner<A, R>(codec: Arc<Codec<A>>, run: R) -> Arc<Run>
where
    A: DeserializeOwned + 'static,
    R: for<'a> Fn(&'a mut Context, A) -> Performed<'a> + Send + Sync + 'static,
{
    Arc::new(move |cx, stored| Ok(run(cx, codec.decode(stored)?)))
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler")
            .field("kind", &self.kind.name)
            .field("place", &self.place)
            .finish()
    }
}
