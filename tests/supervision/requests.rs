//! What clients ask of a running supervisor.

use callboard::supervision::*;

use crate::fixture::*;

#[tokio::test(start_paused = true)]
async fn children_can_be_started_terminated_restarted_and_deleted() {
    let log = Log::default();
    let tree = Tree::spawn(SupervisorSpec::new(Strategy::OneForOne)).await;
    let first = tree.root.start_child(probe("a", &log)).await.unwrap();
    assert_eq!(tree.cell(&["a"]).get_id(), first.get_id());

    tree.root.terminate_child("a").await.unwrap();
    assert_eq!(tree.children().await, [("a".into(), ChildStatus::Stopped)]);
    assert_eq!(log.take(), ["a stopped"]);

    let second = tree.root.restart_child("a").await.unwrap();
    assert_ne!(first.get_id(), second.get_id());

    tree.root.terminate_child("a").await.unwrap();
    tree.root.delete_child("a").await.unwrap();
    assert!(tree.children().await.is_empty());
    assert!(tree.root.snapshot().children.is_empty());
}

#[tokio::test(start_paused = true)]
async fn requests_that_do_not_fit_the_child_are_refused() {
    let log = Log::default();
    let tree = Tree::spawn(SupervisorSpec::new(Strategy::OneForOne).child(probe("a", &log))).await;
    let root = &tree.root;
    let refused = [
        root.start_child(probe("a", &log)).await.map(drop),
        root.restart_child("a").await.map(drop),
        root.delete_child("a").await,
        root.terminate_child("b").await,
        root.restart_child("b").await.map(drop),
        root.delete_child("b").await,
    ];
    root.terminate_child("a").await.unwrap();
    let present = root.start_child(probe("a", &log)).await.map(drop);
    let refused = refused.into_iter().chain([present]);
    assert_eq!(
        refused
            .map(|refused| refused.unwrap_err().to_string())
            .collect::<Vec<_>>(),
        [
            "child `a` is already started",
            "child `a` is running",
            "child `a` is running",
            "no child has the id `b`",
            "no child has the id `b`",
            "no child has the id `b`",
            "child `a` is already present, but not running",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_child_that_backs_off_can_only_be_terminated() {
    let log = Log::default();
    let child = probe("a", &log).backoff(Backoff::exponential(60 * SECOND, 60 * SECOND));
    let mut tree = Tree::spawn(SupervisorSpec::new(Strategy::OneForOne).child(child)).await;
    tree.cell(&["a"]).kill();
    tree.lines_until("a backs off 1").await;
    let error = tree.root.restart_child("a").await.unwrap_err();
    assert!(
        matches!(error, SupervisorError::ChildRestarting { .. }),
        "{error}"
    );
    let error = tree.root.delete_child("a").await.unwrap_err();
    assert!(
        matches!(error, SupervisorError::ChildRestarting { .. }),
        "{error}"
    );
    tree.root.terminate_child("a").await.unwrap();
    tokio::time::advance(120 * SECOND).await;
    assert_eq!(tree.children().await, [("a".into(), ChildStatus::Stopped)]);
}

#[tokio::test(start_paused = true)]
async fn terminating_the_child_that_backs_off_lets_its_siblings_start() {
    let log = Log::default();
    let spec = SupervisorSpec::new(Strategy::OneForAll)
        .child(probe("a", &log))
        .child(probe("b", &log).backoff(Backoff::exponential(60 * SECOND, 60 * SECOND)));
    let mut tree = Tree::spawn(spec).await;
    tree.cell(&["b"]).kill();
    tree.lines_until("b backs off 1").await;
    tree.root.terminate_child("b").await.unwrap();
    assert_eq!(tree.lines_until("a restarted 1").await, ["a restarted 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_child_whose_start_fails_on_request_is_not_added_and_costs_nothing() {
    let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(Intensity::new(0, SECOND));
    let tree = Tree::spawn(spec).await;
    for _ in 0..10 {
        let child = ChildSpec::new("a", |_| async { panic!("no model") });
        let error = tree.root.start_child(child).await.unwrap_err();
        assert_eq!(error.to_string(), "child `a`: start failed: no model");
    }
    assert!(tree.children().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_gives_up_harms_nobody() {
    let log = Log::default();
    let child = probe("a", &log).shutdown(Shutdown::Timeout(60 * SECOND));
    let tree = Tree::spawn(SupervisorSpec::new(Strategy::OneForOne).child(child)).await;
    tree.hang(&["a"]).await;
    let terminate = tokio::time::timeout(SECOND, tree.root.terminate_child("a"));
    assert!(terminate.await.is_err());
    let which = tokio::time::timeout(SECOND, tree.root.which_children());
    assert!(which.await.is_err());
    assert_eq!(tree.status(&["a"]), ChildStatus::Stopping);
    assert_eq!(tree.children().await, [("a".into(), ChildStatus::Stopped)]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_linked_stranger_is_ignored() {
    let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(Intensity::new(0, SECOND));
    let tree = Tree::spawn(spec.child(probe("a", &Log::default()))).await;
    let stranger = spawn_probe("x".into(), Log::default(), tree.root.cell())
        .await
        .unwrap();
    stranger.send_message(Order::Panic).unwrap();
    stranger.wait(None).await.unwrap();
    assert_eq!(tree.children().await, [("a".into(), ChildStatus::Running)]);
}

#[tokio::test(start_paused = true)]
async fn children_are_counted_by_kind() {
    let log = Log::default();
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .child(probe("a", &log))
        .child(probe("b", &log))
        .child(ChildSpec::dynamic_supervisor(
            "d",
            DynamicSupervisorSpec::new(),
        ));
    let tree = Tree::spawn(spec).await;
    tree.root.terminate_child("a").await.unwrap();
    let counts = tree.root.count_children().await.unwrap();
    assert_eq!((counts.specs, counts.active), (3, 2));
    assert_eq!((counts.supervisors, counts.workers), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_taken_while_the_supervisor_is_busy() {
    let log = Log::default();
    let child = probe("a", &log).role("mailer").shutdown(Shutdown::Infinity);
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .child(child)
        .child(probe("b", &log));
    let tree = Tree::spawn(spec).await;
    tree.hang(&["a"]).await;
    let root = tree.root.clone();
    let terminate = tokio::spawn(async move { root.terminate_child("a").await });
    tokio::time::advance(SECOND).await;

    let snapshot = tree.root.snapshot();
    let a = &snapshot.find(&["a"]).unwrap().info;
    assert_eq!((a.status, &*a.role), (ChildStatus::Stopping, "mailer"));
    assert_eq!(a.age, Some(SECOND));
    assert_eq!(
        snapshot.find(&["b"]).unwrap().info.status,
        ChildStatus::Running
    );

    tree.cell(&["a"]).kill();
    terminate.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_falls_behind_is_told_how_far() {
    let events = Events::new(2);
    let mut watch = events.subscribe();
    let spec = SupervisorSpec::new(Strategy::OneForOne).events(events);
    let spec = ["a", "b", "c"]
        .iter()
        .fold(spec, |spec, id| spec.child(probe(id, &Log::default())));
    let _root = spec.spawn().await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap_err(), Lagged(1));
    assert!(watch.next().await.unwrap().unwrap().path == ["b"]);
}
