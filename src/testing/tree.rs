//! A supervision tree under test: [`TestTree`].

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ractor::ActorCell;

use super::tail::Tail;
use super::{DEFAULT_PATIENCE, Fault, NotInjected, Role};
use crate::supervision::{Crashed, Event, EventKind, Snapshot, SupervisorRef};

/// A supervision tree under test: crashes and kills its actors, and waits for their successors.
///
/// For an application's own actors under our supervisors, without a board; a
/// [`TestBoard`](super::TestBoard) has one of its own. It works with tokio's clock paused.
///
/// # Examples
///
/// ```
/// use callboard::supervision::{ChildSpec, Strategy, SupervisorSpec};
/// use callboard::testing::{Role, TestTree};
/// use ractor::{Actor, ActorProcessingErr, ActorRef};
///
/// #[derive(Clone)]
/// struct Cache;
///
/// #[ractor::actor(message = String)]
/// impl Cache {
///     async fn pre_start(&self, _: ActorRef<String>, (): ()) -> Result<(), ActorProcessingErr> {
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let root = SupervisorSpec::new(Strategy::OneForOne)
///     .child(ChildSpec::actor("cache", Cache, ()))
///     .spawn()
///     .await?;
/// let tree = TestTree::of(&root);
/// tree.crash(Role::at(["cache"])).await;
/// tree.restarted(Role::at(["cache"])).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TestTree {
    root: SupervisorRef,
    events: Tail<Event>,
    /// Up to which event each role's restarts were waited for.
    waited_for: Mutex<HashMap<Role, usize>>,
    pub(super) patience: Duration,
}

/// An actor that was found, and the ids that lead to it.
pub(super) struct Target {
    pub(super) path: Vec<String>,
    pub(super) actor: ActorCell,
}

impl TestTree {
    /// The tree of which `root` is the root; events count from now on.
    #[must_use]
    pub fn of(root: &SupervisorRef) -> Self {
        Self {
            root: root.clone(),
            events: Tail::of(|| root.events()),
            waited_for: Mutex::default(),
            patience: DEFAULT_PATIENCE,
        }
    }

