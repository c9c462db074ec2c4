//! One start of one child, in a task of its own: [`StartTask`].
//!
//! A supervisor never waits for a start while it has other work: the task tells it by message when
//! the start is over, and the supervisor then fetches the result from the task. The result never
//! travels in the message, for a message can be dropped unread. Invariant: an actor that was started
//! is either claimed by its supervisor or ended ([`Unclaimed`]), whatever is dropped or aborted when.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, timeout};

use super::child::{Seq, Ticket};
use super::child_spec::{ChildSpec, Start};
use super::error::cause;
use super::node::Node;
use super::shutdown::{KILL_GRACE, Shutdown, end};
use super::supervisor::{Arguments, Supervisor, SupervisorMessage};

/// A start under way. Dropping it calls the start off.
#[derive(Debug)]
pub(super) struct StartTask {
    pub(super) ticket: Ticket,
    task: JoinHandle<Result<Unclaimed, ActorProcessingErr>>,
}

/// An actor that was started and that no supervisor knows yet. Dropping it ends the actor.
#[derive(Debug)]
struct Unclaimed {
    cell: Option<ActorCell>,
    shutdown: Shutdown,
}

/// Tells the supervisor that a start is over, however it ends: by return, panic or abort.
struct Notice {
    supervisor: ActorRef<SupervisorMessage>,
    seq: Seq,
    ticket: Ticket,
}

impl StartTask {
    pub(super) fn spawn(
        spec: &ChildSpec,
        nested: Option<Arc<Node>>,
        supervisor: ActorRef<SupervisorMessage>,
        (seq, ticket): (Seq, Ticket),
    ) -> Self {
        let shutdown = spec.shutdown;
        let start = spec.start.clone();
        let task = tokio::spawn(async move {
            let cell = supervisor.get_cell();
            let _notice = Notice {
                supervisor,
                seq,
                ticket,
            };
            let cell = Some(run(start, nested, cell).await.map_err(cause)?);
            Ok(Unclaimed { cell, shutdown })
        });
        Self { ticket, task }
    }

    /// Waits for the end of the start and claims the actor.
    pub(super) async fn finish(mut self) -> Result<ActorCell, ActorProcessingErr> {
        claim((&mut self.task).await)
    }

    /// Gives the start its time to end, or aborts it, and ends the actor if there is one. Start and
    /// end together take no longer than `shutdown` says.
    pub(super) async fn call_off(mut self, shutdown: Shutdown) {
        let begun = Instant::now();
        let ended = match timeout(shutdown.start_limit(), &mut self.task).await {
            Ok(ended) => ended,
            Err(_) => return self.abort().await,
        };
        // The actor stays in its guard until it is gone, for this may be dropped while waiting.
        if let Ok(Ok(unclaimed)) = &ended {
            unclaimed.end(shutdown.less(begun.elapsed())).await;
        }
    }

    /// Aborts the start; an actor that came of it all the same is ended by its guard.
    async fn abort(mut self) {
        self.task.abort();
        // Either the task is gone, or it blocks its thread and is not worth the wait.
        let _ = timeout(KILL_GRACE, &mut self.task).await;
    }
}

impl Unclaimed {
    async fn end(&self, shutdown: Shutdown) {
        if let Some(cell) = &self.cell {
            end(cell, shutdown).await;
        }
    }
}

impl Drop for StartTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        let Some(cell) = self.cell.take() else { return };
        let shutdown = self.shutdown;
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move { end(&cell, shutdown).await })),
            Err(_) => cell.kill(),
        }
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        let message = SupervisorMessage::StartFinished(self.seq, self.ticket);
        // A supervisor that cannot be told is ending, and fetches or aborts the start itself.
        let _ = self.supervisor.cast(message);
    }
}

// Boxed since it is recursive: a supervisor starts supervisors.
fn run(
    start: Start,
    nested: Option<Arc<Node>>,
    supervisor: ActorCell,
) -> Pin<Box<dyn Future<Output = Result<ActorCell, SpawnErr>> + Send>> {
    Box::pin(async move {
        match start {
            Start::Function(start) => start(supervisor).await,
            Start::Supervisor(blueprint) => {
                let node = nested.expect("a supervisor's child is given its node when it is added");
                see_off(&node).await;
                let arguments = Arguments { blueprint, node };
                let spawned = Actor::spawn_linked(None, Supervisor, arguments, supervisor).await;
                spawned.map(|(actor, _)| actor.get_cell())
            }
        }
    })
}

/// Waits for the actors of the supervisor before, which were killed if it was, so that they do not
/// overlap with those to come; but not for ever, since one may block its thread.
async fn see_off(node: &Node) {
    let wait_for_all = async {
        for actor in node.actors() {
            // Without a timeout it cannot fail.
            let _ = actor.wait(None).await;
        }
    };
    // Whoever is not gone by now was warned about or is no worse than an abandoned child.
    let _ = timeout(KILL_GRACE, wait_for_all).await;
}

fn claim(
    ended: Result<Result<Unclaimed, ActorProcessingErr>, JoinError>,
) -> Result<ActorCell, ActorProcessingErr> {
    let mut unclaimed = ended.map_err(failure)??;
    unclaimed
        .cell
        .take()
        .ok_or_else(|| "nothing was started".into())
}

fn failure(error: JoinError) -> ActorProcessingErr {
    match error.try_into_panic() {
        Ok(panic) => panic_message(&*panic).into(),
        Err(aborted) => Box::new(aborted),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panicked with something that is no text".to_owned())
}
