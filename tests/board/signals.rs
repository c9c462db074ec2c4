//! Shutdown by signals, in a process of its own, and by callers in this one.

use std::time::{Duration, Instant};

use callboard::{Client, JobState, call};
use rustix::process::Signal;

use crate::support::acts::{hang, hold, note, open_gate, stage, until_ran};
use crate::support::child::Plan;
use crate::support::{database_at, eventually, sql, sql::number, until_state};

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_process_finishes_what_runs_and_returns_what_does_not() {
    let (url, rows) = stage().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let running = client.enqueue(call!(hold())).await.unwrap();
    let waiting = client.enqueue_many((0..4).map(|_| call!(note())));
    let waiting = waiting.await.unwrap();
    let plan = Plan {
        workers: 1,
        max_demand: 5,
        ..Plan::new(&url)
    };
    let mut node = plan.spawn().await;
    until_ran(&rows, 1).await;
    let claimed = "select count(*) from callboard.jobs where state = 'executing'";
    assert_eq!(number(&rows, claimed).await, 5, "it holds them all");
    node.signal(Signal::TERM);
    let board = Plan::new(&url).start().await;
    open_gate(&rows, 1).await;
    assert!(node.ended().await.success());
    let job = until_state(&client, running, JobState::Completed).await;
    assert_eq!(job.attempt.as_i32(), 1);
    assert_ne!(job.node, Some(board.node()), "it finished where it ran");
    for id in waiting {
        let job = until_state(&client, id, JobState::Completed).await;
        assert_eq!(job.node, Some(board.node()));
        assert!(job.errors.is_empty(), "{:?}", job.errors);
    }
    assert_eq!(board.counts().rescued, 0, "it said goodbye");
    let nodes = number(&rows, "select count(*) from callboard.nodes").await;
    assert_eq!(nodes, 1);
    let begun = number(&rows, "select count(*) from ran").await;
    assert_eq!(begun, 5, "what was returned had not begun");
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_process_ends_at_once_when_it_is_interrupted() {
    let (url, rows) = stage().await;
    let mut node = Plan::new(&url).spawn().await;
    node.signal(Signal::INT);
    assert!(node.ended().await.success());
    let nodes = number(&rows, "select count(*) from callboard.nodes").await;
    assert_eq!(nodes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_cuts_off_what_does_not_stop_and_charges_nothing() {
    let (url, rows) = stage().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let id = client.enqueue(call!(hang())).await.unwrap();
    let mut node = Plan::new(&url).spawn().await;
    until_ran(&rows, 1).await;
    let signalled_at = Instant::now();
    // Two different ones, since two of a kind may be heard as one.
    node.signal(Signal::INT);
    node.signal(Signal::TERM);
    assert!(node.ended().await.success());
    // Its grace and its cancel_grace are a minute each.
    assert!(signalled_at.elapsed() < Duration::from_secs(20));
    let job = client.job(id).await.unwrap().unwrap();
    assert_eq!(job.state, JobState::Available);
    assert_eq!((job.failures, job.deaths), (Some(0), Some(0)));
    assert_eq!(job.errors.len(), 1);
    assert_eq!(job.errors[0]["kind"], "interrupted");
    let nodes = number(&rows, "select count(*) from callboard.nodes").await;
    assert_eq!(nodes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_may_be_shut_down_by_many_and_again() {
    let (url, rows) = stage().await;
    let board = Plan::new(&url).start().await;
    let id = board.client().enqueue(call!(hold())).await.unwrap();
    until_ran(&rows, 1).await;
    let others = board.clone();
    let first = tokio::spawn(async move { others.shutdown().await });
    let others = board.clone();
    let second = tokio::spawn(async move { others.shutdown().await });
    let is_closing = || async { (!board.health().is_running).then_some(()) };
    eventually("the board is closing", is_closing).await;
    open_gate(&rows, 1).await;
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    board.shutdown().await.unwrap();
    board.stopped().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let job = client.job(id).await.unwrap().unwrap();
    assert_eq!(job.state, JobState::Completed);
    let rows = sql::connect(&url).await;
    let nodes = number(&rows, "select count(*) from callboard.nodes").await;
    assert_eq!(nodes, 0);
}
