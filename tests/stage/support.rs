//! Stages that show what happens to them.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use callboard::stage::{
    self, CancelReason, Consumer, Consumes, Flow, InletId, Inlets, Outlet, Producer,
    ProducerConsumer, Produces, StageResult, StageSpec,
};
use callboard::supervision::{Strategy, SupervisorRef, SupervisorSpec};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// Counts up from 0 as far as it is asked, and tells each demand.
pub(crate) struct Counter {
    next: u64,
    demands: UnboundedSender<usize>,
}

impl Producer for Counter {
    type Event = u64;
    type Message = Infallible;

    async fn produce(&mut self, demand: usize, outlet: &mut Outlet<u64>) -> StageResult {
        // Nobody need look.
        let _unseen = self.demands.send(demand);
        outlet.emit_all(self.next..self.next + demand as u64);
        self.next += demand as u64;
        Ok(())
    }
}

pub(crate) fn counter() -> (StageSpec<Produces<Counter>>, UnboundedReceiver<usize>) {
    let (demands, seen) = mpsc::unbounded_channel();
    let build = move || Counter {
        next: 0,
        demands: demands.clone(),
    };
    (stage::producer("counter", build), seen)
}

/// Emits what it is told to.
pub(crate) struct Teller;

impl Producer for Teller {
    type Event = u64;
    type Message = Told;

    async fn produce(&mut self, _demand: usize, _outlet: &mut Outlet<u64>) -> StageResult {
        Ok(())
    }

    async fn handle(&mut self, told: Told, outlet: &mut Outlet<u64>) -> StageResult {
        match told {
            Told::Emit(events) => outlet.emit_all(events),
            Told::Say(word, to) => to.send(word).map_err(|_| "nobody listens")?,
            Told::Fail => return Err("told to fail".into()),
            Told::Panic => panic!("told to panic"),
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) enum Told {
    Emit(std::ops::Range<u64>),
    Say(&'static str, UnboundedSender<&'static str>),
    Fail,
    Panic,
}

pub(crate) fn teller() -> StageSpec<Produces<Teller>> {
    stage::producer("teller", || Teller)
}

/// Tells everything that happens to it. Each step waits for a permit, if it has such.
pub(crate) struct Recorder<T> {
    happened: UnboundedSender<Happened<T>>,
    permits: Option<Arc<tokio::sync::Semaphore>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Happened<T> {
    Started,
    Subscribed,
    Got(Vec<T>),
    Cancelled(CancelReason),
    Stopping,
}

impl<T: Send + 'static> Recorder<T> {
    fn tell(&self, happened: Happened<T>) {
        // Nobody need look.
        let _unseen = self.happened.send(happened);
    }
}

impl<T: Send + 'static> Consumer for Recorder<T> {
    type Event = T;
    type Message = Infallible;

    async fn started(&mut self, _: stage::Mailbox<Infallible>, _: &mut Inlets<T>) -> StageResult {
        self.tell(Happened::Started);
        Ok(())
    }

    async fn consume(&mut self, events: Vec<T>, _: &mut Inlets<T>) -> StageResult {
        if let Some(permits) = &self.permits {
            permits.acquire().await?.forget();
        }
        self.tell(Happened::Got(events));
        Ok(())
    }

    async fn subscribed(&mut self, _: InletId, _: &mut Inlets<T>) -> StageResult {
        self.tell(Happened::Subscribed);
        Ok(())
    }

    async fn cancelled(
        &mut self,
        _: InletId,
        reason: &CancelReason,
        _: &mut Inlets<T>,
    ) -> StageResult {
        self.tell(Happened::Cancelled(reason.clone()));
        Ok(())
    }

    async fn stopping(&mut self) {
        self.tell(Happened::Stopping);
    }
}

/// What a recorder tells.
pub(crate) struct Record<T>(UnboundedReceiver<Happened<T>>);

impl<T: std::fmt::Debug> Record<T> {
    /// The next that happens.
    pub(crate) async fn next(&mut self) -> Happened<T> {
        let next = tokio::time::timeout(std::time::Duration::from_secs(20), self.0.recv());
        let next = next.await.expect("nothing more happens");
        next.expect("the specification was dropped")
    }

