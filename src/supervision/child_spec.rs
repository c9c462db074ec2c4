//! What a supervisor must know of a child: [`ChildSpec`].
//!
//! Cheap to clone: the start function is shared. The start function and the `uncounted` predicate
//! are the only code of the application that a supervisor runs, and a panic in either is caught.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;

use ractor::{Actor, ActorCell, SpawnErr};

use super::blueprint::Blueprint;
use super::detail::{Detail, ReadDetail};
use super::{
    AutoShutdown, Backoff, ChildKind, DynamicSupervisorSpec, Exit, Restart, Shutdown,
    SupervisorError, SupervisorSpec,
};

type StartFuture = Pin<Box<dyn Future<Output = Result<ActorCell, SpawnErr>> + Send>>;
type StartFn = Arc<dyn Fn(ActorCell) -> StartFuture + Send + Sync>;
type ExitPredicate = Arc<dyn Fn(&Exit) -> bool + Send + Sync>;

/// How a child is started.
#[derive(Clone)]
pub(super) enum Start {
    /// By a function of the application.
    Function(StartFn),
    /// As a supervisor in the same tree.
    Supervisor(Arc<Blueprint>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Significance {
    Ordinary,
    Significant,
}

/// The specification of one child.
///
/// By default a child is [permanent](Restart::Permanent), has 5 s to stop (a supervisor: as long as
/// it takes), is restarted without backoff, is not significant and has the role `worker` (or
/// `supervisor`).
///
/// # Examples
///
/// ```
/// # use ractor::{Actor, ActorCell, ActorRef, ActorProcessingErr};
///
/// use std::time::Duration;
/// use callboard::supervision::{Backoff, ChildSpec, Restart, Shutdown};
///
/// struct Mailer;
///
/// #[ractor::actor(message = String)]
/// impl Mailer {
///     async fn pre_start(&self, _: ActorRef<String>, (): ()) -> Result<(), ActorProcessingErr> {
///         Ok(())
///     }
/// }
///
/// let spec = ChildSpec::new("mailer", |supervisor: ActorCell| async move {
///     let (mailer, _) = Actor::spawn_linked(None, Mailer, (), supervisor).await?;
///     Ok(mailer.get_cell())
/// })
/// .restart(Restart::Transient)
/// .shutdown(Shutdown::Timeout(Duration::from_secs(30)))
/// .backoff(Backoff::exponential(Duration::from_millis(100), Duration::from_secs(10)));
/// assert_eq!(spec.id(), "mailer");
/// ```
#[derive(Clone)]
#[must_use = "a specification does nothing until a supervisor has it"]
pub struct ChildSpec {
    pub(super) id: Arc<str>,
    pub(super) role: Arc<str>,
    pub(super) start: Start,
    pub(super) restart: Restart,
    pub(super) shutdown: Shutdown,
    pub(super) backoff: Backoff,
    significance: Significance,
    uncounted: Option<ExitPredicate>,
    pub(super) detail: Option<ReadDetail>,
    /// Nobody reads it: what matters is when it is dropped.
    _kept: Option<Arc<dyn Any + Send + Sync>>,
    #[cfg(feature = "testing")]
    pub(super) switch: Option<super::fault::Switch>,
}

impl ChildSpec {
    /// A child started by `start`, which spawns an actor linked to the supervisor it is given.
    ///
    /// The function runs in a task of its own, so a slow one holds up nobody, and a panic in it is a
    /// failed start. It must spawn last: if it awaits anything afterwards and the start is called
    /// off meanwhile, the actor it spawned lives on, linked, until the supervisor ends. An actor
    /// that it did not link is linked for it.
    pub fn new<F, Fut>(id: impl Into<String>, start: F) -> Self
    where
        F: Fn(ActorCell) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<ActorCell, SpawnErr>> + Send + 'static,
    {
        let start: StartFn = Arc::new(move |supervisor| Box::pin(start(supervisor)));
        Self::with_start(
            id.into(),
            "worker",
            Start::Function(start),
            Shutdown::default(),
        )
    }

    /// An actor as a child, without a global name. It is started from clones of `actor` and
    /// `arguments` each time, so what a crash must not take along belongs into an `Arc` there.
    pub fn actor<A>(id: impl Into<String>, actor: A, arguments: A::Arguments) -> Self
    where
        A: Actor + Clone + Sync,
        A::Arguments: Clone + Sync,
    {
        #[cfg(feature = "testing")]
        let switch = super::fault::Switch::default();
        #[cfg(feature = "testing")]
        let actor = super::fault::Breakable {
            actor,
            switch: switch.clone(),
        };
        let start = move |supervisor: ActorCell| {
            let (actor, arguments) = (actor.clone(), arguments.clone());
            async move {
                let (started, _) = Actor::spawn_linked(None, actor, arguments, supervisor).await?;
                Ok(started.get_cell())
            }
        };
        let spec = Self::new(id, start);
        #[cfg(feature = "testing")]
        let spec = Self {
            switch: Some(switch),
            ..spec
        };
        spec
    }

    /// A supervisor as a child; events and snapshots of the tree include it.
    pub fn supervisor(id: impl Into<String>, spec: SupervisorSpec) -> Self {
        Self::with_blueprint(id.into(), spec.into_blueprint())
    }

    /// A dynamic supervisor as a child; events and snapshots of the tree include it.
    pub fn dynamic_supervisor(id: impl Into<String>, spec: DynamicSupervisorSpec) -> Self {
        Self::with_blueprint(id.into(), spec.into_blueprint())
    }

    fn with_blueprint(id: String, blueprint: Blueprint) -> Self {
        let start = Start::Supervisor(Arc::new(blueprint));
        Self::with_start(id, "supervisor", start, Shutdown::Infinity)
    }

    fn with_start(id: String, role: &str, start: Start, shutdown: Shutdown) -> Self {
        Self {
            id: id.into(),
            role: role.into(),
            start,
            restart: Restart::default(),
            shutdown,
            backoff: Backoff::none(),
            significance: Significance::Ordinary,
            uncounted: None,
            detail: None,
            _kept: None,
            #[cfg(feature = "testing")]
            switch: None,
        }
    }

    /// Sets whether the child is started again once it has ended.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// Sets how the child is ended.
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// Sets the wait before restarts. It counts failures in a row and does not replace the
    /// supervisor's intensity, which every restart is charged to.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Makes the child one whose end may stop the supervisor; see [`AutoShutdown`]. It must not be
    /// permanent.
    pub fn significant(mut self) -> Self {
        self.significance = Significance::Significant;
        self
    }

    /// Sets what the child is for, as snapshots show it.
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.role = role.into().into();
        self
    }

    /// Sets what the child shows of itself in snapshots. `read` runs for each of them, in whoever takes
    /// it, so it must be quick and ask nobody; a panic in it is the snapshot taker's.
    pub fn detail<D: Detail>(mut self, read: impl Fn() -> D + Send + Sync + 'static) -> Self {
        self.detail = Some(Arc::new(move || Arc::new(read())));
        self
    }

    /// Exits for which `predicate` is true restart the child at once and for free: no backoff, and
    /// nothing charged to the intensity. Whether the child is restarted at all is still up to its
    /// [`Restart`].
    ///
    /// Meant for exits that are the application's way of working, such as a worker that dies with
    /// its job. There is no other brake: a child that fails so right after every start spins. Failed
    /// starts are always counted, and so are exits for which the predicate panics.
    pub fn uncounted(mut self, predicate: impl Fn(&Exit) -> bool + Send + Sync + 'static) -> Self {
        self.uncounted = Some(Arc::new(predicate));
        self
    }

    /// Keeps this as long as a supervisor keeps the specification: its drop tells that the child is over.
    pub(crate) fn keep(mut self, kept: Arc<dyn Any + Send + Sync>) -> Self {
        self._kept = Some(kept);
        self
    }

    pub(crate) fn restarts(&self) -> Restart {
        self.restart
    }

    /// The id, unique among the children of a supervisor.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn is_significant(&self) -> bool {
        self.significance == Significance::Significant
    }

