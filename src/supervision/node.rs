//! A supervisor's place in its tree: [`Node`], the state that snapshots read.
//!
//! A node outlives the supervisor at its place: a restarted supervisor takes over the node of the
//! one before it. Behind an `Arc<Mutex<_>>` and not asked for by message, since a snapshot must be
//! possible while a supervisor waits for a stubborn child. Each node is written by one actor only,
//! the supervisor that last [took](Node::take_over) it, under a lock never held across an await.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ractor::{ActorCell, ActorRef, ActorStatus};

use super::child::Seq;
use super::record::{Record, Started};
use super::supervisor::SupervisorMessage;
use super::{ChildInfo, ChildKind, ChildPath, ChildStatus, EventKind, Events, Exit, Snapshot};

type Supervisor = ActorRef<SupervisorMessage>;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) path: ChildPath,
    kind: ChildKind,
    events: Events,
    state: Mutex<NodeState>,
    #[cfg(feature = "testing")]
    pub(super) switch: super::fault::Switch,
}

#[derive(Debug, Default)]
struct NodeState {
    supervisor: Option<Supervisor>,
    started: Option<Started>,
    children: BTreeMap<Seq, Record>,
}

impl Node {
    pub(super) fn root(kind: ChildKind, events: Events) -> Arc<Self> {
        Self::new(ChildPath::root(), kind, events)
    }

    /// The node of a supervisor that is a child of the supervisor here.
    pub(super) fn branch(&self, path: ChildPath, kind: ChildKind) -> Arc<Self> {
        Self::new(path, kind, self.events.clone())
    }

    fn new(path: ChildPath, kind: ChildKind, events: Events) -> Arc<Self> {
        Arc::new(Self {
            path,
            kind,
            events,
            state: Mutex::default(),
            #[cfg(feature = "testing")]
            switch: super::fault::Switch::default(),
        })
    }

    pub(super) const fn events(&self) -> &Events {
        &self.events
    }

    /// Publishes what happened at the supervisor itself.
    pub(super) fn emit(&self, kind: EventKind) {
        self.events.publish(self.path.clone(), kind);
    }

    /// Publishes how the root of a tree started or ended; below, the supervisor above does.
    pub(super) fn emit_root(&self, kind: EventKind) {
        if self.path.is_root() {
            self.emit(kind);
        }
    }

    pub(super) fn emit_root_exit(&self, supervisor: &Supervisor, exit: Exit) {
        self.emit_root(EventKind::Exited {
            actor: supervisor.get_id(),
            exit,
            is_uncounted: false,
            is_brutal: false,
        });
    }

    /// Makes `supervisor` the one that writes here.
    pub(super) fn take_over(&self, supervisor: Supervisor) {
        *self.lock() = NodeState {
            supervisor: Some(supervisor),
            started: Some(Started::now()),
            children: BTreeMap::new(),
        };
    }

    /// The supervisor that last took the node, dead or alive.
    pub(super) fn supervisor(&self) -> Option<Supervisor> {
        self.lock().supervisor.clone()
    }

    /// Writes a child's record, or removes it; unless another supervisor took the node, which
    /// happens if a killed one was abandoned and comes to itself later.
    pub(super) fn record(&self, writer: &Supervisor, seq: Seq, record: Option<Record>) {
        let mut state = self.lock();
        if state.supervisor.as_ref().map(|owner| owner.get_id()) != Some(writer.get_id()) {
            return;
        }
        let before = match record {
            Some(record) => state.children.insert(seq, record),
            None => state.children.remove(&seq),
        };
        // An error in the old record is dropped with the lock free, for its type is not ours.
        drop(state);
        drop(before);
    }

    /// The node of the child with this id, if that child is a supervisor.
    pub(super) fn nested(&self, id: &str) -> Option<Arc<Self>> {
        let state = self.lock();
        let record = state
            .children
            .values()
            .find(|record| *record.info.id == *id)?;
        record.nested.clone()
    }

    /// What makes the child with this id panic.
    #[cfg(feature = "testing")]
    pub(super) fn switch_of(&self, id: &str) -> Option<super::fault::Switch> {
        let state = self.lock();
        let record = state
            .children
            .values()
            .find(|record| *record.info.id == *id)?;
        match &record.nested {
            Some(nested) => Some(nested.switch.clone()),
            None => record.switch.clone(),
        }
    }

    /// The actors recorded here and below, dead or alive.
    pub(super) fn actors(&self) -> Vec<ActorCell> {
        let records: Vec<Record> = self.lock().children.values().cloned().collect();
        let nested = records.iter().filter_map(|record| record.nested.as_ref());
        let below: Vec<ActorCell> = nested.flat_map(|node| node.actors()).collect();
        records
            .into_iter()
            .filter_map(|record| record.info.actor)
            .chain(below)
            .collect()
    }

    /// The tree from here on, without asking any actor.
    pub(super) fn snapshot(&self) -> Snapshot {
        let state = self.lock();
        let status = state.supervisor.as_ref().map(|actor| actor.get_status());
        let info = ChildInfo {
            id: self.path.id().unwrap_or("root").into(),
            role: "supervisor".into(),
            kind: self.kind,
            status: status.map_or(ChildStatus::Starting, status_of),
            restarts: 0,
            actor: state.supervisor.as_ref().map(|actor| actor.get_cell()),
            started_at: None,
            age: None,
            last_exit: None,
            detail: None,
        };
        let record = Record {
            info,
            started: state.started,
            path: self.path.clone(),
            nested: None,
            detail: None,
            #[cfg(feature = "testing")]
            switch: None,
        };
        drop(state);
        Snapshot {
            path: self.path.clone(),
            info: record.info(),
            children: self.branches(),
        }
    }

    /// The snapshots of the children; none if the supervisor is dead, whose children died with it.
    pub(super) fn branches(&self) -> Vec<Snapshot> {
        let records: Vec<Record> = {
            let state = self.lock();
            match &state.supervisor {
                Some(actor) if actor.get_status() == ActorStatus::Stopped => Vec::new(),
                _ => state.children.values().cloned().collect(),
            }
        };
        records.into_iter().map(Record::into_snapshot).collect()
    }

    fn lock(&self) -> MutexGuard<'_, NodeState> {
        // Nothing panics under the lock; if it did, the records would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn status_of(status: ActorStatus) -> ChildStatus {
    match status {
        ActorStatus::Unstarted | ActorStatus::Starting => ChildStatus::Starting,
        ActorStatus::Running | ActorStatus::Upgrading => ChildStatus::Running,
        ActorStatus::Draining | ActorStatus::Stopping => ChildStatus::Stopping,
        ActorStatus::Stopped => ChildStatus::Stopped,
    }
}
