//! What holds for every job of a kind unless an enqueue says otherwise.

use std::borrow::Cow;
use std::time::Duration;

use super::Backoff;

/// The queue of jobs that name none.
pub const DEFAULT_QUEUE: &str = "default";
/// The priority of jobs that name none. Lower numbers run first.
pub const DEFAULT_PRIORITY: i16 = 0;
/// How many attempts may fail before a job is buried, unless its kind or its enqueue says otherwise.
pub const DEFAULT_MAX_ATTEMPTS: u16 = 20;
/// The largest budget of attempts.
pub const MAX_MAX_ATTEMPTS: u16 = 1000;
/// How long an attempt may take, unless its kind or its enqueue says otherwise.
pub const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(5 * 60);

/// The longest wait, delay or time limit, about a hundred years. What lies beyond is a mistake, and
/// clocks and dates have their ends.
pub const MAX_WAIT: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// The defaults of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// The queue its jobs go to.
    pub queue: Cow<'static, str>,
    /// Its priority; lower numbers run first.
    pub priority: i16,
    /// How many attempts may fail before the job is buried.
    pub max_attempts: u16,
    /// How long one attempt may take.
    pub time_limit: Duration,
    /// How long a failed job waits.
    pub backoff: Backoff,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            queue: Cow::Borrowed(DEFAULT_QUEUE),
            priority: DEFAULT_PRIORITY,
            max_attempts: DEFAULT_MAX_ATTEMPTS,
            time_limit: DEFAULT_TIME_LIMIT,
            backoff: Backoff::default(),
        }
    }
}
