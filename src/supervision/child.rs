//! A child as its supervisor keeps it: [`Child`] and the [`Phase`] of its life.
//!
//! ```text
//! Starting ─▶ Running ─▶ Stopped ─▶ Starting …          (one_for_one, no backoff)
//!                    ├─▶ BackingOff ─▶ Starting …
//!                    └─▶ [BackingOff ─▶] Waiting ─▶ Starting …   (restarted with siblings)
//! ```

use std::time::Duration;

use ractor::{ActorCell, RpcReplyPort};
use tokio::task::JoinHandle;

use super::child_spec::{ChildSpec, Start};
use super::node::Node;
use super::record::{Record, Started};
use super::start::StartTask;
use super::{Backoff, ChildInfo, ChildStatus, Exit, SupervisorError};

/// A child's place in the start order of its supervisor; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Seq(pub(super) u64);

/// Tells a start or timer from those before it, so that late messages can be ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(pub(super) u64);

/// A client's wish to be told the actor that a start brings about.
pub(super) type StartReply = RpcReplyPort<Result<ActorCell, SupervisorError>>;

/// Where a child is in its life.
#[derive(Debug)]
pub(super) enum Phase {
    /// A task starts it.
    Starting(StartTask),
    /// It runs.
    Running(ActorCell),
    /// A timer delays its restart.
    BackingOff(Timer),
    /// It is to be restarted with its siblings once its turn comes.
    Waiting,
    /// The supervisor is ending it.
    Stopping,
    /// It does not run and will not by itself.
    Stopped,
}

/// Why a child is being started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// It is new, or a client asked for it.
    Asked,
    /// It ended, or one of its siblings did.
    Restart,
}

/// What becomes of a child whose start, asked for by a client, fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailedStart {
    /// It was new and is forgotten.
    Forget,
    /// It stays as it was before: present, not running.
    Keep,
}

/// A pending restart. Dropping it cancels it.
#[derive(Debug)]
pub(super) struct Timer {
    pub(super) ticket: Ticket,
    pub(super) task: JoinHandle<()>,
}

#[derive(Debug)]
pub(super) struct Child {
    pub(super) spec: ChildSpec,
    pub(super) phase: Phase,
    pub(super) cause: Cause,
    pub(super) request: Option<(StartReply, FailedStart)>,
    pub(super) record: Record,
    failures: u32,
}

impl Child {
    pub(super) fn new(spec: ChildSpec, parent: &Node) -> Self {
        let path = parent.path.join(&spec.id);
        let nested = match &spec.start {
            Start::Function(_) => None,
            Start::Supervisor(blueprint) => Some(parent.branch(path.clone(), blueprint.kind())),
        };
        let info = ChildInfo {
            id: spec.id.clone(),
            role: spec.role.clone(),
            kind: spec.kind(),
            status: ChildStatus::Stopped,
            restarts: 0,
            actor: None,
            started_at: None,
            age: None,
            last_exit: None,
            detail: None,
        };
        let record = Record {
            info,
            started: None,
            path,
            nested,
            detail: spec.detail.clone(),
            #[cfg(feature = "testing")]
            switch: spec.switch.clone(),
        };
        let (phase, cause) = (Phase::Stopped, Cause::Asked);
        Self {
            spec,
            phase,
            cause,
            request: None,
            record,
            failures: 0,
        }
    }

    pub(super) fn id(&self) -> String {
        self.spec.id().to_owned()
    }

    pub(super) const fn status(&self) -> ChildStatus {
        match (&self.phase, self.cause) {
            (Phase::Starting(_), Cause::Asked) => ChildStatus::Starting,
            (Phase::Starting(_), Cause::Restart) => ChildStatus::Restarting,
            (Phase::Running(_), _) => ChildStatus::Running,
            (Phase::BackingOff(_) | Phase::Waiting, _) => ChildStatus::Restarting,
            (Phase::Stopping, _) => ChildStatus::Stopping,
            (Phase::Stopped, Cause::Asked) => ChildStatus::Stopped,
            (Phase::Stopped, Cause::Restart) => ChildStatus::Restarting,
        }
    }

    /// Moves on to `phase` and brings the record in line; returns the phase before.
    pub(super) fn enter(&mut self, phase: Phase) -> Phase {
        let before = std::mem::replace(&mut self.phase, phase);
        match &self.phase {
            Phase::Running(cell) => {
                self.record.info.actor = Some(cell.clone());
                self.record.started = Some(Started::now());
            }
            Phase::Stopping => {}
            _ => {
                self.record.info.actor = None;
                self.record.started = None;
            }
        }
        self.record.info.status = self.status();
        before
    }

    /// How long the child has run.
    pub(super) fn uptime(&self) -> Option<Duration> {
        self.record.started.map(|started| started.instant.elapsed())
    }

    /// Counts a failure in a row and returns the wait it calls for.
    pub(super) fn back_off(&mut self, uptime: Option<Duration>) -> Duration {
        let backoff: Backoff = self.spec.backoff;
        self.failures = backoff.count_failure(self.failures, uptime);
        backoff.delay(self.failures, fastrand::f64())
    }

    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Says whether siblings that wait for their turn have to wait for this child.
    pub(super) const fn is_ahead(&self) -> bool {
        matches!(self.phase, Phase::BackingOff(_))
            || matches!(
                (&self.phase, self.cause),
                (Phase::Starting(_), Cause::Restart)
            )
    }

    pub(super) const fn is_stopped(&self) -> bool {
        matches!(self.phase, Phase::Stopped)
    }

    pub(super) fn note_exit(&mut self, exit: &Exit) {
        self.record.info.last_exit = Some(exit.clone());
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
