//! The line between an attempt and those who may stop it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use crate::BoxError;
use crate::job::{Ending, Failure, FailureKind, Outcome};

/// Why a running attempt is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum CancelReason {
    /// Somebody asked for the job's cancellation.
    Requested = 1,
    /// The node lost the job: it was silent for too long, and others have taken it back.
    LeaseLost = 2,
    /// The node shuts down and its grace is over.
    Shutdown = 3,
    /// The attempt's time limit has passed.
    TimeLimit = 4,
}

/// The line between an attempt and those who may stop it.
///
/// The token is made when somebody waits for it or cancels it, which for most jobs nobody does. It is shared
/// and not cloned: its clones and their drops take a lock each.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopSignal(Arc<Signal>);

#[derive(Debug, Default)]
struct Signal {
    token: OnceLock<CancellationToken>,
    reason: AtomicU8,
}

impl CancelReason {
    fn of_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Requested),
            2 => Some(Self::LeaseLost),
            3 => Some(Self::Shutdown),
            4 => Some(Self::TimeLimit),
            _ => None,
        }
    }
}

impl StopSignal {
    /// Tells the attempt to stop; the first reason stands.
    pub(crate) fn stop(&self, reason: CancelReason) {
        let first = &self.0.reason;
        let stands = first.compare_exchange(0, reason as u8, Ordering::AcqRel, Ordering::Acquire);
        if stands.is_ok() {
            self.token().cancel();
        }
    }

    pub(crate) fn reason(&self) -> Option<CancelReason> {
        CancelReason::of_code(self.0.reason.load(Ordering::Acquire))
    }

    /// As [`stop`](Self::stop), for the number of a reason that another process has sent.
    #[cfg(unix)]
    pub(super) fn stop_for(&self, code: u8) {
        if let Some(reason) = CancelReason::of_code(code) {
            self.stop(reason);
        }
    }

    /// Waits until the attempt is told to stop.
    pub(crate) async fn stopped(&self) {
        self.token().cancelled().await;
    }

    pub(crate) fn token(&self) -> &CancellationToken {
        self.0.token.get_or_init(CancellationToken::new)
    }
}

/// A failure that was recorded where it happened, in another process.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct FailedElsewhere(pub(crate) Failure);

/// How an attempt ended whose handler said this, in the light of whether it was told to stop.
pub(crate) fn ended(said: Result<Outcome, BoxError>, reason: Option<CancelReason>) -> Ending {
    match said {
        Ok(outcome) => Ending::Decided(outcome),
        Err(error) => match error.downcast::<FailedElsewhere>() {
            Ok(failed) if failed.0.kind == FailureKind::Undecodable => {
                Ending::Undecodable(failed.0)
            }
            Ok(failed) => stopped(reason, failed.0),
            Err(error) => stopped(reason, Failure::from_error(&*error)),
        },
    }
}

/// A failure, in the light of whether the handler was told to stop.
pub(crate) fn stopped(reason: Option<CancelReason>, failure: Failure) -> Ending {
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
