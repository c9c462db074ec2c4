//! Supervisors of supervisors.

use callboard::supervision::*;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::oneshot;

use crate::fixture::*;

fn queues(log: &Log) -> SupervisorSpec {
    let workers = DynamicSupervisorSpec::new().intensity(Intensity::new(1, 5 * SECOND));
    let mail = SupervisorSpec::new(Strategy::RestForOne)
        .child(probe("fetcher", log))
        .child(ChildSpec::dynamic_supervisor("workers", workers).role("pool"));
    let queues =
        SupervisorSpec::new(Strategy::OneForOne).child(ChildSpec::supervisor("mail", mail));
    SupervisorSpec::new(Strategy::OneForOne).child(ChildSpec::supervisor("queues", queues))
}

fn workers(tree: &Tree) -> SupervisorRef {
    let mail = tree
        .root
        .child("queues")
        .and_then(|queues| queues.child("mail"));
    mail.and_then(|mail| mail.child("workers")).unwrap()
}

const WORKERS: [&str; 3] = ["queues", "mail", "workers"];
const WORKER_3: [&str; 4] = ["queues", "mail", "workers", "worker-3"];

#[tokio::test(start_paused = true)]
async fn events_of_the_whole_tree_reach_the_root_with_their_paths() {
    let mut tree = Tree::spawn(queues(&Log::default())).await;
    workers(&tree)
        .start_child(probe("worker-3", &Log::default()))
        .await
        .unwrap();
    let event = tree.events.next().await.unwrap().unwrap();
    assert!(event.path == WORKER_3);
    assert_eq!(event.path.to_string(), "queues/mail/workers/worker-3");
    assert!(matches!(event.kind, EventKind::Started { .. }));
    let snapshot = tree.root.snapshot();
    assert_eq!(
        snapshot.find(&WORKER_3).unwrap().info.status,
        ChildStatus::Running
    );
    assert_eq!(&*snapshot.find(&WORKERS).unwrap().info.role, "pool");
    assert_eq!(
        snapshot.find(&WORKERS).unwrap().info.kind,
        ChildKind::DynamicSupervisor
    );
}

