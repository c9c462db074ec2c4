//! Who works where: on this node from its tree, on all nodes from the database.

use callboard::job::Attempt;
use callboard::store::WorkerInfo;
use callboard::{Board, Client, JobState, call};

use crate::support::acts::{hold, open_gate, stage, until_ran};
use crate::support::child::Plan;
use crate::support::script::{Script, Step};
use crate::support::tree::kill;
use crate::support::{database_at, eventually, until_confirmed, until_state};

fn worker(board: &Board, name: &str) -> WorkerInfo {
    let mut workers = board.workers().into_iter();
    workers.find(|worker| worker.name == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_knows_what_its_workers_are_at() {
    let (url, rows) = stage().await;
    let plan = Plan {
        workers: 1,
        ..Plan::new(&url)
    };
    let board = plan.builder().job::<Script>().start().await.unwrap();
    let client = board.client();
    let idle = worker(&board, "worker-1");
    assert_eq!((idle.node, &*idle.queue), (board.node(), "default"));
    assert_eq!((idle.done, idle.restarts), (0, 0));
    assert_eq!((idle.current, idle.last_job), (None, None));
    assert!(idle.started_at.is_some() && idle.reported_at.is_none());

    let job = client.enqueue(call!(hold())).await.unwrap();
    until_ran(&rows, 1).await;
    let busy = worker(&board, "worker-1").current.unwrap();
    assert_eq!((busy.job, busy.attempt), (job, Attempt::from_i32(1)));
    assert!(busy.kind.ends_with("acts::hold"), "{busy:?}");
    let claimed = client.job(job).await.unwrap().unwrap().attempted_at;
    let since = busy.since - claimed.unwrap();
    assert!(since.num_seconds().abs() < 5, "{since}");
    open_gate(&rows, 1).await;
    until_state(client, job, JobState::Completed).await;

    // A panic takes the worker down, and its place remembers.
    let panics = Script(vec![Step::Panic("boom".into()), Step::Complete]);
    let panics = client.enqueue(panics).await.unwrap();
    until_state(client, panics, JobState::Completed).await;
    until_confirmed(&board).await;
    let after = worker(&board, "worker-1");
    assert_eq!((after.done, after.restarts), (3, 1));
    assert_eq!((after.current, after.last_job), (None, Some(panics)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_leaves_its_place_free() {
    let (url, rows) = stage().await;
    let board = Plan::new(&url).start().await;
    board.client().enqueue(call!(hold())).await.unwrap();
    until_ran(&rows, 1).await;
    let busy = |worker: &WorkerInfo| worker.current.is_some();
    let name = board.workers().into_iter().find(busy).unwrap().name;
    kill(&board, &["queues", "default", "workers", &name]).await;
    let free = worker(&board, &name);
    assert_eq!((free.current, free.done, free.restarts), (None, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_and_their_workers_are_known_to_everybody() {
    let (url, rows) = stage().await;
    let left = Plan::new(&url).start().await;
    let right = Plan {
        workers: 3,
        ..Plan::new(&url)
    };
    let right = right.start().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let nodes = client.nodes().await.unwrap();
    let ids: Vec<_> = nodes.iter().map(|node| node.id).collect();
    assert_eq!(ids, [left.node(), right.node()]);
    for node in &nodes {
        assert!(node.is_live && node.lease_until > node.started_at);
        assert_eq!(node.queues, ["default"]);
        assert!(node.kinds.iter().any(|kind| kind.ends_with("acts::hold")));
        assert_eq!(node.executing, 0);
        assert!(node.name.ends_with(&format!(":{}", std::process::id())));
    }
    eventually("both have told of their workers", || async {
        let workers = client.workers().await.unwrap();
        let of = |board: &Board| workers.iter().filter(|w| w.node == board.node()).count();
        ((of(&left), of(&right)) == (2, 3)).then_some(())
    })
    .await;

    right.queue("default").pause().await.unwrap();
    let job = client.enqueue(call!(hold())).await.unwrap();
    until_ran(&rows, 1).await;
    let busy = eventually("the busy one is known", || async {
        let workers = client.workers().await.unwrap();
        workers.into_iter().find(|worker| worker.current.is_some())
    })
    .await;
    assert_eq!(
        (busy.node, busy.node_name),
        (left.node(), nodes[0].name.clone())
    );
    assert_eq!(busy.current.unwrap().job, job);
    assert!(busy.reported_at.is_some());
    let nodes = client.nodes().await.unwrap();
    let executing: Vec<_> = nodes.iter().map(|node| node.executing).collect();
    assert_eq!(executing, [1, 0]);

    open_gate(&rows, 1).await;
    left.shutdown().await.unwrap();
    let nodes = client.nodes().await.unwrap();
    assert_eq!(nodes.len(), 1, "one has said goodbye");
    let workers = client.workers().await.unwrap();
    assert!(workers.iter().all(|worker| worker.node == right.node()));
}
