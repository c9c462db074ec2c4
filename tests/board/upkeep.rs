//! What keeps a node's place on the board dies or loses its connection: the node's jobs stay its own.

use std::time::Duration;

use callboard::{Board, JobId, JobState, call};

use crate::support::acts::{hold, note, open_gate, stage, until_ran};
use crate::support::child::Plan;
use crate::support::tree::kill;
use crate::support::{eventually, sql::number, until_state};

/// A neighbour, which takes jobs back whose node is silent in two of its sweeps.
async fn neighbour(url: &str) -> Board {
    let board = Plan::new(url).builder();
    let board = board
        .lease(Duration::from_secs(6))
        .sweep_every(Duration::from_secs(1));
    board.start().await.unwrap()
}

/// The job was never interrupted.
async fn completed_at_first(board: &Board, id: JobId) {
    let job = until_state(board.client(), id, JobState::Completed).await;
    assert_eq!(job.attempt.as_i32(), 1);
    assert!(job.errors.is_empty(), "{:?}", job.errors);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_upkeep_disturbs_no_job_and_goes_on() {
    let (url, rows) = stage().await;
    let board = Plan::new(&url).start().await;
    let neighbour = neighbour(&url).await;
    let running = board.client().enqueue(call!(hold())).await.unwrap();
    until_ran(&rows, 1).await;
    for role in ["liveness", "notifier", "scheduler", "rescuer", "pruner"] {
        kill(&board, &[role]).await;
    }
    let soon = call!(note()).run_in(Duration::from_millis(100));
    let later = board.client().enqueue(soon).await.unwrap();
    completed_at_first(&board, later).await;
    // Renewed again and again, so the time for sweeps has passed too.
    let lease_of = format!(
        "select (extract(epoch from lease_until) * 1000)::bigint from callboard.nodes where id = {}",
        board.node().as_i64()
    );
    for _ in 0..4 {
        let lease_until = number(&rows, &lease_of).await;
        eventually("the lease is renewed", || async {
            (number(&rows, &lease_of).await > lease_until).then_some(())
        })
        .await;
    }
    assert_eq!(neighbour.counts().rescued + board.counts().rescued, 0);
    open_gate(&rows, 1).await;
    completed_at_first(&board, running).await;
    neighbour.shutdown().await.unwrap();
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_session_is_cut_off_keeps_its_jobs() {
    let (url, rows) = stage().await;
    // It renews so seldom that only the end of the session can tell it to return.
    let plan = Plan {
        lease: Duration::from_secs(60),
        ..Plan::new(&url)
    };
    let board = plan.start().await;
    let running = board.client().enqueue(call!(hold())).await.unwrap();
    until_ran(&rows, 1).await;
    let neighbour = neighbour(&url).await;
    let holder = format!(
        "select coalesce(min(pid), 0)::bigint from pg_locks \
          where locktype = 'advisory' and granted and ((classid::bigint << 32) | objid::bigint) = {}",
        board.node().as_i64()
    );
    let lock = || async { Some(number(&rows, &holder).await).filter(|pid| *pid > 0) };
    for _ in 0..3 {
        let session = eventually("the node holds its lock", lock).await;
        let cut = format!("select pg_terminate_backend({session})");
        rows.batch_execute(&cut).await.unwrap();
        eventually("the node holds its lock anew", || async {
            lock().await.filter(|pid| *pid != session)
        })
        .await;
    }
    open_gate(&rows, 1).await;
    completed_at_first(&board, running).await;
    assert_eq!(neighbour.counts().rescued, 0);
    neighbour.shutdown().await.unwrap();
    board.shutdown().await.unwrap();
}
