//! Which exits lead to a restart, and what restarts cost.

use callboard::supervision::*;

use crate::fixture::*;

/// Makes child `a` end by stop, error, panic and kill in turn; says what became of it each time.
async fn after_each_end(restart: Restart) -> [Option<ChildStatus>; 4] {
    [
        after(
            restart,
            |tree| tree.tell(&["a"], Order::Stop),
            "a stopped: ordered",
        )
        .await,
        after(
            restart,
            |tree| tree.tell(&["a"], Order::Fail),
            "a failed: ordered to fail",
        )
        .await,
        after(
            restart,
            |tree| tree.tell(&["a"], Order::Panic),
            "a failed: ordered to panic",
        )
        .await,
        after(restart, |tree| tree.cell(&["a"]).kill(), "a killed").await,
    ]
}

async fn after(restart: Restart, end: impl Fn(&Tree), exit: &str) -> Option<ChildStatus> {
    let child = probe("a", &Log::default()).restart(restart);
    let mut tree = Tree::spawn(SupervisorSpec::new(Strategy::OneForOne).child(child)).await;
    end(&tree);
    assert_eq!(tree.lines_until(exit).await, [exit]);
    let status = |children: &[(String, ChildStatus)]| children.first().map(|(_, status)| *status);
    if status(&tree.children().await) == Some(ChildStatus::Restarting) {
        tree.lines_until("a restarted 1").await;
    }
    status(&tree.children().await)
}

use ChildStatus::{Running, Stopped};

#[tokio::test(start_paused = true)]
async fn a_permanent_child_is_restarted_however_it_ends() {
    assert_eq!(after_each_end(Restart::Permanent).await, [Some(Running); 4]);
}

