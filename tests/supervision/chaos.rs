//! Everything at once, on several threads: whatever happens, the story the events tell is coherent
//! and nobody survives the tree.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use callboard::supervision::*;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr};

use crate::fixture::{Failed, Order, SECOND};

/// Counts the states of mortals that exist.
struct Alive(Arc<AtomicI64>);

impl Alive {
    fn new(count: &Arc<AtomicI64>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Mortal;

#[ractor::actor(message = Order, state = Alive, arguments = Alive)]
impl Mortal {
    async fn pre_start(
        &self,
        _myself: ActorRef<Order>,
        alive: Alive,
    ) -> Result<Alive, ActorProcessingErr> {
        tokio::time::sleep(Duration::from_micros(fastrand::u64(0..500))).await;
        if fastrand::u8(..) < 10 {
            Err(Failed.into())
        } else {
            Ok(alive)
        }
    }

    async fn handle(
        &self,
        myself: ActorRef<Order>,
        order: Order,
        _alive: &mut Alive,
    ) -> Result<(), ActorProcessingErr> {
        match order {
            Order::Fail => Err(Failed.into()),
            _ => {
                myself.stop(None);
                Ok(())
            }
        }
    }
}

fn mortal(id: &str, count: &Arc<AtomicI64>) -> ChildSpec {
    let count = count.clone();
    let restart = [Restart::Permanent, Restart::Transient, Restart::Temporary];
    ChildSpec::new(id, move |supervisor| {
        spawn_mortal(count.clone(), supervisor)
    })
    .restart(fastrand::choice(restart).unwrap())
    .shutdown(Shutdown::Timeout(Duration::from_millis(fastrand::u64(
        0..3,
    ))))
    .backoff(Backoff::exponential(
        Duration::from_micros(300),
        Duration::from_millis(2),
    ))
}

async fn spawn_mortal(count: Arc<AtomicI64>, supervisor: ActorCell) -> Result<ActorCell, SpawnErr> {
    // Half of them leave the linking to their supervisor.
    let (mortal, _) = match fastrand::bool() {
        true => Actor::spawn_linked(None, Mortal, Alive::new(&count), supervisor).await?,
        false => Actor::spawn(None, Mortal, Alive::new(&count)).await?,
    };
    Ok(mortal.get_cell())
}

const GROUP: [&str; 4] = ["a", "b", "c", "d"];

async fn tree(strategy: Strategy, count: &Arc<AtomicI64>) -> Option<(SupervisorRef, Subscription)> {
    let endless = Intensity::new(u32::MAX, SECOND);
    let group = SupervisorSpec::new(strategy).intensity(endless);
    let group = GROUP
        .iter()
        .fold(group, |group, id| group.child(mortal(id, count)));
    let pool = DynamicSupervisorSpec::new()
        .intensity(endless)
        .max_children(8);
    let events = Events::new(1 << 16);
    let watch = events.subscribe();
    let root = SupervisorSpec::new(Strategy::OneForOne)
        .events(events)
        .intensity(endless)
        .child(ChildSpec::supervisor("group", group))
        .child(ChildSpec::dynamic_supervisor("pool", pool));
    Some((root.spawn().await.ok()?, watch))
}

async fn do_something(root: &SupervisorRef, count: &Arc<AtomicI64>) {
    let (place, id) = match fastrand::bool() {
        true => ("group", fastrand::choice(GROUP).unwrap().to_owned()),
        false => ("pool", format!("worker-{}", fastrand::u8(0..12))),
    };
    let Some(supervisor) = root.child(place) else {
        return;
    };
    let found = root
        .snapshot()
        .find(&[place, &id])
        .and_then(|child| child.info.actor.clone());
    // Whatever is refused is refused: the orders make no sense in general.
    match (fastrand::u8(0..40), found) {
        (0, _) => supervisor.cell().kill(),
        (1..4, _) => drop(supervisor.terminate_child(id).await),
        (4..8, _) => drop(supervisor.restart_child(id).await),
        (8..10, _) => drop(supervisor.delete_child(id).await),
        (10..20, _) => drop(supervisor.start_child(mortal(&id, count)).await),
        (20..25, Some(actor)) => actor.kill(),
        (25..35, Some(actor)) => drop(actor.send_message(Order::Fail)),
        (35..40, Some(actor)) => drop(actor.send_message(Order::Stop)),
        _ => tokio::task::yield_now().await,
    }
}

/// Follows who runs according to the events, and panics if they contradict each other.
fn check(events: &mut Subscription) {
    let mut running: HashMap<String, ActorId> = HashMap::new();
    while let Some(event) = events.try_next() {
        let event = event.unwrap();
        let path = event.path.to_string();
        match event.kind {
            EventKind::Started { actor } | EventKind::Restarted { actor, .. } => {
                assert_eq!(
                    running.insert(path.clone(), actor),
                    None,
                    "{path} runs twice"
                );
            }
            EventKind::Exited { actor, .. } => {
                assert_eq!(running.remove(&path), Some(actor), "{path} did not run");
                forget_below(&path, &mut running);
            }
            EventKind::StartFailed { .. } => forget_below(&path, &mut running),
            _ => {}
        }
    }
    assert!(running.is_empty(), "{running:?}");
}

/// A supervisor that was killed, running or starting, took its children along without a word.
fn forget_below(path: &str, running: &mut HashMap<String, ActorId>) {
    running.retain(|below, _| !below.starts_with(&format!("{path}/")));
}

async fn chaos(strategy: Strategy) {
    let count = Arc::new(AtomicI64::new(0));
    let Some((root, mut events)) = tree(strategy, &count).await else {
        return;
    };
    let clients = (0..4).map(|_| {
        let (root, count) = (root.clone(), count.clone());
        tokio::spawn(async move {
            for _ in 0..400 {
                let done = tokio::time::timeout(20 * SECOND, do_something(&root, &count)).await;
                assert!(done.is_ok(), "no answer; {:#?}", root.snapshot());
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    root.stop_and_wait("done", Some(20 * SECOND)).await.unwrap();
    check(&mut events);
    // What was called off at the very end is still on its way out.
    let gone = async {
        while count.load(Ordering::SeqCst) != 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let gone = tokio::time::timeout(10 * SECOND, gone).await;
    assert!(
        gone.is_ok(),
        "{} actors survived",
        count.load(Ordering::SeqCst)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_for_one_survives_chaos() {
    chaos(Strategy::OneForOne).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_for_all_survives_chaos() {
    chaos(Strategy::OneForAll).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rest_for_one_survives_chaos() {
    chaos(Strategy::RestForOne).await;
}
