//! Crash after crash in one process: every one is noticed, every one is followed by a restart, and nothing piles up.

use std::time::Duration;

use callboard::supervision::*;
use ractor::{ActorProcessingErr, ActorRef};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::alone::{resident, run_alone, tasks};

/// What a mayfly says when it crashes.
const WORDS: &str = "as it was told to";
const CHILDREN: usize = 8;
/// What an allocator may keep for itself.
const ROOM: usize = 24 << 20;

struct Crash;

#[cfg(feature = "cluster")]
impl ractor::Message for Crash {}

/// Says that it runs, and panics when it is told to.
#[derive(Clone, Copy)]
struct Mayfly;

#[ractor::actor(message = Crash, state = (), arguments = UnboundedSender<ActorRef<Crash>>)]
impl Mayfly {
    async fn pre_start(
        &self,
        myself: ActorRef<Crash>,
        born: UnboundedSender<ActorRef<Crash>>,
    ) -> Result<(), ActorProcessingErr> {
        born.send(myself)?;
        Ok(())
    }

    async fn handle(
        &self,
        _myself: ActorRef<Crash>,
        _message: Crash,
        _state: &mut (),
    ) -> Result<(), ActorProcessingErr> {
        panic!("{WORDS}")
    }
}

fn restarts(root: &SupervisorRef) -> usize {
    let tree = root.snapshot();
    let restarts = tree.children.iter().map(|child| child.info.restarts);
    restarts.sum::<u32>() as usize
}

/// Waits until nothing is starting, so that two counts of tasks can be compared.
async fn until_tasks(expected: usize) {
    let settled = async {
        while tasks() != expected {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let settled = tokio::time::timeout(Duration::from_secs(20), settled).await;
    assert!(settled.is_ok(), "{} tasks and not {expected}", tasks());
}

async fn crash_often(crashes: usize) {
    // A million texts would hide what is worth reading.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload_as_str() != Some(WORDS) {
            usual(info);
        }
    }));
    let (sender, mut born) = unbounded_channel();
    let endless = Intensity::new(u32::MAX, Duration::from_millis(1));
    let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(endless);
    let spec = (0..CHILDREN).fold(spec, |spec, n| {
        spec.child(ChildSpec::actor(n.to_string(), Mayfly, sender.clone()))
    });
    let root = spec.spawn().await.unwrap();
    let mut events = root.events();
    let counting = tokio::spawn(async move {
        let mut exits_and_restarts = 0;
        while let Some(event) = events.next().await {
            exits_and_restarts += match event {
                Ok(event) => match event.kind {
                    EventKind::Exited { exit, .. } if !exit.is_normal() => 1,
                    EventKind::Restarted { .. } => 1,
                    EventKind::Started { .. } | EventKind::Exited { .. } => 0,
                    other => panic!("{other:?}"),
                },
                Err(Lagged(missed)) => missed,
            };
        }
        exits_and_restarts
    });
    // The first few make every pool and every buffer as large as it gets.
    let warm_up = crashes / 10;
    let mut before = (0, 0);
    for crash in 0..warm_up + crashes {
        if crash == warm_up {
            before = (resident(), tasks());
        }
        let running = born.recv().await.unwrap();
        running.send_message(Crash).unwrap();
    }
    // Every crash is followed by a birth.
    for _ in 0..CHILDREN {
        born.recv().await.unwrap();
    }
    let all = warm_up + crashes;
    let noticed = async {
        while restarts(&root) < all {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let noticed = tokio::time::timeout(Duration::from_secs(20), noticed).await;
    noticed.expect("every crash is followed by a restart");
    assert_eq!(restarts(&root), all);
    // The supervisor, its children, the counting above.
    until_tasks(1 + CHILDREN + 1).await;
    let grown = resident().saturating_sub(before.0);
    println!(
        "{crashes} crashes: resident {} KiB before, {} KiB more after; {} tasks before, {} after",
        before.0 >> 10,
        grown >> 10,
        before.1,
        tasks()
    );
    assert!(grown < ROOM, "{grown} bytes more after {crashes} crashes");
    root.stop_and_wait("done", None).await.unwrap();
    drop(root);
    let events = counting.await.unwrap();
    assert_eq!(events, 2 * all as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "in a process of its own, started by the test below"]
async fn twenty_thousand() {
    crash_often(20_000).await;
}

#[test]
fn twenty_thousand_crashes_are_noticed_and_leave_nothing_behind() {
    run_alone("crashes::twenty_thousand");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: cargo test --release --test supervision a_million -- --ignored --nocapture"]
async fn a_million_crashes_are_noticed_and_leave_nothing_behind() {
    crash_often(1_000_000).await;
}
