//! A queue's part of the supervision tree: a supervisor over the fetcher and the workers.

use std::sync::Arc;
use std::time::Duration;

use super::arrivals::Arrivals;
use super::autoscaler::{Autoscaler, AutoscalerArgs};
use super::claimer::Claimer;
use super::executor::JobPanicked;
use super::fetcher::{Fetcher, FetcherArgs};
use super::lease::Lease;
use super::worker::{Worker, WorkerArgs};
use super::{Autoscale, Desk, Office, Queue, Seat};
use crate::stage::{
    self, Asks, BufferOptions, Cancel, Consumes, Produces, Source, StageSpec, SubscribeOptions,
};
use crate::supervision::{
    Backoff, ChildSpec, DynamicSupervisorSpec, Exit, ExitKind, Intensity, Restart, Shutdown,
    Strategy, SupervisorSpec,
};

/// A queue as a child of the board's queues.
pub(crate) fn queue_child(desk: &Arc<Desk>, office: &Arc<Office>) -> ChildSpec {
    let queue = &desk.queue;
    let fetcher = fetcher(desk, office);
    let supervisor = SupervisorSpec::new(Strategy::OneForOne)
        // Its own crashes are few; a melt-down of the workers counts once, and so does a job that a stage
        // in between cannot bear.
        .intensity(Intensity {
            max_restarts: 5 + 20 * queue.through.len() as u32,
            within: Duration::from_secs(30),
        })
        .child(fetcher.child().role("fetcher").uncounted(is_killed));
    let (supervisor, source) = through(queue, supervisor, fetcher.source());
    let workers = workers(desk, office, source);
    let supervisor = supervisor.child(
        ChildSpec::dynamic_supervisor("workers", workers)
            .backoff(returning())
            .uncounted(is_killed),
    );
    let supervisor = match &queue.autoscale {
        Some(options) => supervisor.child(autoscaler(desk, office, options)),
        None => supervisor,
    };
    ChildSpec::supervisor(&*queue.name, supervisor)
        .role("queue")
        .backoff(returning())
        .uncounted(is_killed)
}

/// How a part that melted down returns.
fn returning() -> Backoff {
    Backoff::exponential(Duration::from_millis(50), Duration::from_secs(30))
}

fn fetcher(desk: &Arc<Desk>, office: &Arc<Office>) -> StageSpec<Produces<Fetcher>> {
    let queue = &desk.queue;
    let args = FetcherArgs {
        office: Arc::clone(office),
        queue: queue.clone(),
        desk: Arc::clone(desk),
        claimer: Claimer::new(office, queue),
        arrivals: Arrivals::new(office, desk),
    };
    // It claims what is asked for and a bounded look-ahead.
    stage::producer("fetcher", move || Fetcher::new(args.clone()))
        .buffer(BufferOptions::unbounded())
}

/// The stages between the fetcher and the workers, in their order, and where the last one's jobs are
/// to be had.
fn through(
    queue: &Queue,
    supervisor: SupervisorSpec,
    source: Source<Lease>,
) -> (SupervisorSpec, Source<Lease>) {
    let stages = queue.through.iter();
    stages.fold((supervisor, source), |(supervisor, source), stage| {
        let (child, source) = stage.after(source);
        let child = child.backoff(returning()).uncounted(is_killed);
        (supervisor.child(child), source)
    })
}

/// The workers: as many as the desk has seats for, at every start.
fn workers(desk: &Arc<Desk>, office: &Arc<Office>, source: Source<Lease>) -> DynamicSupervisorSpec {
    let (desk, office) = (Arc::clone(desk), Arc::clone(office));
    let intensity = Intensity {
        max_restarts: 5,
        within: Duration::from_secs(30),
    };
    DynamicSupervisorSpec::new()
        .intensity(intensity)
        .restarts_per_child(5)
        .choose_children(move || {
            let seats = desk.seats_anew(&source).into_iter();
            seats
                .map(|seat| worker(&office, &desk, &seat, &source))
                .collect()
        })
}

fn autoscaler(desk: &Arc<Desk>, office: &Arc<Office>, options: &Autoscale) -> ChildSpec {
    let args = AutoscalerArgs {
        office: Arc::clone(office),
        desk: Arc::clone(desk),
        options: options.clone(),
    };
    ChildSpec::actor("autoscaler", Autoscaler, args)
        .role("autoscaler")
        .shutdown(Shutdown::BrutalKill)
        .uncounted(is_killed)
}

/// A worker in its seat.
pub(super) fn worker(
    office: &Arc<Office>,
    desk: &Arc<Desk>,
    seat: &Arc<Seat>,
    source: &Source<Lease>,
) -> ChildSpec {
    let args = WorkerArgs {
        office: Arc::clone(office),
        desk: Arc::clone(desk),
        seat: Arc::clone(seat),
    };
    let options = SubscribeOptions::new()
        .asks(Asks::Manual)
        .cancel(Cancel::Resubscribe(Backoff::none()));
    let worker = stage::consumer(Arc::clone(&seat.name), move || Worker::new(args.clone()));
    worker_child(&worker.subscribe(source.clone(), options))
}

fn worker_child(worker: &StageSpec<Consumes<Worker>>) -> ChildSpec {
    worker
        .child()
        .role("worker")
        // One that stops has left, since it was one too many.
        .restart(Restart::Transient)
        // Before a board stops, its gate lets handlers finish and cuts off those that do not. A worker that
        // is still busy then, or whose queue melts down, is not waited for; its lease answers.
        .shutdown(Shutdown::BrutalKill)
        .backoff(returning().reset_after(Duration::from_secs(10)))
        // A panic is the job's failure and not the worker's.
        .uncounted(|exit| has_panicked(exit) || is_killed(exit))
}

/// Nothing kills itself: a kill comes from outside and says nothing about what it hit, so that is
/// restarted at once, however often.
pub(crate) fn is_killed(exit: &Exit) -> bool {
    exit.kind() == ExitKind::Killed
}

fn has_panicked(exit: &Exit) -> bool {
    exit.error().is_some_and(|error| error.is::<JobPanicked>())
}
