//! User code under watch: its panics are caught, its time is limited, and it is told to stop before it is
//! cut off.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tracing::Instrument;

use crate::handler::{CancelReason, Context, IN_HANDLER, Panicked, StopSignal, panicked};

/// What user code may take, and who may stop it.
pub(super) struct Guard<'a> {
    signal: &'a StopSignal,
    cancel_grace: Duration,
    span: tracing::Span,
    deadline: Instant,
}

/// What came of user code.
pub(super) enum Guarded<T> {
    Returned(T),
    Panicked(Panicked),
    TimedOut,
    /// It did not stop by itself within the grace.
    Cut,
}

impl<'a> Guard<'a> {
    pub(super) fn new(signal: &'a StopSignal, cancel_grace: Duration, cx: &Context) -> Self {
        Self {
            signal,
            cancel_grace,
            span: cx.span().clone(),
            deadline: cx.deadline(),
        }
    }

    /// Runs user code to its end, and says when that was.
    pub(super) async fn run<T>(self, work: impl Future<Output = T>) -> (Guarded<T>, Instant) {
        let work = IN_HANDLER.scope((), work.instrument(self.span));
        let mut work = std::pin::pin!(AssertUnwindSafe(work).catch_unwind());
        // Work that ends without waiting needs neither a timer nor a token.
        let returned = tokio::select! {
            biased;
            returned = &mut work => returned,
            () = until(self.deadline) => {
                self.signal.stop(CancelReason::TimeLimit);
                return (Guarded::TimedOut, Instant::now());
            }
            () = self.signal.stopped() => {
                match tokio::time::timeout(self.cancel_grace, &mut work).await {
                    Ok(returned) => returned,
                    Err(_) => return (Guarded::Cut, Instant::now()),
                }
            }
        };
        let ended = Instant::now();
        // Work that watches the deadline itself may be a moment ahead of the timer here.
        if ended >= self.deadline {
            self.signal.stop(CancelReason::TimeLimit);
        }
        let guarded = match returned {
            Ok(value) => Guarded::Returned(value),
            Err(payload) => Guarded::Panicked(panicked(&*payload)),
        };
        (guarded, ended)
    }
}

async fn until(deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    tokio::time::sleep(left).await;
}
