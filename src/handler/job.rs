//! A job as a type: its fields are its arguments.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use super::{Batching, Context};
use crate::BoxError;
use crate::job::{
    Backoff, Call, Codec, DEFAULT_MAX_ATTEMPTS, DEFAULT_PRIORITY, DEFAULT_QUEUE,
    DEFAULT_TIME_LIMIT, DecodeError, Outcome, Stored, Upcaster,
};

/// A kind of job whose arguments are the fields of a type.
///
/// # Examples
///
/// ```
/// use callboard::{BoxError, Context, Job, Outcome};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct SendWelcome {
///     user_id: i64,
/// }
///
/// impl Job for SendWelcome {
///     const KIND: &'static str = "mail.send_welcome";
///     const QUEUE: &'static str = "mail";
///
///     async fn perform(self, cx: &mut Context) -> Result<Outcome, BoxError> {
///         tracing::info!(user = self.user_id, attempt = %cx.attempt(), "welcome");
///         Ok(Outcome::Done)
///     }
/// }
/// ```
pub trait Job: Serialize + DeserializeOwned + Send + Sized + 'static {
    /// The stable name under which jobs of this type lie on the board. It survives renames of the
    /// type; at most 200 bytes, no white space.
    const KIND: &'static str;
    /// Older names of the kind, under which jobs may still lie on the board.
    const ALIASES: &'static [&'static str] = &[];
    /// The version of the arguments, from 1. Count it up when the fields change, and say in
    /// [`upcasters`](Self::upcasters) how the older ones are read.
    const VERSION: i32 = 1;
    /// The queue, unless an enqueue says otherwise.
    const QUEUE: &'static str = DEFAULT_QUEUE;
    /// The priority, unless an enqueue says otherwise; lower numbers run first.
    const PRIORITY: i16 = DEFAULT_PRIORITY;
    /// How many attempts may fail before the job is buried, unless an enqueue says otherwise.
    const MAX_ATTEMPTS: u16 = DEFAULT_MAX_ATTEMPTS;
    /// How long one attempt may take, unless an enqueue says otherwise.
    const TIME_LIMIT: Duration = DEFAULT_TIME_LIMIT;

    /// How long a failed job waits, unless an enqueue says otherwise.
    #[must_use]
    fn backoff() -> Backoff {
        Backoff::default()
    }

    /// Which jobs of the queue this one must not overtake nor run beside, unless an enqueue says
    /// otherwise; see [`Call::ordering_key`].
    #[must_use]
    fn ordering_key(&self) -> Option<String> {
        None
    }

    /// Whose share of its queue's [`Limits`](crate::job::Limits) the job takes, unless an enqueue says
    /// otherwise; see [`Call::limit_key`].
    #[must_use]
    fn limit_key(&self) -> Option<String> {
        None
    }

    /// How arguments of older versions become today's.
    #[must_use]
    fn upcasters() -> Vec<Upcaster<Self>> {
        Vec::new()
    }

    /// Runs one attempt.
    ///
    /// The future is dropped when the time limit has passed, or some time after a cancellation.
    /// Work that blocks a thread belongs into [`Context::spawn_blocking`].
    ///
    /// # Errors
    ///
    /// An error is a failed attempt: it is kept with the job, which is retried by its policy.
    fn perform(self, cx: &mut Context) -> impl Future<Output = Result<Outcome, BoxError>> + Send;

    /// How many run at once, if this is a [`BatchJob`](super::BatchJob): implement that instead.
    #[doc(hidden)]
    #[must_use]
    fn batching() -> Option<Batching<Self>> {
        None
    }

    /// This job as a call, to say what its enqueue does differently.
    fn call(&self) -> Call {
        let mut call = Call::named(Self::KIND, self).version(Self::VERSION);
        call.queue = Some(Self::QUEUE.into());
        call.priority = Some(Self::PRIORITY);
        call.ordering_key = self.ordering_key().map(Into::into);
        call.limit_key = self.limit_key().map(Into::into);
        call
    }
}

/// Reads a job's arguments as its handler does.
pub(crate) fn decode_job<J: Job>(stored: Stored<'_>) -> Result<J, DecodeError> {
    let codec = Codec {
        version: J::VERSION,
        upcasters: J::upcasters(),
    };
    codec.decode(stored)
}

impl<J: Job> From<J> for Call {
    fn from(job: J) -> Self {
        job.call()
    }
}
