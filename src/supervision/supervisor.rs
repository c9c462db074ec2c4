//! The supervisor actor: what it is told and when it does what.
//!
//! It knows its children and nothing of what they do. It never waits for a start, and waits for an
//! end only as long as the child's [`Shutdown`](super::Shutdown) says. It fails for one reason only:
//! its restart intensity is spent. Before it ends, by stop or by failure, it ends its children; if it
//! is killed, ractor kills them, and every start under way is aborted as its state is dropped.
//!
//! ractor hands over events of children before messages. Siblings that were ended are therefore
//! restarted by a message to self ([`StartNext`](SupervisorMessage::StartNext)): by then the events
//! of their ends are handled and their old states dropped, with whatever sockets and locks they held.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ractor::{ActorCell, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};

use super::blueprint::Blueprint;
use super::child::{Seq, StartReply, Ticket};
use super::child_spec::ChildSpec;
use super::node::Node;
use super::state::State;
use super::{ChildCounts, ChildInfo, EventKind, Exit, SupervisorError};

/// What a supervisor can be told.
pub(super) enum SupervisorMessage {
    /// Add a child and start it.
    StartChild(Box<ChildSpec>, StartReply),
    /// End a child; keep its specification unless it is temporary or the supervisor dynamic.
    TerminateChild(String, RpcReplyPort<Result<(), SupervisorError>>),
    /// Start a child that was ended.
    RestartChild(String, StartReply),
    /// Forget a child that does not run.
    DeleteChild(String, RpcReplyPort<Result<(), SupervisorError>>),
    /// Which children are there?
    GetChildren(RpcReplyPort<Result<Vec<ChildInfo>, SupervisorError>>),
    /// How many children are there?
    GetCounts(RpcReplyPort<Result<ChildCounts, SupervisorError>>),
    /// Fetch the result of a start.
    StartFinished(Seq, Ticket),
    /// Restart a child that has backed off.
    BackoffElapsed(Seq, Ticket),
    /// Start the next of the children that are restarted together.
    StartNext,
    /// Note the end of a child that ended before it could be linked.
    ChildLost(ActorId),
}

#[cfg(feature = "cluster")]
impl ractor::Message for SupervisorMessage {}

/// What a supervisor is started with.
pub(super) struct Arguments {
    pub(super) blueprint: Arc<Blueprint>,
    pub(super) node: Arc<Node>,
}

pub(super) struct Supervisor;

#[ractor::actor(message = SupervisorMessage, state = State, arguments = Arguments)]
impl Supervisor {
    async fn pre_start(
        &self,
        myself: ActorRef<SupervisorMessage>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let mut state = State::new(myself, arguments);
        state.start_all().await?;
        Ok(state)
    }

    async fn post_start(
        &self,
        myself: ActorRef<SupervisorMessage>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.node.emit_root(EventKind::Started {
            actor: myself.get_id(),
        });
        Ok(())
    }

    async fn handle(
        &self,
        _myself: ActorRef<SupervisorMessage>,
        message: SupervisorMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        use SupervisorMessage as M;
        match message {
            M::StartChild(spec, reply) => state.start_child(*spec, reply),
            M::TerminateChild(id, reply) => state.terminate_child(&id, reply).await,
            M::RestartChild(id, reply) => state.restart_child(&id, reply),
            M::DeleteChild(id, reply) => state.delete_child(&id, reply),
            M::GetChildren(reply) => state.get_children(reply),
            M::GetCounts(reply) => state.get_counts(reply),
            M::StartFinished(seq, ticket) => return state.start_finished(seq, ticket).await,
            M::BackoffElapsed(seq, ticket) => state.backoff_elapsed(seq, ticket),
            M::StartNext => state.start_next(),
            M::ChildLost(actor) => return state.child_exited(actor, Exit::lost()).await,
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<SupervisorMessage>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        #[cfg(feature = "testing")]
        state.node.switch.strike(state.myself.get_id());
        match exit_of(event) {
            Some((actor, exit)) => state.child_exited(actor.get_id(), exit).await,
            None => Ok(()),
        }
    }

    async fn post_stop(
        &self,
        myself: ActorRef<SupervisorMessage>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.stop_all().await;
        state
            .node
            .emit_root_exit(&myself, Exit::from_termination(None));
        Ok(())
    }
}

/// Reads an event; the state of a child that ended is dropped here, before any restart.
fn exit_of(event: SupervisionEvent) -> Option<(ActorCell, Exit)> {
    match event {
        SupervisionEvent::ActorTerminated(actor, last_state, reason) => {
            // The application's `Drop` may panic, which must not take the supervisor down.
            if catch_unwind(AssertUnwindSafe(|| drop(last_state))).is_err() {
                tracing::warn!(actor = %actor.get_id(), "the state of a child panicked when dropped");
            }
            Some((actor, Exit::from_termination(reason)))
        }
        SupervisionEvent::ActorFailed(actor, error) => Some((actor, Exit::from_failure(error))),
        _ => None,
    }
}
