//! How trees end.

use std::time::Duration;

use callboard::supervision::*;

use crate::fixture::*;

#[tokio::test(start_paused = true)]
async fn a_stopped_supervisor_stops_its_children_in_reverse_and_each_runs_its_post_stop() {
    let log = Log::default();
    let spec = SupervisorSpec::new(Strategy::OneForOne);
    let spec = ["a", "b", "c"]
        .iter()
        .fold(spec, |spec, id| spec.child(probe(id, &log)));
    let mut tree = Tree::spawn(spec).await;
    tree.root
        .stop_and_wait("done", Some(60 * SECOND))
        .await
        .unwrap();
    assert_eq!(
        tree.lines_until(". stopped").await,
        [
            "c stopped: shutdown",
            "b stopped: shutdown",
            "a stopped: shutdown",
            ". stopped"
        ]
    );
    assert_eq!(log.take(), ["c stopped", "b stopped", "a stopped"]);
    let snapshot = tree.root.snapshot();
    assert_eq!(snapshot.info.status, ChildStatus::Stopped);
    assert!(snapshot.children.is_empty());
}

/// How long it takes to end a child that hangs, and how it ended.
async fn end_hanging(shutdown: Shutdown) -> (Duration, Vec<String>) {
    let spec = SupervisorSpec::new(Strategy::OneForOne);
    let mut tree = Tree::spawn(spec.child(probe("a", &Log::default()).shutdown(shutdown))).await;
    tree.hang(&["a"]).await;
    let begun = tokio::time::Instant::now();
    tree.root.stop_and_wait("done", None).await.unwrap();
    (begun.elapsed(), tree.lines_until(". stopped").await)
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_stop_in_time_is_killed() {
    let (took, lines) = end_hanging(Shutdown::Timeout(7 * SECOND)).await;
    assert_eq!(lines, ["a killed", ". stopped"]);
    assert_eq!(took.as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_brutal_kill_takes_no_time() {
    let (took, lines) = end_hanging(Shutdown::BrutalKill).await;
    assert_eq!(lines, ["a killed", ". stopped"]);
    assert_eq!(took.as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_brutal_kill_runs_no_post_stop() {
    let log = Log::default();
    let spec = SupervisorSpec::new(Strategy::OneForOne);
    let child = probe("a", &log).shutdown(Shutdown::BrutalKill);
    let tree = Tree::spawn(spec.child(child).child(probe("b", &log))).await;
    tree.root.stop_and_wait("done", None).await.unwrap();
    assert_eq!(log.take(), ["b stopped"]);
}

#[tokio::test(start_paused = true)]
async fn infinity_waits_as_long_as_it_takes() {
    let spec = SupervisorSpec::new(Strategy::OneForOne);
    let child = probe("a", &Log::default()).shutdown(Shutdown::Infinity);
    let tree = Tree::spawn(spec.child(child)).await;
    tree.hang(&["a"]).await;
    let error = tree
        .root
        .stop_and_wait("done", Some(3600 * SECOND))
        .await
        .unwrap_err();
    assert!(
        matches!(error, SupervisorError::StopTimedOut { .. }),
        "{error}"
    );
    assert_eq!(tree.status(&["a"]), ChildStatus::Stopping);
    tree.cell(&["a"]).kill();
    tree.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_blocks_its_thread_is_abandoned() {
    let shutdown = Shutdown::Timeout(Duration::from_millis(10));
    let spec = SupervisorSpec::new(Strategy::OneForOne);
    let mut tree = Tree::spawn(spec.child(probe("a", &Log::default()).shutdown(shutdown))).await;
    let (gate, closed) = std::sync::mpsc::channel();
    let (enter, entered) = tokio::sync::oneshot::channel();
    tree.tell(&["a"], Order::Block(enter, closed));
    entered.await.unwrap();
    tree.root
        .stop_and_wait("done", Some(60 * SECOND))
        .await
        .unwrap();
    assert_eq!(
        tree.lines_until(". stopped").await,
        ["a abandoned", ". stopped"]
    );
    drop(gate);
}

#[tokio::test(start_paused = true)]
async fn a_child_killed_by_somebody_else_while_it_is_stopped_does_not_hold_up_the_rest() {
    let log = Log::default();
    let spec = SupervisorSpec::new(Strategy::OneForOne);
    let spec = spec
        .child(probe("a", &log))
        .child(probe("b", &log).shutdown(Shutdown::Infinity));
    let tree = Tree::spawn(spec).await;
    tree.hang(&["b"]).await;
    tree.cell(&["b"]).stop(Some("asked before".into()));
    tree.root.stop("done");
    while tree.status(&["b"]) != ChildStatus::Stopping {
        tokio::task::yield_now().await;
    }
    tree.cell(&["b"]).kill();
    tree.ended().await;
    assert_eq!(log.take(), ["a stopped"]);
}