#[tokio::test(start_paused = true)]
async fn a_nested_supervisor_that_gives_up_is_restarted_by_the_one_above() {
    let mut tree = Tree::spawn(queues(&Log::default())).await;
    let workers = workers(&tree);
    let before = workers.cell().get_id();
    workers
        .start_child(probe("worker-3", &Log::default()))
        .await
        .unwrap();
    tree.cell(&WORKER_3).kill();
    tree.lines_until("queues/mail/workers/worker-3 restarted 1")
        .await;
    tree.cell(&WORKER_3).kill();
    let lines = tree.lines_until("queues/mail/workers restarted 1").await;
    assert_eq!(lines[0], "queues/mail/workers/worker-3 killed");
    assert_eq!(
        lines[1],
        "queues/mail/workers gave up on worker-3 after 1 in 5s"
    );
    assert!(
        lines[2].starts_with("queues/mail/workers failed: child `worker-3` needed more than 1")
    );

    // The reference taken before reaches the supervisor that is there now.
    assert_ne!(workers.cell().get_id(), before);
    assert!(workers.which_children().await.unwrap().is_empty());
    workers
        .start_child(probe("worker-3", &Log::default()))
        .await
        .unwrap();
    assert_eq!(tree.status(&WORKER_3), ChildStatus::Running);
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_supervisor_that_gave_up_can_be_read_above() {
    let mut tree = Tree::spawn(queues(&Log::default())).await;
    workers(&tree)
        .start_child(probe("worker-3", &Log::default()))
        .await
        .unwrap();
    tree.cell(&WORKER_3).kill();
    tree.lines_until("queues/mail/workers/worker-3 restarted 1")
        .await;
    tree.cell(&WORKER_3).kill();
    tree.lines_until("queues/mail/workers restarted 1").await;
    let snapshot = tree.root.snapshot();
    let exit = snapshot
        .find(&WORKERS)
        .unwrap()
        .info
        .last_exit
        .clone()
        .unwrap();
    let error = exit
        .error()
        .and_then(|error| error.downcast_ref::<SupervisorError>())
        .unwrap();
    let SupervisorError::IntensityExceeded {
        child,
        max_restarts,
        within,
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(
        (child.as_str(), *max_restarts, *within),
        ("worker-3", 1, 5 * SECOND)
    );
}

#[tokio::test(start_paused = true)]
async fn failures_escalate_to_the_root() {
    let log = Log::default();
    let none = Intensity::new(0, SECOND);
    let inner = SupervisorSpec::new(Strategy::OneForOne)
        .intensity(none)
        .child(probe("a", &log));
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .intensity(none)
        .child(probe("b", &log))
        .child(ChildSpec::supervisor("inner", inner));
    let mut tree = Tree::spawn(spec).await;
    tree.tell(&["inner", "a"], Order::Panic);
    let lines = tree.lines_until("b stopped: shutdown").await;
    assert_eq!(lines[0], "inner/a failed: ordered to panic");
    assert_eq!(lines[1], "inner gave up on a after 0 in 1s");
    assert_eq!(lines[3], ". gave up on inner after 0 in 1s");
    tree.ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_tree_is_stopped_from_the_leaves_in_reverse() {
    let log = Log::default();
    let inner = SupervisorSpec::new(Strategy::OneForOne);
    let inner = inner.child(probe("b", &log)).child(probe("c", &log));
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .child(probe("a", &log))
        .child(ChildSpec::supervisor("inner", inner))
        .child(probe("d", &log));
    let tree = Tree::spawn(spec).await;
    tree.root.stop_and_wait("done", None).await.unwrap();
    assert_eq!(
        log.take(),
        ["d stopped", "c stopped", "b stopped", "a stopped"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_nested_supervisor_that_does_not_start_fails_the_start_of_the_tree() {
    let log = Log::default();
    let inner = SupervisorSpec::new(Strategy::OneForOne)
        .child(probe("b", &log))
        .child(ChildSpec::new("c", |_| async { panic!("no model") }));
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .child(probe("a", &log))
        .child(ChildSpec::supervisor("inner", inner));
    let error = spec.spawn().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "child `inner`: start failed: child `c`: start failed: no model"
    );
    assert_eq!(log.take(), ["b stopped", "a stopped"]);
}

#[tokio::test(start_paused = true)]
async fn a_killed_supervisor_is_restarted_with_its_children() {
    let mut tree = Tree::spawn(queues(&Log::default())).await;
    let fetcher = tree.cell(&["queues", "mail", "fetcher"]);
    tree.cell(&["queues", "mail"]).kill();
    assert_eq!(
        tree.lines_until("queues/mail restarted 1").await,
        [
            "queues/mail killed",
            "queues/mail/fetcher started",
            "queues/mail/workers started",
            "queues/mail restarted 1",
        ]
    );
    assert_ne!(
        tree.cell(&["queues", "mail", "fetcher"]).get_id(),
        fetcher.get_id()
    );
    fetcher.wait(Some(SECOND)).await.unwrap();
}

/// An actor of the application that has a tree of its own.
struct Owner;

#[ractor::actor(
    message = Order,
    state = Option<oneshot::Sender<String>>,
    arguments = oneshot::Sender<String>
)]
impl Owner {
    async fn pre_start(
        &self,
        _myself: ActorRef<Order>,
        told: oneshot::Sender<String>,
    ) -> Result<Option<oneshot::Sender<String>>, ActorProcessingErr> {
        Ok(Some(told))
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<Order>,
        event: SupervisionEvent,
        told: &mut Option<oneshot::Sender<String>>,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(_, error) = event {
            told.take().unwrap().send(error.to_string()).unwrap();
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_of_the_application_is_told_when_its_tree_fails() {
    let (tell, told) = oneshot::channel();
    let (owner, _) = Actor::spawn(None, Owner, tell).await.unwrap();
    let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(Intensity::new(0, SECOND));
    let owner: ActorCell = owner.get_cell();
    let root = spec
        .child(probe("a", &Log::default()))
        .spawn_linked(owner)
        .await
        .unwrap();
    root.snapshot()
        .find(&["a"])
        .unwrap()
        .info
        .actor
        .as_ref()
        .unwrap()
        .kill();
    let error = told.await.unwrap();
    assert_eq!(
        error,
        "child `a` needed more than 0 restarts within 1s; the last exit: killed"
    );
}