#[tokio::test(start_paused = true)]
async fn a_transient_child_is_restarted_unless_it_stops() {
    let after = after_each_end(Restart::Transient).await;
    assert_eq!(
        after,
        [Some(Stopped), Some(Running), Some(Running), Some(Running)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_temporary_child_is_forgotten_however_it_ends() {
    assert_eq!(after_each_end(Restart::Temporary).await, [None; 4]);
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_spends_its_intensity_ends_its_children_in_reverse_and_fails() {
    let log = Log::default();
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .intensity(Intensity::new(1, 5 * SECOND))
        .child(probe("a", &log))
        .child(probe("b", &log))
        .child(probe("c", &log));
    let mut tree = Tree::spawn(spec).await;
    tree.tell(&["b"], Order::Fail);
    tree.lines_until("b restarted 1").await;
    tree.tell(&["b"], Order::Panic);
    assert_eq!(
        tree.lines_until("a stopped: shutdown").await,
        [
            "b failed: ordered to panic",
            ". gave up on b after 1 in 5s",
            "c stopped: shutdown",
            "a stopped: shutdown",
        ]
    );
    let end = tree.events.next().await.unwrap().unwrap();
    let EventKind::Exited { exit, .. } = end.kind else {
        panic!("{end:?}")
    };
    assert_eq!(
        exit.to_string(),
        "failed: child `b` needed more than 1 restarts within 5s; \
         the last exit: failed: ordered to panic"
    );
    tree.ended().await;
    assert_eq!(log.take(), ["c stopped", "a stopped"]);
    assert!(matches!(
        tree.root.which_children().await,
        Err(SupervisorError::NotRunning)
    ));
}

#[tokio::test(start_paused = true)]
async fn restarts_further_apart_than_the_period_are_tolerated() {
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .intensity(Intensity::new(1, SECOND))
        .child(probe("a", &Log::default()));
    let mut tree = Tree::spawn(spec).await;
    for restart in 1..=5 {
        tree.tell(&["a"], Order::Fail);
        tree.lines_until(&format!("a restarted {restart}")).await;
        tokio::time::advance(2 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn uncounted_exits_never_spend_the_budget() {
    let is_expected = |exit: &Exit| exit.error().is_some_and(|error| error.is::<Failed>());
    let slow = Backoff::exponential(60 * SECOND, 60 * SECOND);
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .intensity(Intensity::new(0, 5 * SECOND))
        .child(
            probe("a", &Log::default())
                .backoff(slow)
                .uncounted(is_expected),
        );
    let mut tree = Tree::spawn(spec).await;
    let begun = tokio::time::Instant::now();
    for restart in 1..=10_000 {
        tree.tell(&["a"], Order::Fail);
        tree.lines_until(&format!("a restarted {restart}")).await;
    }
    assert_eq!(begun.elapsed().as_secs(), 0);
    tree.tell(&["a"], Order::Panic);
    tree.lines_until(". gave up on a after 0 in 5s").await;
}

#[tokio::test(start_paused = true)]
async fn a_predicate_that_panics_counts_the_exit() {
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .intensity(Intensity::new(0, SECOND))
        .child(probe("a", &Log::default()).uncounted(|_| panic!("no opinion")));
    let mut tree = Tree::spawn(spec).await;
    tree.cell(&["a"]).kill();
    tree.lines_until(". gave up on a after 0 in 1s").await;
}

#[tokio::test(start_paused = true)]
async fn backoff_grows_with_failures_and_resets_after_a_healthy_run() {
    let backoff = Backoff::exponential(SECOND, 8 * SECOND).reset_after(60 * SECOND);
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .intensity(Intensity::new(100, SECOND))
        .child(probe("a", &Log::default()).backoff(backoff));
    let mut tree = Tree::spawn(spec).await;
    for (restart, failures) in [(1, 1), (2, 2), (3, 3)] {
        tree.tell(&["a"], Order::Fail);
        tree.lines_until(&format!("a backs off {failures}")).await;
        assert_eq!(tree.status(&["a"]), ChildStatus::Restarting);
        tree.lines_until(&format!("a restarted {restart}")).await;
    }
    tokio::time::advance(60 * SECOND).await;
    tree.tell(&["a"], Order::Fail);
    tree.lines_until("a backs off 1").await;
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_stops_when_any_significant_child_has_ended() {
    let log = Log::default();
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .auto_shutdown(AutoShutdown::AnySignificant)
        .child(probe("a", &log))
        .child(probe("s", &log).restart(Restart::Transient).significant());
    let mut tree = Tree::spawn(spec).await;
    tree.tell(&["s"], Order::Fail);
    tree.lines_until("s restarted 1").await;
    tree.tell(&["s"], Order::Stop);
    assert_eq!(
        tree.lines_until(". stopped").await,
        [
            "s stopped: ordered",
            ". shuts down after s",
            "a stopped: shutdown",
            ". stopped"
        ]
    );
    tree.ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_stops_when_all_significant_children_have_ended() {
    let log = Log::default();
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .auto_shutdown(AutoShutdown::AllSignificant)
        .child(probe("a", &log))
        .child(probe("s", &log).restart(Restart::Transient).significant())
        .child(probe("t", &log).restart(Restart::Temporary).significant());
    let mut tree = Tree::spawn(spec).await;
    tree.tell(&["s"], Order::Stop);
    tree.lines_until("s stopped: ordered").await;
    assert_eq!(tree.children().await.len(), 3);
    tree.tell(&["t"], Order::Panic);
    assert_eq!(
        tree.lines_until(". stopped").await,
        [
            "t failed: ordered to panic",
            ". shuts down after t",
            "a stopped: shutdown",
            ". stopped"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn terminating_a_significant_child_stops_nothing_else() {
    let child = probe("s", &Log::default())
        .restart(Restart::Transient)
        .significant();
    let spec = SupervisorSpec::new(Strategy::OneForOne);
    let spec = spec
        .auto_shutdown(AutoShutdown::AnySignificant)
        .child(child);
    let tree = Tree::spawn(spec).await;
    tree.root.terminate_child("s").await.unwrap();
    assert_eq!(tree.children().await, [("s".into(), ChildStatus::Stopped)]);
}

#[tokio::test(start_paused = true)]
async fn a_significant_child_must_fit_its_supervisor() {
    let spec = SupervisorSpec::new(Strategy::OneForOne);
    let permanent = spec.clone().auto_shutdown(AutoShutdown::AnySignificant);
    let permanent = permanent.child(probe("s", &Log::default()).significant());
    let child = probe("s", &Log::default())
        .restart(Restart::Transient)
        .significant();
    for wrong in [permanent, spec.child(child)] {
        let error = wrong.spawn().await.unwrap_err();
        assert!(
            matches!(error, SupervisorError::InvalidChild { .. }),
            "{error}"
        );
    }
}
