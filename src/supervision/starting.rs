//! How children come to run.

use ractor::{ActorCell, ActorProcessingErr, ActorStatus};

use super::child::{Cause, FailedStart, Phase, Seq, Ticket};
use super::requests::answer;
use super::start::StartTask;
use super::state::State;
use super::supervisor::SupervisorMessage;
use super::{EventKind, Exit, SupervisorError};

impl State {
    /// Starts the children of the specification one after the other; if one does not start, ends
    /// those before it.
    pub(super) async fn start_all(&mut self) -> Result<(), SupervisorError> {
        let first = self.blueprint.first_children();
        let added = first.into_iter().map(|spec| self.add(spec));
        let added: Vec<Seq> = added.collect::<Result<_, _>>()?;
        for seq in added {
            if let Err(error) = self.start_first(seq).await {
                self.stop_all().await;
                return Err(error);
            }
        }
        Ok(())
    }

    async fn start_first(&mut self, seq: Seq) -> Result<(), SupervisorError> {
        self.start(seq);
        let Some(Phase::Starting(start)) = self.children.enter(seq, Phase::Stopped) else {
            return Ok(());
        };
        match start.finish().await {
            Ok(cell) => self.set_started(seq, cell),
            Err(source) => return Err(self.note_failed_start(seq, source)),
        }
        Ok(())
    }

    /// Begins to start a child.
    pub(super) fn start(&mut self, seq: Seq) {
        let ticket = self.next_ticket();
        let myself = self.myself.clone();
        let Some(child) = self.children.get_mut(seq) else {
            return;
        };
        let nested = child.record.nested.clone();
        let start = StartTask::spawn(&child.spec, nested, myself, (seq, ticket));
        child.enter(Phase::Starting(start));
        self.publish(seq);
    }

    /// Takes note of a start that is over, unless it was called off meanwhile.
    pub(super) async fn start_finished(
        &mut self,
        seq: Seq,
        ticket: Ticket,
    ) -> Result<(), ActorProcessingErr> {
        let Some(start) = self.take_start(seq, ticket) else {
            return Ok(());
        };
        match start.finish().await {
            Ok(cell) => self.child_started(seq, cell).await,
            Err(source) => self.child_not_started(seq, source).await,
        }
    }

    fn take_start(&mut self, seq: Seq, ticket: Ticket) -> Option<StartTask> {
        let child = self.children.get_mut(seq)?;
        match &child.phase {
            Phase::Starting(start) if start.ticket == ticket => {}
            _ => return None,
        }
        match child.enter(Phase::Stopped) {
            Phase::Starting(start) => Some(start),
            _ => None,
        }
    }

    async fn child_started(&mut self, seq: Seq, cell: ActorCell) -> Result<(), ActorProcessingErr> {
        let actor = cell.get_id();
        self.set_started(seq, cell);
        self.wake();
        match self.strays.take(actor) {
            Some(exit) => self.child_exited(actor, exit).await,
            None => Ok(()),
        }
    }

    async fn child_not_started(
        &mut self,
        seq: Seq,
        source: ActorProcessingErr,
    ) -> Result<(), ActorProcessingErr> {
        let error = self.note_failed_start(seq, source);
        let Some(child) = self.children.get_mut(seq) else {
            return Ok(());
        };
        let Some((reply, on_failure)) = child.request.take() else {
            let exit = child
                .record
                .info
                .last_exit
                .clone()
                .unwrap_or_else(Exit::lost);
            return self.restart(seq, exit, None).await;
        };
        child.cause = Cause::Asked;
        match on_failure {
            FailedStart::Forget => self.remove(seq),
            FailedStart::Keep => self.publish(seq),
        }
        answer(reply, Err(error));
        self.wake();
        Ok(())
    }

    /// Lets a child run, tells everybody, and makes sure that its end will be noticed.
    fn set_started(&mut self, seq: Seq, cell: ActorCell) {
        cell.link(self.myself.get_cell());
        self.watch_unless_linked(&cell);
        self.children.set_running(seq, cell.clone());
        let Some(child) = self.children.get_mut(seq) else {
            return;
        };
        let event = match std::mem::replace(&mut child.cause, Cause::Asked) {
            Cause::Asked => EventKind::Started {
                actor: cell.get_id(),
            },
            Cause::Restart => {
                child.record.info.restarts += 1;
                EventKind::Restarted {
                    actor: cell.get_id(),
                    restarts: child.record.info.restarts,
                }
            }
        };
        let request = child.request.take();
        self.publish(seq);
        self.emit(seq, event);
        if let Some((reply, _)) = request {
            answer(reply, Ok(cell));
        }
    }

    /// An actor that is ending cannot be linked, or is linked too late to tell of its end. If it was
    /// linked before, its event comes first all the same; if not, this is how its end is noticed.
    fn watch_unless_linked(&self, cell: &ActorCell) {
        let supervisor = cell
            .try_get_supervisor()
            .map(|supervisor| supervisor.get_id());
        let is_linked = supervisor == Some(self.myself.get_id());
        if is_linked && cell.get_status() < ActorStatus::Stopping {
            return;
        }
        let (cell, myself) = (cell.clone(), self.myself.clone());
        tokio::spawn(async move {
            // Without a timeout it cannot fail; a supervisor that cannot be told is ending.
            let _ = cell.wait(None).await;
            let _ = myself.cast(SupervisorMessage::ChildLost(cell.get_id()));
        });
    }

    fn note_failed_start(&mut self, seq: Seq, source: ActorProcessingErr) -> SupervisorError {
        let exit = Exit::from_failed_start(source);
        let id = self
            .children
            .get_mut(seq)
            .map_or_else(String::new, |child| {
                child.note_exit(&exit);
                child.id()
            });
        self.emit(seq, EventKind::StartFailed { exit: exit.clone() });
        SupervisorError::StartFailed { id, exit }
    }
}
