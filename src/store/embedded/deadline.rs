//! The limit of a start: an instant, and a caller that may have gone away.

use std::sync::Weak;
use std::thread;
use std::time::{Duration, Instant};

use super::error::{EmbeddedError, Trouble};

/// How long one poll of a process or a file waits.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// When to give up, and for whom the work is done.
#[derive(Debug)]
pub(super) struct Deadline {
    at: Instant,
    limit: Duration,
    caller: Weak<()>,
}

impl Deadline {
    /// Ends after `limit`, or once nobody holds `caller` any more.
    pub(super) fn after(limit: Duration, caller: Weak<()>) -> Self {
        Self {
            at: Instant::now() + limit,
            limit,
            caller,
        }
    }

    /// Whether work that may as well be left undone should be.
    pub(super) fn is_over(&self) -> bool {
        self.caller.strong_count() == 0 || Instant::now() >= self.at
    }

    /// Sleeps one tick, unless the time is over or the caller gone; `log` gives the error its quotation.
    pub(super) fn tick(
        &self,
        doing: &str,
        log: impl FnOnce() -> Vec<String>,
    ) -> Result<(), EmbeddedError> {
        if self.caller.strong_count() == 0 {
            return Err(Trouble::Abandoned.into());
        }
        if Instant::now() >= self.at {
            return Err(Trouble::TimedOut {
                doing: doing.to_owned(),
                limit: self.limit,
                log: log(),
            }
            .into());
        }
        thread::sleep(TICK);
        Ok(())
    }
}

/// Polls until `is_done` or `limit` is over; says which.
pub(super) fn wait_until(limit: Duration, mut is_done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if is_done() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(TICK);
    }
}
