//! How a running child is ended: [`Shutdown`], and the one place that stops and kills.
//!
//! ractor kills the children of an actor that ends, so a supervisor must end its own children before
//! it ends itself, and does it here.

use std::time::Duration;

use ractor::{ActorCell, ActorStatus};

use super::Exit;
use super::exit::SHUTDOWN;

/// The time a child has to stop unless its specification says otherwise.
pub const DEFAULT_SHUTDOWN: Duration = Duration::from_secs(5);

/// How long a killed child is waited for. A kill takes effect at the child's next await; a child that
/// blocks its thread for longer is left behind, so that it cannot hold up the whole tree.
pub const KILL_GRACE: Duration = Duration::from_secs(1);

/// How a child is ended by its supervisor.
///
/// A child that is still starting is given the same time to finish its start, then it is stopped;
/// with [`Infinity`](Self::Infinity) its start is given [`DEFAULT_SHUTDOWN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shutdown {
    /// Asked to stop and killed if it has not stopped within this time. The default, with 5 s.
    Timeout(Duration),
    /// Killed without being asked; its `post_stop` does not run.
    BrutalKill,
    /// Asked to stop and waited for without limit. The default of supervisors.
    Infinity,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::Timeout(DEFAULT_SHUTDOWN)
    }
}

impl Shutdown {
    /// The time given to a start that is no longer wanted.
    pub(super) const fn start_limit(self) -> Duration {
        match self {
            Self::Timeout(limit) => limit,
            Self::BrutalKill => Duration::ZERO,
            Self::Infinity => DEFAULT_SHUTDOWN,
        }
    }

    /// What is left of it once `spent` has gone by.
    pub(super) const fn less(self, spent: Duration) -> Self {
        match self {
            Self::Timeout(limit) => Self::Timeout(limit.saturating_sub(spent)),
            other => other,
        }
    }
}

/// Ends `cell` and returns once it is gone, or once it was abandoned.
pub(super) async fn end(cell: &ActorCell, shutdown: Shutdown) -> Exit {
    if cell.get_status() == ActorStatus::Stopped {
        return Exit::lost();
    }
    let limit = match shutdown {
        Shutdown::BrutalKill => return kill(cell).await,
        Shutdown::Timeout(limit) => Some(limit),
        Shutdown::Infinity => None,
    };
    // Not `stop_and_wait`: it returns at once if somebody else asked the actor to stop before.
    cell.stop(Some(SHUTDOWN.into()));
    match cell.wait(limit).await {
        Ok(()) => Exit::shutdown(),
        Err(_) => kill(cell).await,
    }
}

async fn kill(cell: &ActorCell) -> Exit {
    cell.kill();
    match cell.wait(Some(KILL_GRACE)).await {
        Ok(()) => Exit::killed(),
        Err(_) => Exit::abandoned(),
    }
}
