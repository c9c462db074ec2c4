//! What both kinds of supervisor are made from: [`Blueprint`].
//!
//! One actor carries it out, and again when a nested supervisor is restarted.

use std::sync::Arc;

use ractor::{Actor, ActorCell};

use super::node::Node;
use super::supervisor::{Arguments, Supervisor};
use super::{
    AutoShutdown, ChildKind, ChildSpec, Events, Intensity, Strategy, SupervisorError, SupervisorRef,
};

/// Who decides which children there are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Membership {
    /// The specification; children keep their place when they do not run.
    Static,
    /// Clients; children that do not run and will not are forgotten.
    Dynamic {
        /// How many there may be.
        max_children: u32,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Blueprint {
    pub(super) membership: Membership,
    pub(super) strategy: Strategy,
    pub(super) intensity: Intensity,
    pub(super) auto_shutdown: AutoShutdown,
    pub(super) children: Vec<ChildSpec>,
    pub(super) events: Option<Events>,
}

impl Blueprint {
    pub(super) fn new(membership: Membership, strategy: Strategy) -> Self {
        Self {
            membership,
            strategy,
            intensity: Intensity::default(),
            auto_shutdown: AutoShutdown::default(),
            children: Vec::new(),
            events: None,
        }
    }

    pub(super) const fn kind(&self) -> ChildKind {
        match self.membership {
            Membership::Static => ChildKind::Supervisor,
            Membership::Dynamic { .. } => ChildKind::DynamicSupervisor,
        }
    }

    pub(super) async fn spawn(
        mut self,
        parent: Option<ActorCell>,
    ) -> Result<SupervisorRef, SupervisorError> {
        let events = self.events.take().unwrap_or_default();
        let node = Node::root(self.kind(), events);
        let arguments = Arguments {
            blueprint: Arc::new(self),
            node: Arc::clone(&node),
        };
        let (actor, _) = match parent {
            Some(parent) => Actor::spawn_linked(None, Supervisor, arguments, parent).await?,
            None => Actor::spawn(None, Supervisor, arguments).await?,
        };
        Ok(SupervisorRef::new(node, actor))
    }
}
