//! What happens in a supervision tree, as it happens: [`Event`].
//!
//! Every event is also a `tracing` event with the fields `path` and `actor`, `exit` and so on:
//! errors for a supervisor that gives up, warnings for failed starts and abnormal exits that count,
//! information for back-offs and shutdowns, and debug for what is in the nature of things.

use std::time::{Duration, SystemTime};

use ractor::ActorId;
use tracing::{debug, error, info, warn};

use super::{ChildPath, Exit};

/// Something that happened to a child, or to the root of a tree.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// The ids from the root down to the child concerned.
    pub path: ChildPath,
    /// When it happened.
    pub at: SystemTime,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// The child was started: for the first time, or at a client's request.
    Started {
        /// The actor that runs now.
        actor: ActorId,
    },
    /// The child could not be started. If this was a restart, it counts as another failure.
    StartFailed {
        /// Why, as an [`Exit`] of the kind [`StartFailed`](super::ExitKind::StartFailed).
        exit: Exit,
    },
    /// The child ended, by itself or because its supervisor ended it.
    Exited {
        /// The actor that ran.
        actor: ActorId,
        /// How it ended.
        exit: Exit,
        /// Whether it is restarted for free; see [`ChildSpec::uncounted`](super::ChildSpec::uncounted).
        is_uncounted: bool,
        /// Whether its supervisor killed it because its specification says so; see
        /// [`Shutdown::BrutalKill`](super::Shutdown::BrutalKill).
        is_brutal: bool,
    },
    /// The child will be restarted after a wait.
    BackingOff {
        /// The wait.
        delay: Duration,
        /// The failures in a row that led to it.
        failures: u32,
    },
    /// The child was restarted.
    Restarted {
        /// The actor that runs now.
        actor: ActorId,
        /// The restarts of this child so far, this one included.
        restarts: u32,
    },
    /// The supervisor at this path gave up and fails, after it has ended its children.
    GaveUp {
        /// The child that asked for one restart too many.
        child: String,
        /// The number of restarts that were allowed.
        max_restarts: u32,
        /// The period in which they were allowed.
        within: Duration,
    },
    /// The supervisor at this path stops by itself, since its significant children have ended.
    AutoShutdown {
        /// The last significant child to end.
        child: String,
    },
}

impl EventKind {
    /// Writes the event to the log of whoever listens to `tracing`.
    pub(super) fn trace(&self, path: &ChildPath) {
        match self {
            Self::Started { actor } => debug!(%path, %actor, "started"),
            Self::StartFailed { exit } => warn!(%path, %exit, "start failed"),
            Self::Exited {
                actor,
                exit,
                is_uncounted,
                is_brutal,
            } if exit.is_normal() || *is_uncounted || *is_brutal => {
                debug!(%path, %actor, %exit, "exited");
            }
            Self::Exited { actor, exit, .. } => warn!(%path, %actor, %exit, "exited abnormally"),
            Self::BackingOff { delay, failures } => info!(%path, ?delay, failures, "backing off"),
            Self::Restarted { actor, restarts } => debug!(%path, %actor, restarts, "restarted"),
            Self::GaveUp {
                child,
                max_restarts,
                within,
            } => {
                error!(%path, child, max_restarts, ?within, "gave up: restart intensity exceeded");
            }
            Self::AutoShutdown { child } => {
                info!(%path, child, "stopping: significant child ended")
            }
        }
    }
}
