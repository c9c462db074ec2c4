//! How a supervisor ends its children.
//!
//! One after the other in reverse start order, each awaited; the children of a dynamic supervisor,
//! which do not depend on each other, all at once. If the supervisor is killed meanwhile, ractor
//! kills the children that are left.

use ractor::ActorId;
use tokio::task::JoinSet;

use super::blueprint::Membership;
use super::child::{FailedStart, Phase, Seq};
use super::shutdown::{Shutdown, end};
use super::state::State;
use super::{EventKind, Exit, SupervisorError};

/// What became of a child that had to end.
enum Ended {
    /// Its start was called off.
    CalledOff,
    /// It ran.
    Exited(ActorId, Exit),
}

impl State {
    /// Ends all children. Whoever waits for a start learns that the supervisor is not running.
    pub(super) async fn stop_all(&mut self) {
        match self.blueprint.membership {
            Membership::Static => self.stop_one_by_one().await,
            Membership::Dynamic { .. } => self.stop_all_at_once().await,
        }
        for seq in self.children.in_reverse() {
            self.children.get_mut(seq).map(|child| child.request.take());
        }
    }

    async fn stop_one_by_one(&mut self) {
        for seq in self.children.in_reverse() {
            self.stop(seq).await;
        }
    }

    async fn stop_all_at_once(&mut self) {
        let mut ends = JoinSet::new();
        for seq in self.children.in_reverse() {
            if let Some((phase, shutdown)) = self.begin_stop(seq) {
                ends.spawn(async move { (seq, end_phase(phase, shutdown).await) });
            }
        }
        while let Some(ended) = ends.join_next().await {
            // An error would be a panic in `end_phase`, which runs no code of the application.
            if let Ok((seq, ended)) = ended {
                self.note_end(seq, ended);
            }
        }
    }

    /// Ends a child and returns once it is gone; it does not matter whether it runs.
    pub(super) async fn stop(&mut self, seq: Seq) {
        if let Some((phase, shutdown)) = self.begin_stop(seq) {
            let ended = end_phase(phase, shutdown).await;
            self.note_end(seq, ended);
        }
    }

    fn begin_stop(&mut self, seq: Seq) -> Option<(Phase, Shutdown)> {
        let child = self.children.get(seq)?;
        let shutdown = child.spec.shutdown;
        let is_active = matches!(child.phase, Phase::Running(_) | Phase::Starting(_));
        let next = if is_active {
            Phase::Stopping
        } else {
            Phase::Stopped
        };
        let phase = self.children.enter(seq, next)?;
        self.publish(seq);
        is_active.then_some((phase, shutdown))
    }

    fn note_end(&mut self, seq: Seq, ended: Ended) {
        let shutdown = self.children.get(seq).map(|child| child.spec.shutdown);
        let is_brutal = shutdown == Some(Shutdown::BrutalKill);
        let (exit, event) = match ended {
            Ended::CalledOff => {
                let exit = called_off();
                (exit.clone(), EventKind::StartFailed { exit })
            }
            Ended::Exited(actor, exit) => (
                exit.clone(),
                EventKind::Exited {
                    actor,
                    exit,
                    is_uncounted: false,
                    is_brutal,
                },
            ),
        };
        if let Some(child) = self.children.get_mut(seq) {
            child.note_exit(&exit);
        }
        self.children.enter(seq, Phase::Stopped);
        self.publish(seq);
        self.emit(seq, event);
    }

    /// Tells the client that waits for the start of a child that it was called off, and forgets the
    /// child if it was new.
    pub(super) fn call_off_request(&mut self, seq: Seq) {
        let Some(child) = self.children.get_mut(seq) else {
            return;
        };
        let id = child.id();
        let Some((reply, on_failure)) = child.request.take() else {
            return;
        };
        if on_failure == FailedStart::Forget {
            self.remove(seq);
        }
        let exit = called_off();
        super::requests::answer(reply, Err(SupervisorError::StartFailed { id, exit }));
    }
}

async fn end_phase(phase: Phase, shutdown: Shutdown) -> Ended {
    match phase {
        Phase::Running(cell) => Ended::Exited(cell.get_id(), end(&cell, shutdown).await),
        Phase::Starting(start) => {
            start.call_off(shutdown).await;
            Ended::CalledOff
        }
        // Nothing runs; dropping a timer cancels it.
        Phase::BackingOff(_) | Phase::Waiting | Phase::Stopping | Phase::Stopped => {
            Ended::CalledOff
        }
    }
}

fn called_off() -> Exit {
    Exit::from_failed_start("called off".into())
}
