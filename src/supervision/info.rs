//! What can be known of children: [`ChildInfo`], [`ChildCounts`], and [`Snapshot`] of a whole tree.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ractor::ActorCell;

use super::{ChildPath, Detail, Exit};

/// What a child is to its supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChildKind {
    /// An actor of the application.
    Worker,
    /// A supervisor with a fixed list of children.
    Supervisor,
    /// A supervisor whose children come and go.
    DynamicSupervisor,
}

/// What a child is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChildStatus {
    /// Its start, the first or one asked for, is under way.
    Starting,
    /// It runs.
    Running,
    /// Its supervisor is ending it.
    Stopping,
    /// It ended and is to run again: it backs off, waits for its turn or is being started.
    Restarting,
    /// It does not run and will not by itself.
    Stopped,
}

impl ChildStatus {
    /// The name of the status in snapshots and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Restarting => "restarting",
            Self::Stopped => "stopped",
        }
    }
}

/// One child as its supervisor knows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChildInfo {
    /// Its id, unique in its supervisor. The root of a tree is called `root`.
    pub id: Arc<str>,
    /// What it is for: `worker` or `supervisor` unless its specification says otherwise.
    pub role: Arc<str>,
    /// What it is to its supervisor.
    pub kind: ChildKind,
    /// What it is doing.
    pub status: ChildStatus,
    /// How often it was restarted since its specification was added.
    pub restarts: u32,
    /// The actor that runs; `None` if none does.
    pub actor: Option<ActorCell>,
    /// When that actor was started.
    pub started_at: Option<SystemTime>,
    /// How long that actor has run.
    pub age: Option<Duration>,
    /// How the child ended the last time it did, or why it could not be started.
    pub last_exit: Option<Exit>,
    /// What it shows of itself, if its specification says how.
    pub detail: Option<Arc<dyn Detail>>,
}

impl ChildInfo {
    /// What the child shows of itself, if that is a `T`.
    #[must_use]
    pub fn detail_as<T: Any>(&self) -> Option<&T> {
        let detail: &dyn Any = self.detail.as_deref()?;
        detail.downcast_ref()
    }
}

/// How many children a supervisor has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildCounts {
    /// All children, running or not.
    pub specs: u32,
    /// Those that run.
    pub active: u32,
    /// Those that are supervisors, running or not.
    pub supervisors: u32,
    /// Those that are not, running or not.
    pub workers: u32,
}

/// A tree, or a branch of one, at an instant.
///
/// Each supervisor's children are consistent among themselves; two supervisors may be caught a
/// moment apart.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The ids from the root down to here.
    pub path: ChildPath,
    /// The child here, or the root.
    pub info: ChildInfo,
    /// Its children in start order, if it is a supervisor.
    pub children: Vec<Snapshot>,
}

impl Snapshot {
    /// Finds a descendant by the ids that lead to it from here.
    #[must_use]
    pub fn find(&self, ids: &[&str]) -> Option<&Self> {
        let Some((first, rest)) = ids.split_first() else {
            return Some(self);
        };
        self.children
            .iter()
            .find(|child| *child.info.id == **first)?
            .find(rest)
    }
}