    pub(super) fn kind(&self) -> ChildKind {
        match &self.start {
            Start::Function(_) => ChildKind::Worker,
            Start::Supervisor(blueprint) => blueprint.kind(),
        }
    }

    pub(super) fn is_uncounted(&self, exit: &Exit) -> bool {
        let Some(predicate) = &self.uncounted else {
            return false;
        };
        catch_unwind(AssertUnwindSafe(|| predicate(exit))).unwrap_or(false)
    }

    /// Checks the specification against the supervisor that is to have it.
    pub(super) fn check(&self, auto_shutdown: AutoShutdown) -> Result<(), SupervisorError> {
        let invalid = |reason| {
            Err(SupervisorError::InvalidChild {
                id: self.id.to_string(),
                reason,
            })
        };
        match (self.significance, self.restart, auto_shutdown) {
            (Significance::Ordinary, _, _) => Ok(()),
            (_, Restart::Permanent, _) => invalid("a significant child must not be permanent"),
            (_, _, AutoShutdown::Never) => {
                invalid("a significant child needs a supervisor with automatic shutdown")
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("id", &self.id)
            .field("role", &self.role)
            .field("restart", &self.restart)
            .field("shutdown", &self.shutdown)
            .field("backoff", &self.backoff)
            .field("significance", &self.significance)
            .finish_non_exhaustive()
    }
}
