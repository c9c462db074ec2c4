//! How a child ended: [`Exit`].
//!
//! Made from what ractor tells a supervisor. Two facts of ractor 0.16 shape it: a kill arrives as a
//! termination with the reason `"killed"`, so an actor that *stops* with that very reason counts as
//! killed; and a panic arrives as an untyped error holding its message, so it cannot be told from
//! a plain string returned as an error. Typed errors survive and can be downcast.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use ractor::ActorProcessingErr;

type SharedError = Arc<dyn Error + Send + Sync + 'static>;

/// What ractor says of an actor whose handler was cut off.
const KILLED: &str = "killed";
/// What ractor says of an actor whose task was aborted.
const TASK_CANCELLED: &str = "actor_task_cancelled";
/// The reason a supervisor gives when it stops a child.
pub(super) const SHUTDOWN: &str = "shutdown";

/// How a child ended.
#[derive(Clone)]
pub struct Exit(Cause);

#[derive(Clone)]
enum Cause {
    Stopped(Option<Arc<str>>),
    Killed(Arc<str>),
    Failed(SharedError),
    StartFailed(SharedError),
    Lost,
    Abandoned,
}

/// The kinds of [`Exit`]. Only [`Stopped`](Self::Stopped) is normal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExitKind {
    /// It stopped, for whatever reason it or another gave.
    Stopped,
    /// It was killed, or its task was aborted.
    Killed,
    /// It returned an error or panicked.
    Failed,
    /// It could not be started.
    StartFailed,
    /// It was gone before its supervisor could learn how; for example it failed just when its
    /// supervisor went to stop it because a sibling had failed.
    Lost,
    /// Its supervisor killed it and stopped waiting, since it did not let go: it blocks its thread.
    Abandoned,
}

impl ExitKind {
    /// The name of the kind in events and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Killed => "killed",
            Self::Failed => "failed",
            Self::StartFailed => "start failed",
            Self::Lost => "lost",
            Self::Abandoned => "abandoned",
        }
    }
}

impl Exit {
    /// The kind of end.
    #[must_use]
    pub const fn kind(&self) -> ExitKind {
        match self.0 {
            Cause::Stopped(_) => ExitKind::Stopped,
            Cause::Killed(_) => ExitKind::Killed,
            Cause::Failed(_) => ExitKind::Failed,
            Cause::StartFailed(_) => ExitKind::StartFailed,
            Cause::Lost => ExitKind::Lost,
            Cause::Abandoned => ExitKind::Abandoned,
        }
    }

    /// Says whether the child stopped, as opposed to any other end.
    #[must_use]
    pub const fn is_normal(&self) -> bool {
        matches!(self.0, Cause::Stopped(_))
    }

    /// The reason given with a stop or a kill.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match &self.0 {
            Cause::Stopped(reason) => reason.as_deref(),
            Cause::Killed(reason) => Some(reason),
            _ => None,
        }
    }

    /// The error the child returned, to be downcast; for a panic an error that displays its message.
    #[must_use]
    pub fn error(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Cause::Failed(error) | Cause::StartFailed(error) => Some(&**error),
            _ => None,
        }
    }

    pub(super) fn from_termination(reason: Option<String>) -> Self {
        match reason.as_deref() {
            Some(KILLED | TASK_CANCELLED) => Self(Cause::Killed(reason.unwrap_or_default().into())),
            _ => Self(Cause::Stopped(reason.map(Arc::from))),
        }
    }

    pub(super) fn from_failure(error: ActorProcessingErr) -> Self {
        Self(Cause::Failed(Arc::from(error)))
    }

    pub(super) fn from_failed_start(error: ActorProcessingErr) -> Self {
        Self(Cause::StartFailed(Arc::from(error)))
    }

    pub(super) fn shutdown() -> Self {
        Self(Cause::Stopped(Some(SHUTDOWN.into())))
    }

    pub(super) fn killed() -> Self {
        Self(Cause::Killed(KILLED.into()))
    }

    pub(super) const fn lost() -> Self {
        Self(Cause::Lost)
    }

    pub(super) const fn abandoned() -> Self {
        Self(Cause::Abandoned)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().as_str())?;
        match (self.error(), self.reason()) {
            (Some(error), _) => write!(f, ": {error}"),
            (None, Some(reason)) if self.is_normal() => write!(f, ": {reason}"),
            _ => Ok(()),
        }
    }
}

/// So that an exit can be the source of another error.
impl Error for Exit {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error()
    }
}

impl fmt::Debug for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exit({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_reads_as_a_sentence() {
        let exits = [
            Exit::from_termination(None),
            Exit::from_termination(Some("done".into())),
            Exit::from_termination(Some("killed".into())),
            Exit::from_failure("boom".into()),
            Exit::from_failed_start("no port".into()),
        ];
        assert_eq!(
            exits.map(|exit| exit.to_string()),
            [
                "stopped",
                "stopped: done",
                "killed",
                "failed: boom",
                "start failed: no port"
            ]
        );
    }

    #[test]
    fn a_typed_error_can_be_downcast() {
        let exit = Exit::from_failure(Box::new(std::fmt::Error));
        assert!(
            exit.error()
                .is_some_and(|error| error.is::<std::fmt::Error>())
        );
    }
}
