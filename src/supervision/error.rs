//! What can go wrong with a supervisor: [`SupervisorError`].
//!
//! Returned to clients, and returned by a supervisor from its own `handle` when it gives up, so that
//! the supervisor above it finds it in [`Exit::error`](super::Exit::error).

use std::time::Duration;

use ractor::{ActorProcessingErr, SpawnErr};

use super::Exit;

/// An error of a supervisor, or of a request to one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SupervisorError {
    /// A child could not be started: its start failed, panicked or was called off.
    #[error("child `{id}`: {exit}")]
    StartFailed {
        /// The child.
        id: String,
        /// Why it did not start; [`Exit::error`] is what the start returned.
        #[source]
        exit: Exit,
    },
    /// The supervisor gave up: a child asked for one restart more than the intensity allows.
    #[error(
        "child `{child}` needed more than {max_restarts} restarts within {within:?}; the last exit: {exit}"
    )]
    IntensityExceeded {
        /// The child that asked for the restart that was one too many.
        child: String,
        /// The number of restarts that were allowed, of all children together.
        max_restarts: u32,
        /// The period in which they were allowed.
        within: Duration,
        /// How the child ended at last.
        #[source]
        exit: Exit,
    },
    /// The id is taken by a child that is running, starting or waiting for its restart.
    #[error("child `{id}` is already started")]
    AlreadyStarted {
        /// The child.
        id: String,
    },
    /// The id is taken by a child that is not running: restart or delete it.
    #[error("child `{id}` is already present, but not running")]
    AlreadyPresent {
        /// The child.
        id: String,
    },
    /// No child has this id.
    #[error("no child has the id `{id}`")]
    UnknownChild {
        /// The id asked for.
        id: String,
    },
    /// The child is running or starting; it has to be terminated first.
    #[error("child `{id}` is running")]
    ChildRunning {
        /// The child.
        id: String,
    },
    /// The child waits for its restart; it has to be terminated first.
    #[error("child `{id}` is being restarted")]
    ChildRestarting {
        /// The child.
        id: String,
    },
    /// A dynamic supervisor has as many children as it may have.
    #[error("the supervisor has all the {max} children it may have")]
    MaxChildren {
        /// Its limit.
        max: u32,
    },
    /// A child specification contradicts itself or its supervisor.
    #[error("child `{id}` is specified wrongly: {reason}")]
    InvalidChild {
        /// The child.
        id: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The supervisor could not be spawned, for example since the actor to link to is stopping.
    #[error("the supervisor could not be spawned: {0}")]
    SpawnFailed(#[source] ActorProcessingErr),
    /// The supervisor is not running; it may be about to be restarted by the supervisor above it.
    #[error("the supervisor is not running")]
    NotRunning,
    /// The supervisor was asked to stop and is still stopping.
    #[error("the supervisor has not stopped within {within:?}")]
    StopTimedOut {
        /// How long it was waited for.
        within: Duration,
    },
}

impl From<SpawnErr> for SupervisorError {
    fn from(error: SpawnErr) -> Self {
        match cause(error).downcast::<Self>() {
            Ok(own) => *own,
            Err(other) => Self::SpawnFailed(other),
        }
    }
}

/// The error a start returned, without ractor's wrapping, which calls every error a panic.
pub(super) fn cause(error: SpawnErr) -> ActorProcessingErr {
    match error {
        SpawnErr::StartupFailed(inner) => inner,
        other => Box::new(other),
    }
}
