//! The children of one supervisor, in start order: [`Children`].
//!
//! Found by place, by id and by actor. Invariant: `by_actor` holds exactly the running children.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ractor::{ActorCell, ActorId};

use super::child::{Child, Phase, Seq};
use super::{ChildCounts, ChildInfo, ChildKind, SupervisorError};

#[derive(Debug, Default)]
pub(super) struct Children {
    next: u64,
    by_seq: BTreeMap<Seq, Child>,
    by_id: HashMap<Arc<str>, Seq>,
    by_actor: HashMap<ActorId, Seq>,
}

impl Children {
    /// Puts a child last in the start order.
    pub(super) fn add(&mut self, child: Child) -> Seq {
        let seq = Seq(self.next);
        self.next += 1;
        self.by_id.insert(child.spec.id.clone(), seq);
        self.by_seq.insert(seq, child);
        seq
    }

    pub(super) fn remove(&mut self, seq: Seq) -> Option<Child> {
        let child = self.by_seq.remove(&seq)?;
        self.by_id.remove(child.spec.id());
        Some(child)
    }

    pub(super) fn len(&self) -> usize {
        self.by_seq.len()
    }

    pub(super) fn get_mut(&mut self, seq: Seq) -> Option<&mut Child> {
        self.by_seq.get_mut(&seq)
    }

    pub(super) fn get(&self, seq: Seq) -> Option<&Child> {
        self.by_seq.get(&seq)
    }

    pub(super) fn find(&self, id: &str) -> Result<(Seq, &Child), SupervisorError> {
        let unknown = || SupervisorError::UnknownChild { id: id.to_owned() };
        let seq = self.by_id.get(id).ok_or_else(unknown)?;
        let child = self.by_seq.get(seq).ok_or_else(unknown)?;
        Ok((*seq, child))
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (Seq, &Child)> {
        self.by_seq.iter().map(|(seq, child)| (*seq, child))
    }

    /// All places, the last started first.
    pub(super) fn in_reverse(&self) -> Vec<Seq> {
        self.by_seq.keys().rev().copied().collect()
    }

    /// Lets a child run as `cell`.
    pub(super) fn set_running(&mut self, seq: Seq, cell: ActorCell) {
        if let Some(child) = self.by_seq.get_mut(&seq) {
            self.by_actor.insert(cell.get_id(), seq);
            child.enter(Phase::Running(cell));
        }
    }

    /// Moves a child to a phase in which it does not run; returns the phase before.
    pub(super) fn enter(&mut self, seq: Seq, phase: Phase) -> Option<Phase> {
        let before = self.by_seq.get_mut(&seq)?.enter(phase);
        if let Phase::Running(cell) = &before {
            self.by_actor.remove(&cell.get_id());
        }
        Some(before)
    }

    /// The child that runs as this actor.
    pub(super) fn running_as(&self, actor: ActorId) -> Option<Seq> {
        self.by_actor.get(&actor).copied()
    }

    pub(super) fn infos(&self) -> Vec<ChildInfo> {
        self.by_seq
            .values()
            .map(|child| child.record.info())
            .collect()
    }

    pub(super) fn counts(&self) -> ChildCounts {
        let count = |is_counted: &dyn Fn(&Child) -> bool| {
            let counted = self
                .by_seq
                .values()
                .filter(|child| is_counted(child))
                .count();
            u32::try_from(counted).unwrap_or(u32::MAX)
        };
        ChildCounts {
            specs: count(&|_| true),
            active: count(&|child| matches!(child.phase, Phase::Running(_))),
            supervisors: count(&|child| child.spec.kind() != ChildKind::Worker),
            workers: count(&|child| child.spec.kind() == ChildKind::Worker),
        }
    }
}