    /// Lets waits take so long before the test fails (default [`DEFAULT_PATIENCE`]).
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Makes an actor panic at whatever await it is, and waits for its end.
    ///
    /// # Panics
    ///
    /// When there is no such actor, or it was not started by
    /// [`ChildSpec::actor`](crate::supervision::ChildSpec::actor).
    pub async fn crash(&self, role: Role) {
        let crashed = self.crash_if_any(&role).await;
        crashed.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Kills an actor at whatever await it is, and waits for its end.
    ///
    /// # Panics
    ///
    /// When there is no such actor.
    pub async fn kill(&self, role: Role) {
        let killed = self.kill_if_any(&role).await;
        killed.unwrap_or_else(|error| panic!("{error}"));
    }

    async fn crash_if_any(&self, role: &Role) -> Result<(), NotInjected> {
        let fault = || Fault::Crash(role.clone());
        let target = self.find(role, |_| false);
        let target = target.map_err(|why| NotInjected::new(fault(), why))?;
        let crashed = self.crash_target(&target).await;
        crashed.map_err(|why| NotInjected::new(fault(), why))
    }

    pub(super) async fn crash_target(&self, target: &Target) -> Result<(), String> {
        let path: Vec<&str> = target.path.iter().map(String::as_str).collect();
        match self.root.crash(&path) {
            Crashed::Yes => self.until_gone(target).await,
            Crashed::NotRunning => Err("it does not run at present".to_owned()),
            Crashed::NotBreakable => Err("it was started by a function of the application's \
                                          own; start it with ChildSpec::actor, or kill it"
                .to_owned()),
        }
    }

    pub(super) async fn kill_if_any(&self, role: &Role) -> Result<(), NotInjected> {
        let fault = || Fault::Kill(role.clone());
        let target = self.find(role, |_| false);
        let target = target.map_err(|why| NotInjected::new(fault(), why))?;
        self.kill_target(&target)
            .await
            .map_err(|why| NotInjected::new(fault(), why))
    }

    pub(super) async fn kill_target(&self, target: &Target) -> Result<(), String> {
        target.actor.kill();
        self.until_gone(target).await
    }

    /// The actor of a role; of several, one that is preferred.
    pub(super) fn find(
        &self,
        role: &Role,
        is_preferred: impl Fn(&Snapshot) -> bool,
    ) -> Result<Target, String> {
        let path = role.path();
        let tree = self.root.snapshot();
        let place = tree.find(&path).ok_or_else(|| nothing_at(&path, &tree))?;
        let found = if role.is_any_child() {
            let is_running = |child: &&Snapshot| child.info.actor.is_some();
            let mut running = place.children.iter().filter(is_running);
            let preferred = running.clone().find(|child| is_preferred(child));
            preferred.or_else(|| running.next())
        } else {
            Some(place)
        };
        let found = found.ok_or("none runs at present")?;
        let actor = found.info.actor.clone();
        Ok(Target {
            path: found.path.ids().map(str::to_owned).collect(),
            actor: actor.ok_or("it does not run at present")?,
        })
    }

    async fn until_gone(&self, target: &Target) -> Result<(), String> {
        let gone = target.actor.wait(Some(self.patience)).await;
        gone.map_err(|_| format!("it did not end within {:?}", self.patience))
    }

    /// Waits until an actor was restarted after it was last waited for (or after this was made), and
    /// runs.
    ///
    /// # Panics
    ///
    /// When it was not in time.
    pub async fn restarted(&self, role: Role) {
        let from = self.lock().get(&role).copied().unwrap_or_default();
        let mut growth = self.events.growth();
        let waiting = async {
            loop {
                if let Some(past) = self.restart_after(&role, from) {
                    return past;
                }
                if growth.changed().await.is_err() {
                    // The tree is gone for good, and the time limit tells.
                    std::future::pending::<()>().await;
                }
            }
        };
        let waited = tokio::time::timeout(self.patience, waiting).await;
        let past = waited.unwrap_or_else(|_| {
            let tree = self.root.snapshot();
            let place = tree.find(&role.path()).map(|place| &place.info);
            panic!(
                "waited {:?} in vain until {role} was restarted: it is {place:?}",
                self.patience
            )
        });
        self.lock().insert(role, past);
    }

    /// The place after the first restart of a role from a place in the events on.
    fn restart_after(&self, role: &Role, from: usize) -> Option<usize> {
        self.events.read(|events| {
            let is_restart = |kind: &EventKind| matches!(kind, EventKind::Restarted { .. });
            let mut later = events.iter().enumerate().skip(from);
            later
                .find(|(_, event)| is_restart(&event.kind) && role.is_at(&event.path))
                .map(|(place, _)| place + 1)
        })
    }

    /// Every event of the tree so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.events.read(<[_]>::to_vec)
    }

    pub(super) fn read_events<R>(&self, look: impl FnOnce(&[Event]) -> R) -> R {
        self.events.read(look)
    }

    pub(super) fn growth(&self) -> tokio::sync::watch::Receiver<()> {
        self.events.growth()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Role, usize>> {
        self.waited_for
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says how far a path leads, and what there is instead.
fn nothing_at(path: &[&str], tree: &Snapshot) -> String {
    let exists = |length: &usize| tree.find(&path[..*length]).is_some();
    let length = (0..path.len()).rev().find(exists).unwrap_or_default();
    let there = tree.find(&path[..length]).unwrap_or(tree);
    let known: Vec<&str> = there.children.iter().map(|child| &*child.info.id).collect();
    format!(
        "the tree has nothing at {:?}; the {} has the children {known:?}",
        path.join("/"),
        Role::of(&there.path)
    )
}