    /// The next events, past everything else.
    pub(crate) async fn got(&mut self) -> Vec<T> {
        loop {
            if let Happened::Got(events) = self.next().await {
                return events;
            }
        }
    }

    /// The next `count` events, past everything else.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<T> {
        let mut events = Vec::new();
        while events.len() < count {
            events.extend(self.got().await);
        }
        events
    }

    /// The end of a subscription, past everything else.
    pub(crate) async fn cancelled(&mut self) -> CancelReason {
        loop {
            if let Happened::Cancelled(reason) = self.next().await {
                return reason;
            }
        }
    }

    /// Waits until this happens.
    pub(crate) async fn until(&mut self, wanted: &Happened<T>)
    where
        T: PartialEq,
    {
        while self.next().await != *wanted {}
    }
}

pub(crate) fn recorder<T: Send + 'static>(
    name: &str,
) -> (StageSpec<Consumes<Recorder<T>>>, Record<T>) {
    recorder_with(name, None)
}

/// One that takes a step for each permit.
pub(crate) fn slow_recorder<T: Send + 'static>(
    name: &str,
) -> (
    StageSpec<Consumes<Recorder<T>>>,
    Record<T>,
    Arc<tokio::sync::Semaphore>,
) {
    let permits = Arc::new(tokio::sync::Semaphore::new(0));
    let (spec, record) = recorder_with(name, Some(Arc::clone(&permits)));
    (spec, record, permits)
}

fn recorder_with<T: Send + 'static>(
    name: &str,
    permits: Option<Arc<tokio::sync::Semaphore>>,
) -> (StageSpec<Consumes<Recorder<T>>>, Record<T>) {
    let (happened, record) = mpsc::unbounded_channel();
    let build = move || Recorder {
        happened: happened.clone(),
        permits: permits.clone(),
    };
    (stage::consumer(name, build), Record(record))
}

/// Multiplies, and keeps what `keeps` says.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    pub(crate) factor: u64,
    pub(crate) keeps: fn(u64) -> bool,
}

impl Times {
    pub(crate) fn all(factor: u64) -> Self {
        Self {
            factor,
            keeps: |_| true,
        }
    }
}

impl ProducerConsumer for Times {
    type In = u64;
    type Out = u64;
    type Message = Infallible;

    async fn transform(&mut self, events: Vec<u64>, flow: &mut Flow<u64, u64>) -> StageResult {
        let kept = events.into_iter().filter(|event| (self.keeps)(*event));
        flow.outlet.emit_all(kept.map(|event| event * self.factor));
        Ok(())
    }
}

/// Counts how many of its kind are alive.
#[derive(Debug)]
pub(crate) struct Token(Arc<AtomicUsize>);

impl Token {
    pub(crate) fn new(alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(alive))
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Children under a supervisor that restarts each alone.
pub(crate) async fn tree(
    children: impl IntoIterator<Item = callboard::supervision::ChildSpec>,
) -> SupervisorRef {
    let spec = SupervisorSpec::new(Strategy::OneForOne);
    let spec = children
        .into_iter()
        .fold(spec, |spec, child| spec.child(child));
    spec.spawn().await.unwrap()
}

/// Waits until this child has ended, and tells how.
pub(crate) async fn exit_of(
    events: &mut callboard::supervision::Subscription,
    child: &str,
) -> String {
    loop {
        let event = events.next().await.unwrap().unwrap();
        if let callboard::supervision::EventKind::Exited { exit, .. } = event.kind
            && event.path.id() == Some(child)
        {
            return exit.to_string();
        }
    }
}

/// Waits until something holds that nobody tells.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("it never came to be that {what}");
}
