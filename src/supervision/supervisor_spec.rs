//! What a supervisor is: [`SupervisorSpec`] and [`DynamicSupervisorSpec`].
//!
//! Two faces of one [`Blueprint`].

use ractor::ActorCell;

use super::blueprint::{Blueprint, Chosen, Membership};
use super::{AutoShutdown, ChildSpec, Events, Intensity, Strategy, SupervisorError, SupervisorRef};

/// The specification of a supervisor with a list of children, which are started in this order when
/// it starts.
///
/// By default it tolerates 3 restarts within 5 s and never stops by itself.
#[derive(Clone, Debug)]
#[must_use = "a specification does nothing until it is spawned"]
pub struct SupervisorSpec(Blueprint);

/// The specification of a supervisor that is given its children at run time.
///
/// Its children are independent of each other, so they are restarted one for one, ended all
/// at once when the supervisor ends, and forgotten when they do not run any more. By default it
/// tolerates 3 restarts within 5 s, of all children together, and any number of children.
#[derive(Clone, Debug)]
#[must_use = "a specification does nothing until it is spawned"]
pub struct DynamicSupervisorSpec(Blueprint);

impl SupervisorSpec {
    /// A supervisor without children yet.
    pub fn new(strategy: Strategy) -> Self {
        Self(Blueprint::new(Membership::Static, strategy))
    }

    /// Sets how many restarts of its children the supervisor tolerates before it gives up.
    pub fn intensity(mut self, intensity: Intensity) -> Self {
        self.0.intensity = intensity;
        self
    }

    /// Sets whether the supervisor stops when its significant children have ended.
    pub fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Self {
        self.0.auto_shutdown = auto_shutdown;
        self
    }

    /// Adds a child, to be started after those added before.
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.0.children.push(child);
        self
    }

    /// Lets `choose` say at every start, the first and those after a crash, which more children to start
    /// with, after the [fixed](Self::child) ones; as `init` does in OTP. What clients add and delete
    /// later is so kept across restarts, if `choose` knows of it. It must be quick and not block; a
    /// panic in it is a failed start.
    pub fn choose_children(
        mut self,
        choose: impl Fn() -> Vec<ChildSpec> + Send + Sync + 'static,
    ) -> Self {
        self.0.chosen = Some(Chosen::by(choose));
        self
    }

    /// Sets the stream that events of the tree go to; its own unless set. Only the root's counts.
    pub fn events(mut self, events: Events) -> Self {
        self.0.events = Some(events);
        self
    }

    /// Starts the supervisor and its children; returns when all have started.
    ///
    /// # Errors
    ///
    /// [`StartFailed`](SupervisorError::StartFailed) if a child does not start, after the children
    /// started before it were ended in reverse order;
    /// [`InvalidChild`](SupervisorError::InvalidChild) and
    /// [`AlreadyPresent`](SupervisorError::AlreadyPresent) (an id used twice) before anything starts.
    pub async fn spawn(self) -> Result<SupervisorRef, SupervisorError> {
        self.0.spawn(None).await
    }

    /// Like [`spawn`](Self::spawn), linked to an actor of the application, which is told when the
    /// supervisor ends and takes it along when it ends itself.
    ///
    /// To nest it in another supervisor use [`ChildSpec::supervisor`].
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn), and [`SpawnFailed`](SupervisorError::SpawnFailed) if `parent` is
    /// stopping.
    pub async fn spawn_linked(self, parent: ActorCell) -> Result<SupervisorRef, SupervisorError> {
        self.0.spawn(Some(parent)).await
    }

    pub(super) fn into_blueprint(self) -> Blueprint {
        self.0
    }
}

impl DynamicSupervisorSpec {
    /// A dynamic supervisor.
    pub fn new() -> Self {
        let membership = Membership::Dynamic {
            max_children: u32::MAX,
        };
        Self(Blueprint::new(membership, Strategy::OneForOne))
    }

    /// Sets how many restarts of its children the supervisor tolerates before it gives up.
    pub fn intensity(mut self, intensity: Intensity) -> Self {
        self.0.intensity = intensity;
        self
    }

    /// Tolerates so many restarts more, within the same period, for each child there is at the time (default
    /// 0): for children that come and go in numbers, such as the workers of a pool.
    pub fn restarts_per_child(mut self, restarts: u32) -> Self {
        self.0.restarts_per_child = restarts;
        self
    }

    /// Lets `choose` say at every start, the first and those after a crash, which children to begin
    /// with (default: none). It must be quick and not block; a panic in it is a failed start.
    pub fn choose_children(
        mut self,
        choose: impl Fn() -> Vec<ChildSpec> + Send + Sync + 'static,
    ) -> Self {
        self.0.chosen = Some(Chosen::by(choose));
        self
    }

    /// Sets how many children there may be at a time, those that start or are being restarted
    /// included. Zero refuses all.
    pub fn max_children(mut self, max_children: u32) -> Self {
        self.0.membership = Membership::Dynamic { max_children };
        self
    }

    /// Sets the stream that events of the tree go to; its own unless set. Only the root's counts.
    pub fn events(mut self, events: Events) -> Self {
        self.0.events = Some(events);
        self
    }

    /// Starts the supervisor.
    ///
    /// # Errors
    ///
    /// None that is expected.
    pub async fn spawn(self) -> Result<SupervisorRef, SupervisorError> {
        self.0.spawn(None).await
    }

    /// Like [`spawn`](Self::spawn), linked to an actor of the application, which is told when the
    /// supervisor ends and takes it along when it ends itself.
    ///
    /// To nest it in another supervisor use [`ChildSpec::dynamic_supervisor`].
    ///
    /// # Errors
    ///
    /// [`SpawnFailed`](SupervisorError::SpawnFailed) if `parent` is stopping.
    pub async fn spawn_linked(self, parent: ActorCell) -> Result<SupervisorRef, SupervisorError> {
        self.0.spawn(Some(parent)).await
    }

    pub(super) fn into_blueprint(self) -> Blueprint {
        self.0
    }
}

impl Default for DynamicSupervisorSpec {
    fn default() -> Self {
        Self::new()
    }
}
