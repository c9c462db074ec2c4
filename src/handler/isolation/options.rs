//! How the attempts of a kind are isolated.

use std::ffi::OsString;
use std::time::Duration;

use crate::Error;
use crate::job::MAX_WAIT;

/// How long an isolate without a job is kept unless configured.
pub const DEFAULT_IDLE_FOR: Duration = Duration::from_secs(60);
/// How long an isolate may take to be ready unless configured.
pub const DEFAULT_START_WITHIN: Duration = Duration::from_secs(10);
/// The smallest memory limit, in bytes: what an isolate needs for itself, and a little more.
pub const MIN_MEMORY_LIMIT: u64 = 32 * 1024 * 1024;

/// How the attempts of a kind are isolated; see [`isolation`](self::super).
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it isolates a handler by Handler::isolated"]
pub struct Isolation {
    pub(super) memory_limit: Option<u64>,
    pub(super) jobs_per_process: Option<u32>,
    pub(super) idle_for: Duration,
    pub(super) start_within: Duration,
    pub(super) arguments: Vec<OsString>,
}

impl Isolation {
    /// Isolation with no limit but the attempts' time limits.
    pub fn new() -> Self {
        Self {
            memory_limit: None,
            jobs_per_process: None,
            idle_for: DEFAULT_IDLE_FOR,
            start_within: DEFAULT_START_WITHIN,
            arguments: Vec::new(),
        }
    }

    /// Lets an isolate have this many bytes of memory of its own (default: no limit; at least
    /// [`MIN_MEMORY_LIMIT`]).
    ///
    /// It counts what is mapped writable and private, touched or not: the heap, and 2 MiB for the stack
    /// of each thread; not the program's code, nor files and memory that it shares. An isolate begins
    /// with some 5 MiB. Beyond the limit it gets no memory, which aborts nearly every program: that is
    /// the attempt's failure, and names the limit. Processes that the handler starts have the same limit
    /// each. Linux only: elsewhere a board with such a limit does not start.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// Ends an isolate after this many jobs (default: never; at least 1), against leaks that are small.
    /// With 1, each attempt has a fresh process, and waits for its start.
    pub fn jobs_per_process(mut self, jobs: u32) -> Self {
        self.jobs_per_process = Some(jobs);
        self
    }

    /// Keeps an isolate without a job for so long (default [`DEFAULT_IDLE_FOR`], at most a hundred years).
    /// Shorter gives memory back sooner, and the next job waits for a start; zero keeps none for longer
    /// than a second.
    pub fn idle_for(mut self, idle_for: Duration) -> Self {
        self.idle_for = idle_for;
        self
    }

    /// Lets an isolate take this long from its start until it is ready (default [`DEFAULT_START_WITHIN`],
    /// 10 ms to an hour). It counts into the time limit of the attempt that waits for it. Too short, and
    /// a busy machine runs no jobs of the kind.
    pub fn start_within(mut self, limit: Duration) -> Self {
        self.start_within = limit;
        self
    }

    /// Starts this program with these arguments (default: none), for programs that cannot call
    /// [`run_if_child`](super::run_if_child) before they look at them. In a test binary, name an ignored
    /// test that calls it: `["--exact", "isolate", "--ignored", "--nocapture"]`.
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.arguments = arguments.into_iter().map(Into::into).collect();
        self
    }

    pub(super) fn check(&self, kind: &str) -> Result<(), Error> {
        let refuse = |option: &str, value: String, expected: &str| {
            Err(Error::config(format!(
                "Isolation::{option} of the kind {kind:?} is {value}; expected {expected}"
            )))
        };
        if let Some(bytes) = self.memory_limit {
            if !cfg!(target_os = "linux") {
                return refuse("memory_limit", bytes.to_string(), "none on this system");
            }
            if bytes < MIN_MEMORY_LIMIT {
                let expected = format!("at least {MIN_MEMORY_LIMIT} bytes");
                return refuse("memory_limit", bytes.to_string(), &expected);
            }
        }
        if self.jobs_per_process == Some(0) {
            return refuse("jobs_per_process", "0".to_owned(), "at least 1");
        }
        if self.idle_for > MAX_WAIT {
            let value = format!("{:?}", self.idle_for);
            return refuse("idle_for", value, "at most a hundred years");
        }
        if self.start_within < Duration::from_millis(10)
            || self.start_within > Duration::from_secs(60 * 60)
        {
            let value = format!("{:?}", self.start_within);
            return refuse("start_within", value, "10ms to an hour");
        }
        Ok(())
    }
}

impl Default for Isolation {
    fn default() -> Self {
        Self::new()
    }
}
