//! A client's hold on a supervisor: [`SupervisorRef`].
//!
//! It names a place in a tree, not an actor: every call goes to the supervisor that is there at the
//! time of the call.

use std::sync::Arc;
use std::time::Duration;

use ractor::rpc::CallResult;
use ractor::{ActorCell, ActorRef, RpcReplyPort};

use super::node::Node;
use super::supervisor::SupervisorMessage;
use super::{ChildCounts, ChildInfo, ChildSpec, Snapshot, Subscription, SupervisorError};

/// A reference to a supervisor, static or dynamic, the root of a tree or nested in one.
///
/// A reference to a nested supervisor stays good when that supervisor is restarted. Requests have no
/// timeout of their own: a supervisor that is ending a child answers when that child is gone. Wrap
/// them in [`tokio::time::timeout`] if need be; a request given up is carried out nevertheless and
/// does the supervisor no harm. A child must not wait for a request that ends itself: it would not
/// stop and be killed. Dropping the reference does not stop the supervisor.
#[derive(Clone, Debug)]
pub struct SupervisorRef {
    node: Arc<Node>,
    first_known: ActorRef<SupervisorMessage>,
}

impl SupervisorRef {
    pub(super) const fn new(node: Arc<Node>, first_known: ActorRef<SupervisorMessage>) -> Self {
        Self { node, first_known }
    }

    /// The actor that is the supervisor at present, or was when it ran last.
    #[must_use]
    pub fn cell(&self) -> ActorCell {
        self.actor().get_cell()
    }

    fn actor(&self) -> ActorRef<SupervisorMessage> {
        self.node
            .supervisor()
            .unwrap_or_else(|| self.first_known.clone())
    }

    /// Adds a child after all others and returns once it has started.
    ///
    /// # Errors
    ///
    /// [`StartFailed`](SupervisorError::StartFailed): the child was not added.
    /// [`AlreadyStarted`](SupervisorError::AlreadyStarted) and
    /// [`AlreadyPresent`](SupervisorError::AlreadyPresent): its id is taken.
    /// [`MaxChildren`](SupervisorError::MaxChildren),
    /// [`InvalidChild`](SupervisorError::InvalidChild), [`NotRunning`](SupervisorError::NotRunning).
    pub async fn start_child(&self, spec: ChildSpec) -> Result<ActorCell, SupervisorError> {
        let spec = Box::new(spec);
        self.ask(|reply| SupervisorMessage::StartChild(spec, reply))
            .await
    }

    /// Ends a child as its specification says, and returns once it is gone.
    ///
    /// A child that is not running stays so; one that was about to be restarted is not. The
    /// specification is kept, for [`restart_child`](Self::restart_child), unless the child is
    /// temporary or the supervisor dynamic.
    ///
    /// # Errors
    ///
    /// [`UnknownChild`](SupervisorError::UnknownChild), [`NotRunning`](SupervisorError::NotRunning).
    pub async fn terminate_child(&self, id: impl Into<String>) -> Result<(), SupervisorError> {
        let id = id.into();
        self.ask(|reply| SupervisorMessage::TerminateChild(id, reply))
            .await
    }

    /// Starts a child that was terminated or ended for good, and returns once it has started.
    ///
    /// # Errors
    ///
    /// [`StartFailed`](SupervisorError::StartFailed): the child stays stopped.
    /// [`ChildRunning`](SupervisorError::ChildRunning),
    /// [`ChildRestarting`](SupervisorError::ChildRestarting),
    /// [`UnknownChild`](SupervisorError::UnknownChild), [`NotRunning`](SupervisorError::NotRunning).
    pub async fn restart_child(&self, id: impl Into<String>) -> Result<ActorCell, SupervisorError> {
        let id = id.into();
        self.ask(|reply| SupervisorMessage::RestartChild(id, reply))
            .await
    }

    /// Forgets a child that does not run.
    ///
    /// # Errors
    ///
    /// [`ChildRunning`](SupervisorError::ChildRunning),
    /// [`ChildRestarting`](SupervisorError::ChildRestarting),
    /// [`UnknownChild`](SupervisorError::UnknownChild), [`NotRunning`](SupervisorError::NotRunning).
    pub async fn delete_child(&self, id: impl Into<String>) -> Result<(), SupervisorError> {
        let id = id.into();
        self.ask(|reply| SupervisorMessage::DeleteChild(id, reply))
            .await
    }

    /// The children in start order.
    ///
    /// # Errors
    ///
    /// [`NotRunning`](SupervisorError::NotRunning).
    pub async fn which_children(&self) -> Result<Vec<ChildInfo>, SupervisorError> {
        self.ask(SupervisorMessage::GetChildren).await
    }

    /// The number of children.
    ///
    /// # Errors
    ///
    /// [`NotRunning`](SupervisorError::NotRunning).
    pub async fn count_children(&self) -> Result<ChildCounts, SupervisorError> {
        self.ask(SupervisorMessage::GetCounts).await
    }

    /// The child with this id, if it is a supervisor that has run. Asks no actor.
    #[must_use]
    pub fn child(&self, id: &str) -> Option<Self> {
        let node = self.node.nested(id)?;
        let actor = node.supervisor()?;
        Some(Self::new(node, actor))
    }

    /// The tree from here on. Asks no actor, so it works while supervisors are busy or stuck.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.node.snapshot()
    }

    /// Follows the events of the whole tree, the parts above and beside this supervisor included,
    /// from now on.
    #[must_use]
    pub fn events(&self) -> Subscription {
        self.node.events().subscribe()
    }

    /// Asks the supervisor to stop: it ends its children, then itself.
    ///
    /// For a supervisor above it this is a normal end; a permanent child is restarted.
    pub fn stop(&self, reason: impl Into<String>) {
        self.actor().stop(Some(reason.into()));
    }

    /// Asks the supervisor to stop and waits for it, forever if there is no limit.
    ///
    /// # Errors
    ///
    /// [`StopTimedOut`](SupervisorError::StopTimedOut): it is still stopping, and goes on.
    pub async fn stop_and_wait(
        &self,
        reason: impl Into<String>,
        limit: Option<Duration>,
    ) -> Result<(), SupervisorError> {
        let actor = self.actor();
        actor.stop(Some(reason.into()));
        let within = limit.unwrap_or_default();
        let stopped = actor.wait(limit).await;
        stopped.map_err(|_| SupervisorError::StopTimedOut { within })
    }

    /// What makes the actor panic that these ids lead to.
    #[cfg(feature = "testing")]
    pub(super) fn switch(&self, ids: &[&str]) -> Option<super::fault::Switch> {
        let Some((last, above)) = ids.split_last() else {
            return Some(self.node.switch.clone());
        };
        let mut node = Arc::clone(&self.node);
        for id in above {
            node = node.nested(id)?;
        }
        node.switch_of(last)
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(RpcReplyPort<Result<T, SupervisorError>>) -> SupervisorMessage,
    ) -> Result<T, SupervisorError> {
        let actor = self.actor();
        let answer = tokio::select! {
            biased;
            answer = actor.call(question, None) => answer,
            // A question sent just as the mailbox closes may be kept in it as long as there are
            // senders, and we are one.
            _ = actor.wait(None) => return Err(SupervisorError::NotRunning),
        };
        match answer {
            Ok(CallResult::Success(answer)) => answer,
            _ => Err(SupervisorError::NotRunning),
        }
    }
}
