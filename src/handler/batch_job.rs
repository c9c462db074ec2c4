//! A job of which a worker runs many at once.

use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};

use super::{Batch, BatchContext, Context, Job};
use crate::BoxError;
use crate::job::{
    Backoff, DEFAULT_MAX_ATTEMPTS, DEFAULT_PRIORITY, DEFAULT_QUEUE, DEFAULT_TIME_LIMIT,
    InvalidKind, Outcome, Upcaster,
};

/// How many jobs a batch takes at most unless a kind says otherwise.
pub const DEFAULT_BATCH_SIZE: u32 = 100;
const MAX_BATCH_SIZE: u32 = 10_000;
const MAX_BATCH_WAIT: Duration = Duration::from_secs(60 * 60);

/// A kind of job of which a worker runs many at once: rows for one insert, events for one request.
///
/// It is a [`Job`] in every other way: it is registered with
/// [`Builder::job`](crate::board::Builder::job), enqueued, scheduled, retried and cancelled alone.
/// Each job of a batch keeps its own attempt and budget, and has an outcome of its own.
///
/// A worker takes the jobs of a batch out of what it has asked for, so a batch is never larger than the
/// queue's [`max_demand`](crate::Queue::max_demand), which is 1 unless configured: give such kinds a
/// queue with few workers and a `max_demand` of twice [`SIZE`](Self::SIZE). Other kinds in the same queue
/// run on while a batch gathers.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use callboard::{Batch, BatchContext, BatchJob, BoxError, Outcome, Queue};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct PageView {
///     path: String,
/// }
///
/// impl BatchJob for PageView {
///     const KIND: &'static str = "stats.page_view";
///     const QUEUE: &'static str = "stats";
///     const SIZE: u32 = 500;
///     const WAIT: Duration = Duration::from_millis(200);
///
///     async fn perform_batch(
///         batch: &mut Batch<Self>,
///         _cx: &mut BatchContext<'_>,
///     ) -> Result<Outcome, BoxError> {
///         for view in batch.iter_mut().filter(|view| view.path.is_empty()) {
///             view.answer(Outcome::Bury("a view of nothing".into()));
///         }
///         let paths: Vec<&str> = batch.iter().map(|view| view.path.as_str()).collect();
///         println!("one insert of {} rows", paths.len());
///         // For all that have no answer of their own.
///         Ok(Outcome::Done)
///     }
/// }
///
/// let stats = Queue::new("stats").workers(1).max_demand(1_000);
/// ```
pub trait BatchJob: Serialize + DeserializeOwned + Send + Sized + 'static {
    /// As [`Job::KIND`].
    const KIND: &'static str;
    /// As [`Job::ALIASES`].
    const ALIASES: &'static [&'static str] = &[];
    /// As [`Job::VERSION`].
    const VERSION: i32 = 1;
    /// As [`Job::QUEUE`].
    const QUEUE: &'static str = DEFAULT_QUEUE;
    /// As [`Job::PRIORITY`].
    const PRIORITY: i16 = DEFAULT_PRIORITY;
    /// As [`Job::MAX_ATTEMPTS`].
    const MAX_ATTEMPTS: u16 = DEFAULT_MAX_ATTEMPTS;
    /// How long a batch may take, unless one of its jobs was enqueued with a shorter limit.
    const TIME_LIMIT: Duration = DEFAULT_TIME_LIMIT;
    /// How many jobs a batch takes at most: 1 to 10,000.
    const SIZE: u32 = DEFAULT_BATCH_SIZE;
    /// How long a batch that is not full waits for more, counted from the claim of its first job: at
    /// most an hour. Zero, the default: it takes what the worker has in hand.
    ///
    /// It does not wait when nothing more can come, because the worker has all that it asked for.
    const WAIT: Duration = Duration::ZERO;

    /// As [`Job::backoff`].
    #[must_use]
    fn backoff() -> Backoff {
        Backoff::default()
    }

    /// As [`Job::ordering_key`]. Of a key, one job runs at a time, so a batch has one of each at most.
    #[must_use]
    fn ordering_key(&self) -> Option<String> {
        None
    }

    /// As [`Job::limit_key`].
    #[must_use]
    fn limit_key(&self) -> Option<String> {
        None
    }

    /// As [`Job::upcasters`].
    #[must_use]
    fn upcasters() -> Vec<Upcaster<Self>> {
        Vec::new()
    }

    /// Runs one attempt of each job of the batch.
    ///
    /// A job can be given an [answer of its own](super::Batched::answer), which counts from then on,
    /// whatever becomes of the batch. What is returned is the answer for all the others. A panic, a time
    /// limit or the death of the worker fails the attempts of all that are not answered.
    ///
    /// Jobs whose arguments do not decode are not among the batch: they are buried alone.
    ///
    /// # Errors
    ///
    /// An error is a failed attempt of every job without an answer of its own.
    fn perform_batch(
        batch: &mut Batch<Self>,
        cx: &mut BatchContext<'_>,
    ) -> impl Future<Output = Result<Outcome, BoxError>> + Send;
}

