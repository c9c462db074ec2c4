//! What a supervisor does when a child ends: restart it or give up.

use std::time::Duration;

use ractor::{ActorId, ActorProcessingErr};
use tokio::time::Instant;

use super::child::{Cause, Phase, Seq, Ticket, Timer};
use super::intensity::Budget;
use super::state::State;
use super::supervisor::SupervisorMessage;
use super::{ChildSpec, EventKind, Exit, Intensity, Restart, Strategy, SupervisorError};

/// What becomes of a child that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// It is not started again.
    Retire,
    /// It is restarted at once and not charged.
    RestartFree,
    /// It is restarted and charged.
    Restart,
}

impl Next {
    fn after(exit: &Exit, spec: &ChildSpec) -> Self {
        match spec.restart.is_due_after(exit) {
            false => Self::Retire,
            true if spec.is_uncounted(exit) => Self::RestartFree,
            true => Self::Restart,
        }
    }
}

impl State {
    /// Decides what becomes of a child that ended by itself.
    pub(super) async fn child_exited(
        &mut self,
        actor: ActorId,
        exit: Exit,
    ) -> Result<(), ActorProcessingErr> {
        let running = self.children.running_as(actor);
        let Some((seq, child)) = running.and_then(|seq| Some((seq, self.children.get(seq)?)))
        else {
            self.strays.keep(actor, exit);
            return Ok(());
        };
        let (uptime, next) = (child.uptime(), Next::after(&exit, &child.spec));
        self.note_exit(seq, actor, &exit, next);
        match next {
            Next::Retire => self.retire(seq),
            Next::RestartFree => self.restart_after(seq, Duration::ZERO).await,
            Next::Restart => return self.restart(seq, exit, uptime).await,
        }
        Ok(())
    }

    fn note_exit(&mut self, seq: Seq, actor: ActorId, exit: &Exit, next: Next) {
        if let Some(child) = self.children.get_mut(seq) {
            child.note_exit(exit);
            if next != Next::Retire {
                child.cause = Cause::Restart;
            }
        }
        self.children.enter(seq, Phase::Stopped);
        self.publish(seq);
        let (exit, is_uncounted) = (exit.clone(), next == Next::RestartFree);
        self.emit(
            seq,
            EventKind::Exited {
                actor,
                exit,
                is_uncounted,
                is_brutal: false,
            },
        );
    }

    /// Restarts a child that ended, or could not be restarted (then it has no uptime), and the
    /// siblings it takes along, if the budget allows.
    pub(super) async fn restart(
        &mut self,
        seq: Seq,
        exit: Exit,
        uptime: Option<Duration>,
    ) -> Result<(), ActorProcessingErr> {
        self.window.tolerate(self.intensity());
        if self.window.charge(Instant::now()) == Budget::Spent {
            return Err(self.give_up(seq, exit).await.into());
        }
        let child = self.children.get_mut(seq);
        let delay = child.map_or(Duration::ZERO, |child| child.back_off(uptime));
        self.restart_after(seq, delay).await;
        Ok(())
    }

    async fn restart_after(&mut self, seq: Seq, delay: Duration) {
        self.stop_siblings(seq).await;
        self.schedule(seq, delay);
    }

    fn intensity(&self) -> Intensity {
        self.blueprint.intensity(self.children.len())
    }

    async fn give_up(&mut self, seq: Seq, exit: Exit) -> SupervisorError {
        let child = self
            .children
            .get_mut(seq)
            .map_or_else(String::new, |child| child.id());
        let Intensity {
            max_restarts,
            within,
        } = self.intensity();
        self.node.emit(EventKind::GaveUp {
            child: child.clone(),
            max_restarts,
            within,
        });
        self.stop_all().await;
        let error = || SupervisorError::IntensityExceeded {
            child: child.clone(),
            max_restarts,
            within,
            exit: exit.clone(),
        };
        self.node
            .emit_root_exit(&self.myself, Exit::from_failure(Box::new(error())));
        error()
    }

    /// Ends the siblings that are restarted together with a child, the last started first.
    async fn stop_siblings(&mut self, seq: Seq) {
        for sibling in self.siblings(seq) {
            self.stop(sibling).await;
            let Some(child) = self.children.get_mut(sibling) else {
                continue;
            };
            if child.spec.restart == Restart::Temporary {
                self.call_off_request(sibling);
                self.remove(sibling);
            } else {
                child.cause = Cause::Restart;
                child.enter(Phase::Waiting);
                self.publish(sibling);
            }
        }
    }

    fn siblings(&self, seq: Seq) -> Vec<Seq> {
        let mut all = self.children.in_reverse();
        match self.blueprint.strategy {
            Strategy::OneForOne => all.clear(),
            Strategy::OneForAll => all.retain(|other| *other != seq),
            Strategy::RestForOne => all.retain(|other| *other > seq),
        }
        all
    }

    /// Sees to it that a child that ended is started after `delay`.
    fn schedule(&mut self, seq: Seq, delay: Duration) {
        if delay.is_zero() {
            return self.start_in_turn(seq);
        }
        let timer = self.timer(seq, delay);
        let Some(child) = self.children.get_mut(seq) else {
            return;
        };
        let failures = child.failures();
        child.enter(Phase::BackingOff(timer));
        self.publish(seq);
        self.emit(seq, EventKind::BackingOff { delay, failures });
    }

    fn timer(&mut self, seq: Seq, delay: Duration) -> Timer {
        let (ticket, myself) = (self.next_ticket(), self.myself.clone());
        let task = tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            // A supervisor that cannot be told is ending, and starts no more children.
            let _ = myself.cast(SupervisorMessage::BackoffElapsed(seq, ticket));
        });
        Timer { ticket, task }
    }

    /// Starts a child at once, or among its siblings where it belongs.
    fn start_in_turn(&mut self, seq: Seq) {
        if self.blueprint.strategy == Strategy::OneForOne {
            return self.start(seq);
        }
        self.children.enter(seq, Phase::Waiting);
        self.publish(seq);
        self.wake();
    }

    pub(super) fn backoff_elapsed(&mut self, seq: Seq, ticket: Ticket) {
        let child = self.children.get_mut(seq);
        let is_due = child.is_some_and(
            |child| matches!(&child.phase, Phase::BackingOff(timer) if timer.ticket == ticket),
        );
        if is_due {
            self.start_in_turn(seq);
        }
    }

    /// Starts the first child that waits for its turn, unless another is ahead of it.
    pub(super) fn start_next(&mut self) {
        if self.children.iter().any(|(_, child)| child.is_ahead()) {
            return;
        }
        let is_waiting = |phase: &Phase| matches!(phase, Phase::Waiting);
        let next = self
            .children
            .iter()
            .find(|(_, child)| is_waiting(&child.phase));
        if let Some(seq) = next.map(|(seq, _)| seq) {
            self.start(seq);
        }
    }
}
