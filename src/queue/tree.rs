//! A queue's part of the supervision tree: a supervisor over the fetcher and the workers.

use std::sync::Arc;
use std::time::Duration;

use super::claimer::Claimer;
use super::executor::JobPanicked;
use super::fetcher::{Fetcher, FetcherArgs};
use super::lease::Lease;
use super::worker::{Worker, WorkerArgs};
use super::{Office, Queue};
use crate::stage::ProducerAddress;
use crate::supervision::{
    Backoff, ChildSpec, Exit, ExitKind, Intensity, Shutdown, Strategy, SupervisorSpec,
};

/// A queue as a child of the board's queues.
pub(crate) fn queue_child(queue: &Queue, office: &Arc<Office>) -> ChildSpec {
    let address = Arc::new(ProducerAddress::new());
    let workers = workers(queue, office, &address);
    let supervisor = SupervisorSpec::new(Strategy::OneForOne)
        // Its own crashes are few; a melt-down of the workers counts once.
        .intensity(Intensity {
            max_restarts: 5,
            within: Duration::from_secs(30),
        })
        .child(fetcher(queue, office, &address))
        .child(
            ChildSpec::supervisor("workers", workers)
                .backoff(returning())
                .uncounted(is_killed),
        );
    ChildSpec::supervisor(&*queue.name, supervisor)
        .role("queue")
        .backoff(returning())
        .uncounted(is_killed)
}

/// How a part that melted down returns.
fn returning() -> Backoff {
    Backoff::exponential(Duration::from_millis(50), Duration::from_secs(30))
}

fn fetcher(
    queue: &Queue,
    office: &Arc<Office>,
    address: &Arc<ProducerAddress<Lease>>,
) -> ChildSpec {
    let args = FetcherArgs {
        office: Arc::clone(office),
        queue: queue.clone(),
        address: Arc::clone(address),
        claimer: Claimer::new(office, &queue.name),
    };
    ChildSpec::actor("fetcher", Fetcher, args)
        .role("fetcher")
        .uncounted(is_killed)
}

fn workers(
    queue: &Queue,
    office: &Arc<Office>,
    address: &Arc<ProducerAddress<Lease>>,
) -> SupervisorSpec {
    let intensity = Intensity {
        max_restarts: queue.workers.saturating_mul(5).saturating_add(5),
        within: Duration::from_secs(30),
    };
    let supervisor = SupervisorSpec::new(Strategy::OneForOne).intensity(intensity);
    (1..=queue.workers).fold(supervisor, |supervisor, number| {
        let name: Arc<str> = format!("worker-{number}").into();
        let args = WorkerArgs {
            office: Arc::clone(office),
            queue: queue.clone(),
            address: Arc::clone(address),
            name,
        };
        supervisor.child(worker(args))
    })
}

fn worker(args: WorkerArgs) -> ChildSpec {
    ChildSpec::actor(&*args.name.clone(), Worker, args)
        .role("worker")
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
