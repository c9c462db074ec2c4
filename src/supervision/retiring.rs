//! What a supervisor does with a child that ended for good.

use super::child::{Cause, Seq};
use super::state::State;
use super::{AutoShutdown, EventKind};

impl State {
    /// Leaves a child that ended as it is, and stops if it was significant enough.
    pub(super) fn retire(&mut self, seq: Seq) {
        let Some(child) = self.children.get_mut(seq) else {
            return;
        };
        let (id, is_significant) = (child.id(), child.spec.is_significant());
        self.settle(seq);
        if is_significant && self.is_auto_shutdown_due() {
            self.node.emit(EventKind::AutoShutdown { child: id });
            self.myself.stop(Some("auto shutdown".to_owned()));
        }
    }

    /// Keeps a child that does not run, or forgets it.
    pub(super) fn settle(&mut self, seq: Seq) {
        let Some(child) = self.children.get_mut(seq) else {
            return;
        };
        child.cause = Cause::Asked;
        if self
            .children
            .get(seq)
            .is_some_and(|child| self.is_forgotten(child))
        {
            self.remove(seq);
        } else {
            self.publish(seq);
        }
    }

    fn is_auto_shutdown_due(&self) -> bool {
        let mut significant = self
            .children
            .iter()
            .filter(|(_, child)| child.spec.is_significant());
        match self.blueprint.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => significant.all(|(_, child)| child.is_stopped()),
        }
    }
}
