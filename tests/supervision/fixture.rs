//! A probe that does what it is told, and a tree of probes whose events read as lines.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use callboard::supervision::*;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;

pub const SECOND: Duration = Duration::from_secs(1);

/// What a probe can be told.
pub enum Order {
    Fail,
    Panic,
    Stop,
    /// Say so and never return from `handle`.
    Hang(oneshot::Sender<()>),
    /// Say so and hold the thread until the other end is dropped.
    Block(oneshot::Sender<()>, std::sync::mpsc::Receiver<()>),
}

#[cfg(feature = "cluster")]
impl ractor::Message for Order {}

/// The typed error of a probe.
#[derive(Debug, thiserror::Error)]
#[error("ordered to fail")]
pub struct Failed;

/// What probes write when they start and stop.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn write(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

pub struct Probe;

#[ractor::actor(message = Order, state = (String, Log), arguments = (String, Log))]
impl Probe {
    async fn pre_start(
        &self,
        _myself: ActorRef<Order>,
        arguments: (String, Log),
    ) -> Result<(String, Log), ActorProcessingErr> {
        Ok(arguments)
    }

    async fn handle(
        &self,
        myself: ActorRef<Order>,
        order: Order,
        _state: &mut (String, Log),
    ) -> Result<(), ActorProcessingErr> {
        match order {
            Order::Fail => return Err(Failed.into()),
            Order::Panic => panic!("ordered to panic"),
            Order::Stop => myself.stop(Some("ordered".into())),
            Order::Hang(entered) => {
                entered.send(()).unwrap();
                std::future::pending().await
            }
            Order::Block(entered, gate) => {
                // A task that this one has woken just now, its supervisor say, runs next on the same
                // thread and no other may take it from there: it must not wait for the gate.
                tokio::task::yield_now().await;
                entered.send(()).unwrap();
                gate.recv().unwrap_err();
            }
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<Order>,
        (id, log): &mut (String, Log),
    ) -> Result<(), ActorProcessingErr> {
        log.write(format!("{id} stopped"));
        Ok(())
    }
}

/// A probe as a child; its `post_stop` writes to `log`.
pub fn probe(id: &str, log: &Log) -> ChildSpec {
    let (name, log) = (id.to_owned(), log.clone());
    ChildSpec::new(id, move |supervisor| {
        spawn_probe(name.clone(), log.clone(), supervisor)
    })
}

pub async fn spawn_probe(
    id: String,
    log: Log,
    supervisor: ActorCell,
) -> Result<ActorCell, ractor::SpawnErr> {
    let (probe, _) = Actor::spawn_linked(None, Probe, (id, log), supervisor).await?;
    Ok(probe.get_cell())
}

/// A running tree, watched from its start.
pub struct Tree {
    pub root: SupervisorRef,
    pub events: Subscription,
}

impl Tree {
    pub async fn spawn(spec: SupervisorSpec) -> Self {
        let stream = Events::default();
        let events = stream.subscribe();
        let root = spec.events(stream).spawn().await.unwrap();
        let mut tree = Self { root, events };
        tree.lines_until(". started").await;
        tree
    }

    /// The actor that runs at the end of these ids.
    pub fn cell(&self, ids: &[&str]) -> ActorCell {
        self.root
            .snapshot()
            .find(ids)
            .unwrap()
            .info
            .actor
            .clone()
            .unwrap()
    }

    pub fn tell(&self, ids: &[&str], order: Order) {
        self.cell(ids).send_message(order).unwrap();
    }

    /// Makes the child at the end of these ids hang, and returns once it does.
    pub async fn hang(&self, ids: &[&str]) {
        hang(&self.cell(ids)).await;
    }

    /// The events up to and with the one that reads `last`.
    pub async fn lines_until(&mut self, last: &str) -> Vec<String> {
        lines_until(&mut self.events, last).await
    }

    pub fn status(&self, ids: &[&str]) -> ChildStatus {
        self.root.snapshot().find(ids).unwrap().info.status
    }

    /// The ids and states of the root's children, once it has handled what came before.
    pub async fn children(&self) -> Vec<(String, ChildStatus)> {
        let children = self.root.which_children().await.unwrap();
        children
            .iter()
            .map(|child| (child.id.to_string(), child.status))
            .collect()
    }

    /// Waits until the root is gone.
    pub async fn ended(&self) {
        self.root.cell().wait(Some(60 * SECOND)).await.unwrap();
    }
}

pub async fn hang(cell: &ActorCell) {
    let (enter, entered) = oneshot::channel();
    cell.send_message(Order::Hang(enter)).unwrap();
    entered.await.unwrap();
}

pub async fn lines_until(events: &mut Subscription, last: &str) -> Vec<String> {
    let mut lines = Vec::new();
    while lines.last().map(String::as_str) != Some(last) {
        let next = tokio::time::timeout(600 * SECOND, events.next()).await;
        let event = next.unwrap_or_else(|_| panic!("waited for {last:?}, saw {lines:#?}"));
        lines.push(line(&event.unwrap().unwrap()));
    }
    lines
}

/// An event as a line, such as `queues/mail restarted 1`; the root is a dot.
fn line(event: &Event) -> String {
    let path = if event.path.is_root() {
        ".".to_owned()
    } else {
        event.path.to_string()
    };
    match &event.kind {
        EventKind::Started { .. } => format!("{path} started"),
        EventKind::StartFailed { exit } | EventKind::Exited { exit, .. } => {
            format!("{path} {exit}")
        }
        EventKind::BackingOff { failures, .. } => format!("{path} backs off {failures}"),
        EventKind::Restarted { restarts, .. } => format!("{path} restarted {restarts}"),
        EventKind::GaveUp {
            child,
            max_restarts,
            within,
        } => {
            format!("{path} gave up on {child} after {max_restarts} in {within:?}")
        }
        EventKind::AutoShutdown { child } => format!("{path} shuts down after {child}"),
        other => format!("{path} {other:?}"),
    }
}
