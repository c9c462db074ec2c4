//! Starts that fail, are slow, or are called off.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use callboard::supervision::*;
use ractor::SpawnErr;
use tokio::sync::{Notify, Semaphore};

use crate::fixture::*;

/// A probe that starts the first time and then fails to start `failures` times.
fn flaky(id: &str, log: &Log, failures: u32) -> ChildSpec {
    let starts = Arc::new(AtomicU32::new(0));
    let (name, log) = (id.to_owned(), log.clone());
    ChildSpec::new(id, move |supervisor| {
        let start = starts.fetch_add(1, Ordering::Relaxed);
        let (name, log) = (name.clone(), log.clone());
        async move {
            match start {
                start if (1..=failures).contains(&start) => {
                    Err(SpawnErr::StartupFailed(Failed.into()))
                }
                _ => spawn_probe(name, log, supervisor).await,
            }
        }
    })
}

/// A probe whose starts wait for permits of `gate`.
fn gated(id: &str, log: &Log, gate: &Arc<Semaphore>) -> ChildSpec {
    let (name, log, gate) = (id.to_owned(), log.clone(), gate.clone());
    ChildSpec::new(id, move |supervisor| {
        let (name, log, gate) = (name.clone(), log.clone(), gate.clone());
        async move {
            gate.acquire().await.unwrap().forget();
            spawn_probe(name, log, supervisor).await
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_child_that_fails_at_first_fails_the_supervisor_and_those_before_it_are_stopped() {
    let log = Log::default();
    let events = Events::default();
    let mut watch = events.subscribe();
    let error = SupervisorSpec::new(Strategy::OneForOne)
        .events(events)
        .child(probe("a", &log))
        .child(probe("b", &log))
        .child(ChildSpec::new("c", |_| async {
            Err(SpawnErr::StartupFailed(Failed.into()))
        }))
        .child(probe("d", &log))
        .spawn()
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "child `c`: start failed: ordered to fail"
    );
    let SupervisorError::StartFailed { exit, .. } = error else {
        panic!("{error}")
    };
    assert!(exit.error().unwrap().is::<Failed>());
    assert_eq!(log.take(), ["b stopped", "a stopped"]);
    assert_eq!(
        lines_until(&mut watch, "a stopped: shutdown").await,
        [
            "a started",
            "b started",
            "c start failed: ordered to fail",
            "b stopped: shutdown",
            "a stopped: shutdown"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_start_that_panics_is_a_failed_start() {
    let child = ChildSpec::new("a", |_| async { panic!("no model") });
    let error = SupervisorSpec::new(Strategy::OneForOne)
        .child(child)
        .spawn()
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "child `a`: start failed: no model");
}

#[tokio::test(start_paused = true)]
async fn two_children_with_one_id_are_refused_before_anything_starts() {
    let log = Log::default();
    let spec = SupervisorSpec::new(Strategy::OneForOne);
    let error = spec
        .child(probe("a", &log))
        .child(probe("a", &log))
        .spawn()
        .await
        .unwrap_err();
    assert!(
        matches!(error, SupervisorError::AlreadyPresent { .. }),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_restart_is_another_failure_and_backs_off() {
    let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(Intensity::new(3, 60 * SECOND));
    let child = flaky("a", &Log::default(), 2).backoff(Backoff::exponential(SECOND, 4 * SECOND));
    let mut tree = Tree::spawn(spec.child(child)).await;
    tree.cell(&["a"]).kill();
    assert_eq!(
        tree.lines_until("a restarted 1").await,
        [
            "a killed",
            "a backs off 1",
            "a start failed: ordered to fail",
            "a backs off 2",
            "a start failed: ordered to fail",
            "a backs off 3",
            "a restarted 1",
        ]
    );
    tree.cell(&["a"]).kill();
    tree.lines_until(". gave up on a after 3 in 60s").await;
}

#[tokio::test(start_paused = true)]
async fn failed_restarts_alone_spend_the_intensity() {
    let spec = SupervisorSpec::new(Strategy::OneForOne);
    let mut tree = Tree::spawn(spec.child(flaky("a", &Log::default(), 100))).await;
    tree.cell(&["a"]).kill();
    let lines = tree.lines_until(". gave up on a after 3 in 5s").await;
    let failed = lines
        .iter()
        .filter(|line| line.contains("start failed"))
        .count();
    assert_eq!(failed, 3);
    tree.ended().await;
}

#[tokio::test(start_paused = true)]
async fn siblings_restarted_together_are_stopped_again_when_one_of_them_does_not_start() {
    let log = Log::default();
    let spec = SupervisorSpec::new(Strategy::OneForAll);
    let mut tree = Tree::spawn(spec.child(probe("a", &log)).child(flaky("b", &log, 1))).await;
    tree.cell(&["a"]).kill();
    assert_eq!(
        tree.lines_until("b restarted 1").await,
        [
            "a killed",
            "b stopped: shutdown",
            "a restarted 1",
            "b start failed: ordered to fail",
            "a stopped: shutdown",
            "a restarted 2",
            "b restarted 1",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_start_does_not_hold_up_siblings() {
    let (log, gate) = (Log::default(), Arc::new(Semaphore::new(1)));
    let spec = SupervisorSpec::new(Strategy::OneForOne);
    let mut tree = Tree::spawn(
        spec.child(gated("slow", &log, &gate))
            .child(probe("b", &log)),
    )
    .await;
    tree.cell(&["slow"]).kill();
    tree.lines_until("slow killed").await;
    tree.tell(&["b"], Order::Fail);
    tree.lines_until("b restarted 1").await;
    assert_eq!(tree.status(&["slow"]), ChildStatus::Restarting);
    assert_eq!(tree.children().await[0].1, ChildStatus::Restarting);
    gate.add_permits(1);
    tree.lines_until("slow restarted 1").await;
}

#[tokio::test(start_paused = true)]
async fn terminating_a_child_that_is_starting_calls_its_start_off() {
    let (log, gate) = (Log::default(), Arc::new(Semaphore::new(0)));
    let mut tree = Tree::spawn(SupervisorSpec::new(Strategy::OneForOne)).await;
    let (root, child) = (tree.root.clone(), gated("a", &log, &gate));
    let start = tokio::spawn(async move { root.start_child(child).await });
    tokio::task::yield_now().await;
    assert_eq!(tree.children().await, [("a".into(), ChildStatus::Starting)]);
    tree.root.terminate_child("a").await.unwrap();
    let error = start.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "child `a`: start failed: called off");
    assert_eq!(
        tree.lines_until("a start failed: called off").await.len(),
        1
    );
    assert!(tree.children().await.is_empty());
    assert!(tree.root.cell().get_children().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_start_that_ends_while_the_supervisor_stops_leaves_nothing_behind() {
    let (log, gate) = (Log::default(), Arc::new(Semaphore::new(0)));
    let tree = Tree::spawn(SupervisorSpec::new(Strategy::OneForOne)).await;
    let spawned = Arc::new(std::sync::Mutex::new(None));
    let (log2, gate2, spawned2) = (log.clone(), gate.clone(), spawned.clone());
    // Spawned without a link, so that ractor does not end it for us.
    let child = ChildSpec::new("a", move |_| {
        let (log, gate, spawned) = (log2.clone(), gate2.clone(), spawned2.clone());
        async move {
            gate.acquire().await.unwrap().forget();
            let (probe, _) = ractor::Actor::spawn(None, Probe, ("a".into(), log)).await?;
            *spawned.lock().unwrap() = Some(probe.get_cell());
            Ok(probe.get_cell())
        }
    });
    let root = tree.root.clone();
    let start = tokio::spawn(async move { root.start_child(child).await });
    tokio::task::yield_now().await;
    assert_eq!(tree.children().await, [("a".into(), ChildStatus::Starting)]);
    tree.root.stop("done");
    tokio::task::yield_now().await;
    gate.add_permits(1);
    tree.ended().await;
    assert!(matches!(
        start.await.unwrap(),
        Err(SupervisorError::NotRunning)
    ));
    let cell = spawned.lock().unwrap().take().unwrap();
    assert_eq!(cell.get_status(), ractor::ActorStatus::Stopped);
    assert_eq!(log.take(), ["a stopped"]);
}

#[tokio::test(start_paused = true)]
async fn a_start_under_way_is_aborted_when_its_supervisor_is_killed() {
    let (log, gate) = (Log::default(), Arc::new(Semaphore::new(1)));
    let mut tree =
        Tree::spawn(SupervisorSpec::new(Strategy::OneForOne).child(gated("a", &log, &gate))).await;
    tree.cell(&["a"]).kill();
    tree.lines_until("a killed").await;
    tree.root.cell().kill_and_wait(None).await.unwrap();
    tokio::task::yield_now().await;
    // Nobody but this test holds the gate: the start that waited at it is gone, and so is the spec.
    assert_eq!(Arc::strong_count(&gate), 1);
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_ended_before_it_could_be_linked_is_restarted() {
    let starts = Arc::new(AtomicU32::new(0));
    let child = ChildSpec::new("a", move |_| {
        let start = starts.fetch_add(1, Ordering::Relaxed);
        async move {
            let (probe, _) =
                ractor::Actor::spawn(None, Probe, ("a".into(), Log::default())).await?;
            if start == 0 {
                probe.stop_and_wait(None, None).await.unwrap();
            }
            Ok(probe.get_cell())
        }
    });
    let mut tree = Tree::spawn(SupervisorSpec::new(Strategy::OneForOne)).await;
    tree.root.start_child(child).await.unwrap();
    let lines = tree.lines_until("a restarted 1").await;
    assert_eq!(lines, ["a started", "a lost", "a restarted 1"]);
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_failed_before_it_was_claimed_keeps_its_reason() {
    let starts = Arc::new(AtomicU32::new(0));
    let gone = Arc::new(Notify::new());
    let child = ChildSpec::new("a", move |supervisor| {
        let (start, gone) = (starts.fetch_add(1, Ordering::Relaxed), gone.clone());
        async move {
            let cell = spawn_probe("a".into(), Log::default(), supervisor).await?;
            if start == 0 {
                cell.send_message(Order::Fail).unwrap();
                cell.wait(None).await.unwrap();
                tokio::task::yield_now().await;
            }
            gone.notify_one();
            Ok(cell)
        }
    });
    let mut tree = Tree::spawn(SupervisorSpec::new(Strategy::OneForOne)).await;
    tree.root.start_child(child).await.unwrap();
    let lines = tree.lines_until("a restarted 1").await;
    assert_eq!(
        lines,
        ["a started", "a failed: ordered to fail", "a restarted 1"]
    );
}
