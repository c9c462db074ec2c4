//! One run of a handler: from the arguments as they are stored to an ending, whatever happens.
//!
//! It knows nothing of rows and leases, so tests run handlers with it too.

use std::time::{Duration, Instant};

use super::guard::{Guard, Guarded};
use crate::BoxError;
use crate::handler::{CancelReason, Context, Handler, Panicked, StopSignal, ended, stopped};
use crate::job::{Ending, Failure, FailureKind, Outcome, Stored};

/// A handler about to run.
pub(crate) struct Performing<'a> {
    pub(crate) handler: &'a Handler,
    pub(crate) stored: Stored<'a>,
    pub(crate) signal: &'a StopSignal,
    pub(crate) limit: Duration,
    pub(crate) cancel_grace: Duration,
}

impl Performing<'_> {
    /// Runs the handler, and says when it had ended.
    pub(crate) async fn run(self, cx: &mut Context) -> (Result<Ending, Panicked>, Instant) {
        let guard = Guard::new(self.signal, self.cancel_grace, cx);
        // Decoding runs user code too (Deserialize, upcasters), so it is inside.
        let performing = async {
            match (self.handler.run)(cx, self.stored) {
                Ok(performed) => Ok(performed.await),
                Err(why) => Err(Failure::new(FailureKind::Undecodable, &why.to_string())),
            }
        };
        let (ran, ended) = guard.run(performing).await;
        (ending(ran, self.signal.reason(), self.limit), ended)
    }
}

/// How the attempt ended.
fn ending(
    ran: Guarded<Result<Result<Outcome, BoxError>, Failure>>,
    reason: Option<CancelReason>,
    limit: Duration,
) -> Result<Ending, Panicked> {
    Ok(match ran {
        Guarded::Returned(Ok(said)) => ended(said, reason),
        Guarded::Returned(Err(undecodable)) => Ending::Undecodable(undecodable),
        Guarded::Panicked(panicked) => return Err(panicked),
        Guarded::TimedOut => Ending::Failed(timed_out(limit)),
        Guarded::Cut => stopped(reason, cut_off()),
    })
}

pub(super) fn timed_out(limit: Duration) -> Failure {
    let text = format!("took longer than its time limit of {limit:?}");
    Failure::new(FailureKind::TimedOut, &text)
}

pub(super) fn cut_off() -> Failure {
    let text = "did not stop within the grace and was cut off";
    Failure::new(FailureKind::Cancelled, text)
}
