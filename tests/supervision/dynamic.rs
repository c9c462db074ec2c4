//! Dynamic supervisors.

use callboard::supervision::*;

use crate::fixture::*;

async fn dynamic(spec: DynamicSupervisorSpec) -> (SupervisorRef, Subscription) {
    let stream = Events::default();
    let mut events = stream.subscribe();
    let root = spec.events(stream).spawn().await.unwrap();
    lines_until(&mut events, ". started").await;
    (root, events)
}

#[tokio::test(start_paused = true)]
async fn no_more_than_max_children_can_be_started() {
    let log = Log::default();
    let (root, mut events) = dynamic(DynamicSupervisorSpec::new().max_children(2)).await;
    root.start_child(probe("a", &log)).await.unwrap();
    let b = root
        .start_child(probe("b", &log).restart(Restart::Transient))
        .await
        .unwrap();
    let error = root.start_child(probe("c", &log)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the supervisor has all the 2 children it may have"
    );
    b.send_message(Order::Stop).unwrap();
    lines_until(&mut events, "b stopped: ordered").await;
    root.start_child(probe("c", &log)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_terminated_child_is_forgotten_and_its_id_free() {
    let log = Log::default();
    let (root, _) = dynamic(DynamicSupervisorSpec::new()).await;
    root.start_child(probe("a", &log)).await.unwrap();
    root.terminate_child("a").await.unwrap();
    assert!(root.which_children().await.unwrap().is_empty());
    let error = root.restart_child("a").await.unwrap_err();
    assert!(
        matches!(error, SupervisorError::UnknownChild { .. }),
        "{error}"
    );
    root.start_child(probe("a", &log)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn children_are_restarted_one_for_one() {
    let log = Log::default();
    let (root, mut events) = dynamic(DynamicSupervisorSpec::new()).await;
    root.start_child(probe("a", &log)).await.unwrap();
    let b = root.start_child(probe("b", &log)).await.unwrap();
    b.kill();
    assert_eq!(
        lines_until(&mut events, "b restarted 1").await,
        ["a started", "b started", "b killed", "b restarted 1"]
    );
}

#[tokio::test(start_paused = true)]
async fn children_are_ended_all_at_once() {
    let log = Log::default();
    let (root, mut events) = dynamic(DynamicSupervisorSpec::new()).await;
    for child in 0..50 {
        let id = format!("worker-{child}");
        let cell = root.start_child(probe(&id, &log)).await.unwrap();
        hang(&cell).await;
    }
    let begun = tokio::time::Instant::now();
    root.stop_and_wait("done", None).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 5);
    let killed = lines_until(&mut events, ". stopped").await;
    assert_eq!(
        killed
            .iter()
            .filter(|line| line.ends_with("killed"))
            .count(),
        50
    );
}

#[tokio::test(start_paused = true)]
async fn significant_children_are_refused() {
    let (root, _) = dynamic(DynamicSupervisorSpec::new()).await;
    let child = probe("a", &Log::default())
        .restart(Restart::Transient)
        .significant();
    let error = root.start_child(child).await.unwrap_err();
    assert!(
        matches!(error, SupervisorError::InvalidChild { .. }),
        "{error}"
    );
}

/// Children that are chosen anew at every start: by the ids that lie here.
fn chosen(ids: &std::sync::Arc<std::sync::Mutex<Vec<&'static str>>>) -> DynamicSupervisorSpec {
    let (ids, log) = (std::sync::Arc::clone(ids), Log::default());
    DynamicSupervisorSpec::new().choose_children(move || {
        let ids = ids.lock().unwrap();
        ids.iter().map(|id| probe(id, &log)).collect()
    })
}

#[tokio::test(start_paused = true)]
async fn children_are_chosen_anew_at_every_start() {
    let ids = std::sync::Arc::new(std::sync::Mutex::new(vec!["a", "b"]));
    let stream = Events::default();
    let mut events = stream.subscribe();
    let root = SupervisorSpec::new(Strategy::OneForOne)
        .child(ChildSpec::dynamic_supervisor("pool", chosen(&ids)))
        .events(stream)
        .spawn()
        .await
        .unwrap();
    lines_until(&mut events, ". started").await;
    let pool = root.child("pool").unwrap();
    let names = async || {
        let children = pool.which_children().await.unwrap();
        children
            .iter()
            .map(|c| c.id.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["a", "b"]);
    pool.start_child(probe("c", &Log::default())).await.unwrap();
    *ids.lock().unwrap() = vec!["b", "d"];
    pool.cell().kill();
    lines_until(&mut events, "pool restarted 1").await;
    assert_eq!(names().await, ["b", "d"]);
}

#[tokio::test(start_paused = true)]
async fn a_choice_that_panics_is_a_failed_start() {
    let spec = DynamicSupervisorSpec::new().choose_children(|| panic!("no children"));
    let error = spec.spawn().await.unwrap_err();
    assert!(
        matches!(error, SupervisorError::SpawnFailed { .. }),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_tolerated_grows_with_the_children() {
    let log = Log::default();
    let spec = DynamicSupervisorSpec::new().intensity(Intensity::new(0, SECOND));
    let (root, mut events) = dynamic(spec.restarts_per_child(1)).await;
    let a = root.start_child(probe("a", &log)).await.unwrap();
    root.start_child(probe("b", &log)).await.unwrap();
    a.kill();
    lines_until(&mut events, "a restarted 1").await;
    for restarts in [2, 3] {
        let children = root.which_children().await.unwrap();
        children[0].actor.as_ref().unwrap().kill();
        if restarts == 2 {
            lines_until(&mut events, "a restarted 2").await;
        }
    }
    // The third within the second is one too many for two children.
    root.cell().wait(None).await.unwrap();
}
