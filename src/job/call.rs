//! A call written down: a kind, its arguments, and what this one enqueue says differently.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};

use super::{Backoff, EncodeError, Fingerprint, encode, fingerprint_of};

/// When a job may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Due {
    /// At once.
    #[default]
    Now,
    /// After this delay, counted by the database from the enqueue.
    After(Duration),
    /// At this time, or at once if it has passed.
    At(DateTime<Utc>),
}

/// A call to enqueue: what runs, with which arguments, and what this enqueue says differently
/// from the defaults of its kind.
///
/// Made by [`call!`](crate::call), by [`Job::call`](crate::Job::call), or by [`Call::named`] in a
/// process that knows only the name.
#[derive(Clone)]
#[must_use = "a call does nothing until a client enqueues it"]
pub struct Call {
    pub(crate) kind: Cow<'static, str>,
    pub(crate) version: i32,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) payload: Result<Vec<u8>, EncodeError>,
    pub(crate) queue: Option<Cow<'static, str>>,
    pub(crate) priority: Option<i16>,
    pub(crate) max_attempts: Option<u16>,
    pub(crate) time_limit: Option<Duration>,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) due: Due,
    pub(crate) ordering_key: Option<Cow<'static, str>>,
    pub(crate) limit_key: Option<Cow<'static, str>>,
    pub(crate) traceparent: Option<Cow<'static, str>>,
}

impl Call {
    /// A call by name, for a process that does not have the code that runs it.
    ///
    /// `arguments` is the tuple of a function's arguments or the fields of a job type; its shape
    /// must be the one that the handler expects, or the job is buried as undecodable.
    pub fn named<A>(kind: impl Into<Cow<'static, str>>, arguments: &A) -> Self
    where
        A: Serialize + DeserializeOwned + 'static,
    {
        Self {
            kind: kind.into(),
            version: 1,
            fingerprint: fingerprint_of::<A>(),
            payload: encode(arguments),
            queue: None,
            priority: None,
            max_attempts: None,
            time_limit: None,
            backoff: None,
            due: Due::Now,
            ordering_key: None,
            limit_key: None,
            traceparent: None,
        }
    }

    /// Says which version of the kind's arguments this is (default 1). One that the handler neither has nor
    /// can [upcast](crate::handler::FunctionHandler::upcast) is buried when it runs.
    pub fn version(mut self, version: i32) -> Self {
        self.version = version;
        self
    }

    /// Puts the job into this queue instead of its kind's: at most 100 bytes, no white space. Whether anybody
    /// serves it is not asked.
    pub fn queue(mut self, queue: impl Into<Cow<'static, str>>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Gives the job this priority; lower numbers run first (default 0, or its kind's).
    pub fn priority(mut self, priority: i16) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Lets this many attempts fail before the job is buried, 1 to
    /// [`MAX_MAX_ATTEMPTS`](super::MAX_MAX_ATTEMPTS) (default: what its kind says, and
    /// [`DEFAULT_MAX_ATTEMPTS`](super::DEFAULT_MAX_ATTEMPTS) if that says nothing).
    pub fn max_attempts(mut self, max_attempts: u16) -> Self {
        self.max_attempts = Some(max_attempts);
        self
    }

    /// Lets one attempt take this long: 1 ms to a hundred years, kept in milliseconds (default: what its kind
    /// says, and [`DEFAULT_TIME_LIMIT`](super::DEFAULT_TIME_LIMIT) if that says nothing).
    pub fn time_limit(mut self, time_limit: Duration) -> Self {
        self.time_limit = Some(time_limit);
        self
    }

    /// Waits like this after a failure (default: what its kind says, and an exponential [`Backoff`] if that says
    /// nothing).
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = Some(backoff);
        self
    }

    /// Runs the jobs of its queue that have this key one at a time, on whichever node, in the order of
    /// their enqueue; other keys run beside. At most 200 bytes, no white space.
    ///
    /// A job holds its key from its enqueue until it has ended. While it waits for its time, snoozes or
    /// waits for a retry, those behind it wait too, so give it a backoff and a budget that they can bear;
    /// once it is completed, cancelled or dead they go on. Priorities count between keys, not within
    /// one. A dead job that is requeued comes before those that still wait. Two enqueues whose
    /// transactions overlap have no order of their own. A handler whose node was taken for dead may
    /// still be running when its job and the next ones run elsewhere; its answer is refused.
    pub fn ordering_key(mut self, key: impl Into<Cow<'static, str>>) -> Self {
        self.ordering_key = Some(key.into());
        self
    }

    /// Says whose share of its queue's [`Limits`](super::Limits) the job takes: a tenant, an API. At most 200
    /// bytes, no white space. Without limits it changes nothing.
    pub fn limit_key(mut self, key: impl Into<Cow<'static, str>>) -> Self {
        self.limit_key = Some(key.into());
        self
    }

    /// Starts the job no earlier than after this delay, counted by the database's clock: up to a hundred years.
    pub fn run_in(mut self, delay: Duration) -> Self {
        self.due = Due::After(delay);
        self
    }

    /// Starts the job no earlier than at this time, by the database's clock: up to a hundred years from now. A
    /// time that is over means at once.
    pub fn run_at(mut self, at: DateTime<Utc>) -> Self {
        self.due = Due::At(at);
        self
    }

    /// Gives the job this trace context, instead of the one that the client's
    /// [hook](crate::Client::trace_context) tells: a `traceparent` of W3C, which
    /// [`is_traceparent`](super::is_traceparent). Its handler finds it in
    /// [`Context::traceparent`](crate::Context::traceparent).
    pub fn traceparent(mut self, traceparent: impl Into<Cow<'static, str>>) -> Self {
        self.traceparent = Some(traceparent.into());
        self
    }

    /// The name of what runs.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }
}

impl fmt::Debug for Call {
    // Arguments may hold secrets, so they stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.payload.as_ref().map(Vec::len);
        f.debug_struct("Call")
            .field("kind", &self.kind)
            .field("queue", &self.queue)
            .field("payload_bytes", &bytes)
            .field("due", &self.due)
            .finish_non_exhaustive()
    }
}
