//! What both kinds of supervisor are made from: [`Blueprint`].
//!
//! One actor carries it out, and again when a nested supervisor is restarted.

use std::fmt;
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
    /// How many restarts more are tolerated for each child.
    pub(super) restarts_per_child: u32,
    pub(super) auto_shutdown: AutoShutdown,
    pub(super) children: Vec<ChildSpec>,
    pub(super) chosen: Option<Chosen>,
    pub(super) events: Option<Events>,
}

/// Children that are chosen anew at every start.
#[derive(Clone)]
pub(super) struct Chosen(Arc<dyn Fn() -> Vec<ChildSpec> + Send + Sync>);

impl Chosen {
    pub(super) fn by(choose: impl Fn() -> Vec<ChildSpec> + Send + Sync + 'static) -> Self {
        Self(Arc::new(choose))
    }
}

impl fmt::Debug for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chosen")
    }
}

impl Blueprint {
    pub(super) fn new(membership: Membership, strategy: Strategy) -> Self {
        Self {
            membership,
            strategy,
            intensity: Intensity::default(),
            restarts_per_child: 0,
            auto_shutdown: AutoShutdown::default(),
            children: Vec::new(),
            chosen: None,
            events: None,
        }
    }

    /// The children that a start begins with. A function that chooses some runs here.
    pub(super) fn first_children(&self) -> Vec<ChildSpec> {
        let chosen = self.chosen.iter().flat_map(|Chosen(choose)| choose());
        self.children.iter().cloned().chain(chosen).collect()
    }

    /// What is tolerated with so many children.
    pub(super) fn intensity(&self, children: usize) -> Intensity {
        let more = u32::try_from(children)
            .unwrap_or(u32::MAX)
            .saturating_mul(self.restarts_per_child);
        Intensity {
            max_restarts: self.intensity.max_restarts.saturating_add(more),
            ..self.intensity
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
