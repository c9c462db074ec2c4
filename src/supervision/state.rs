//! The state of a supervisor: [`State`].
//!
//! What it does is next door: `requests` of clients, `starting`, `restarting`, `retiring` and
//! `stopping` children. Invariant: whatever changes in a child is published before it is emitted, so
//! that who sees an event finds it true in a snapshot.

use std::sync::Arc;

use ractor::ActorRef;

use super::blueprint::{Blueprint, Membership};
use super::child::{Child, Seq, Ticket};
use super::child_spec::ChildSpec;
use super::children::Children;
use super::intensity::RestartWindow;
use super::node::Node;
use super::strays::Strays;
use super::supervisor::{Arguments, SupervisorMessage};
use super::{EventKind, Restart, Strategy, SupervisorError};

pub(super) struct State {
    pub(super) myself: ActorRef<SupervisorMessage>,
    pub(super) blueprint: Arc<Blueprint>,
    pub(super) node: Arc<Node>,
    pub(super) children: Children,
    pub(super) window: RestartWindow,
    pub(super) strays: Strays,
    tickets: u64,
}

impl State {
    pub(super) fn new(myself: ActorRef<SupervisorMessage>, arguments: Arguments) -> Self {
        let Arguments { blueprint, node } = arguments;
        node.take_over(myself.clone());
        let window = RestartWindow::new(blueprint.intensity);
        let (children, strays) = (Children::default(), Strays::default());
        Self {
            myself,
            blueprint,
            node,
            children,
            window,
            strays,
            tickets: 0,
        }
    }

    /// Adds a child that does not run yet.
    pub(super) fn add(&mut self, spec: ChildSpec) -> Result<Seq, SupervisorError> {
        spec.check(self.blueprint.auto_shutdown)?;
        match self.children.find(spec.id()) {
            Ok((_, child)) if child.is_stopped() => {
                return Err(SupervisorError::AlreadyPresent { id: child.id() });
            }
            Ok((_, child)) => return Err(SupervisorError::AlreadyStarted { id: child.id() }),
            Err(_) => {}
        }
        if let Membership::Dynamic { max_children: max } = self.blueprint.membership
            && self.children.len() >= max as usize
        {
            return Err(SupervisorError::MaxChildren { max });
        }
        let seq = self.children.add(Child::new(spec, &self.node));
        self.publish(seq);
        Ok(seq)
    }

    pub(super) fn next_ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// Has the next waiting child started, once the events before are handled.
    pub(super) fn wake(&self) {
        if self.blueprint.strategy == Strategy::OneForOne {
            return;
        }
        // A supervisor that cannot be told is ending, and starts no more children.
        let _ = self.myself.cast(SupervisorMessage::StartNext);
    }

    /// Forgets a child.
    pub(super) fn remove(&mut self, seq: Seq) {
        self.children.remove(seq);
        self.node.record(&self.myself, seq, None);
    }

    /// Makes the state of a child known to snapshots.
    pub(super) fn publish(&mut self, seq: Seq) {
        if let Some(child) = self.children.get_mut(seq) {
            child.record.info.status = child.status();
            self.node
                .record(&self.myself, seq, Some(child.record.clone()));
        }
    }

    pub(super) fn emit(&mut self, seq: Seq, kind: EventKind) {
        if let Some(child) = self.children.get_mut(seq) {
            self.node.events().publish(child.record.path.clone(), kind);
        }
    }

    /// Says whether a child is forgotten once it does not run and will not.
    pub(super) fn is_forgotten(&self, child: &Child) -> bool {
        child.spec.restart == Restart::Temporary
            || matches!(self.blueprint.membership, Membership::Dynamic { .. })
    }
}
