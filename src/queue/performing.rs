//! One run of a handler: from the arguments as they are stored to an ending, whatever happens.
//!
//! It knows nothing of rows and leases, so tests run handlers with it too.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tracing::Instrument;

use crate::BoxError;
use crate::handler::{CancelReason, Context, Handler, IN_HANDLER, Panicked, StopSignal, panicked};
use crate::job::{Ending, Failure, FailureKind, Outcome, Stored};

/// A handler about to run.
pub(crate) struct Performing<'a> {
    pub(crate) handler: &'a Handler,
    pub(crate) stored: Stored<'a>,
    pub(crate) signal: &'a StopSignal,
    pub(crate) limit: Duration,
    pub(crate) cancel_grace: Duration,
}

/// What came of a handler's future.
enum Ran {
    Returned(Result<Outcome, BoxError>),
    Undecodable(Failure),
    Panicked(Panicked),
    TimedOut,
    /// It did not stop by itself within the grace.
    Cut,
}

impl Performing<'_> {
    /// Runs the handler.
    pub(crate) async fn run(self, cx: &mut Context) -> Result<Ending, Panicked> {
        let (signal, limit) = (self.signal, self.limit);
        let ran = self.perform(cx).await;
        ending(ran, signal.reason(), limit)
    }

    async fn perform(self, cx: &mut Context) -> Ran {
        let (span, deadline) = (cx.span().clone(), cx.deadline());
        // Decoding runs user code too (Deserialize, upcasters), so it is inside.
        let performing = async {
            match (self.handler.run)(cx, self.stored) {
                Ok(performed) => Ran::Returned(performed.await),
                Err(why) => {
                    Ran::Undecodable(Failure::new(FailureKind::Undecodable, &why.to_string()))
                }
            }
        };
        let performing = IN_HANDLER.scope((), performing.instrument(span));
        let mut performing = std::pin::pin!(AssertUnwindSafe(performing).catch_unwind());
        let returned = tokio::select! {
            biased;
            returned = &mut performing => returned,
            () = tokio::time::sleep(self.limit) => {
                self.signal.stop(CancelReason::TimeLimit);
                return Ran::TimedOut;
            }
            () = self.signal.token().cancelled() => {
                match tokio::time::timeout(self.cancel_grace, &mut performing).await {
                    Ok(returned) => returned,
                    Err(_) => return Ran::Cut,
                }
            }
        };
        // Work that watches the deadline itself may be a moment ahead of the timer here.
        if Instant::now() >= deadline {
            self.signal.stop(CancelReason::TimeLimit);
        }
        returned.unwrap_or_else(|payload| Ran::Panicked(panicked(&*payload)))
    }
}

fn cancelled(text: &str) -> Failure {
    Failure::new(FailureKind::Cancelled, text)
}

/// How the attempt ended.
fn ending(ran: Ran, reason: Option<CancelReason>, limit: Duration) -> Result<Ending, Panicked> {
    Ok(match ran {
        Ran::Returned(Ok(outcome)) => Ending::Decided(outcome),
        Ran::Returned(Err(error)) => stopped(reason, Failure::from_error(&*error)),
        Ran::Undecodable(failure) => Ending::Undecodable(failure),
        Ran::Panicked(panicked) => return Err(panicked),
        Ran::TimedOut => {
            let text = format!("took longer than its time limit of {limit:?}");
            Ending::Failed(Failure::new(FailureKind::TimedOut, &text))
        }
        Ran::Cut => stopped(
            reason,
            cancelled("did not stop within the grace and was cut off"),
        ),
    })
}

/// A failure, in the light of whether the handler was told to stop.
fn stopped(reason: Option<CancelReason>, failure: Failure) -> Ending {
    match reason {
        Some(CancelReason::Requested) => Ending::Cancelled(Failure {
            kind: FailureKind::Cancelled,
            ..failure
        }),
        Some(CancelReason::Shutdown) => Ending::Interrupted(Failure {
            kind: FailureKind::Interrupted,
            ..failure
        }),
        Some(CancelReason::TimeLimit) => Ending::Failed(Failure {
            kind: FailureKind::TimedOut,
            ..failure
        }),
        // A lost lease's answer is refused by the fence, whatever it says.
        _ => Ending::Failed(failure),
    }
}