/// The handler of a batch, with its limits. An item of [`Job`] that nobody writes by hand.
#[doc(hidden)]
#[derive(Debug)]
pub struct Batching<J> {
    pub(super) limits: BatchLimits,
    pub(super) perform: PerformBatch<J>,
}

pub(super) type PerformBatch<J> = for<'a> fn(
    &'a mut Batch<J>,
    &'a mut BatchContext<'_>,
) -> BoxFuture<'a, Result<Outcome, BoxError>>;

/// How large a batch may grow, and how long it may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchLimits {
    pub(crate) size: u32,
    pub(crate) wait: Duration,
}

impl BatchLimits {
    /// Checks what the type system does not.
    pub(super) fn check(self, kind: &str) -> Result<(), InvalidKind> {
        if self.size == 0 || self.size > MAX_BATCH_SIZE {
            let size = self.size;
            return Err(InvalidKind::new(format!(
                "the kind {kind:?} has the batch SIZE {size}; expected 1 to {MAX_BATCH_SIZE}"
            )));
        }
        if self.wait > MAX_BATCH_WAIT {
            let wait = self.wait;
            return Err(InvalidKind::new(format!(
                "the kind {kind:?} has the batch WAIT {wait:?}; expected at most an hour"
            )));
        }
        Ok(())
    }
}

impl<J: BatchJob> Job for J {
    const KIND: &'static str = J::KIND;
    const ALIASES: &'static [&'static str] = J::ALIASES;
    const VERSION: i32 = J::VERSION;
    const QUEUE: &'static str = J::QUEUE;
    const PRIORITY: i16 = J::PRIORITY;
    const MAX_ATTEMPTS: u16 = J::MAX_ATTEMPTS;
    const TIME_LIMIT: Duration = J::TIME_LIMIT;

    fn backoff() -> Backoff {
        J::backoff()
    }

    fn ordering_key(&self) -> Option<String> {
        J::ordering_key(self)
    }

    fn limit_key(&self) -> Option<String> {
        J::limit_key(self)
    }

    fn upcasters() -> Vec<Upcaster<Self>> {
        J::upcasters()
    }

    /// Runs a batch of this one job.
    async fn perform(self, cx: &mut Context) -> Result<Outcome, BoxError> {
        let (mut batch, answered) = Batch::alone(self, cx);
        let said = J::perform_batch(&mut batch, &mut BatchContext::new(cx)).await;
        answered.or(said)
    }

    fn batching() -> Option<Batching<Self>> {
        Some(Batching {
            limits: BatchLimits {
                size: J::SIZE,
                wait: J::WAIT,
            },
            perform: |batch, cx| Box::pin(J::perform_batch(batch, cx)),
        })
    }
}
