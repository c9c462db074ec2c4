//! Processes that die or freeze with jobs in hand, and those that take the jobs back.

use std::time::{Duration, Instant};

use callboard::{Board, Client, JobId, JobState, call};
use rustix::process::Signal;

use crate::support::acts::{hold, open_gate, stage, until_ran};
use crate::support::child::{Node, Plan};
use crate::support::{database_at, eventually, sql::number, until_state};

/// Longer than any test waits, so that nobody can have waited for its end.
const LONG_LEASE: Duration = Duration::from_secs(60);

/// A node with a long lease that is killed with three jobs in hand.
async fn dying(url: &str, rows: &tokio_postgres::Client) -> (Node, Client, Vec<JobId>) {
    let node = Plan {
        workers: 3,
        lease: LONG_LEASE,
        ..Plan::new(url)
    };
    let node = node.spawn().await;
    let client = Client::connect(database_at(url)).await.unwrap();
    let calls = (0..3).map(|_| call!(hold()));
    let ids = client.enqueue_many(calls).await.unwrap();
    until_ran(rows, 3).await;
    (node, client, ids)
}

/// Every job was taken back and charged with one death, long before the lease ran out, and ends in
/// its second attempt.
async fn were_rescued(
    client: &Client,
    rows: &tokio_postgres::Client,
    ids: &[JobId],
    since: Instant,
) {
    for id in ids {
        let job = eventually("the job is taken back", || async {
            let job = client.job(*id).await.unwrap()?;
            (job.deaths == Some(1)).then_some(job)
        })
        .await;
        assert_eq!(job.failures, Some(0), "a death is no failure of the job");
    }
    assert!(since.elapsed() < LONG_LEASE / 4, "{:?}", since.elapsed());
    open_gate(rows, 2).await;
    for id in ids {
        let job = until_state(client, *id, JobState::Completed).await;
        assert_eq!(job.attempt.as_i32(), 2);
        assert_eq!(job.errors.len(), 1, "{:?}", job.errors);
        assert_eq!(job.errors[0]["kind"], "process_died");
        assert_eq!(job.errors[0]["attempt"], 1);
    }
}

async fn counted_as_rescued(board: &Board) {
    eventually("three are counted", || async {
        (board.counts().rescued == 3).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_killed_process_are_taken_back_by_another_node() {
    let (url, rows) = stage().await;
    let (mut node, client, ids) = dying(&url, &rows).await;
    let board = Plan::new(&url).start().await;
    let killed_at = Instant::now();
    node.kill().await;
    were_rescued(&client, &rows, &ids, killed_at).await;
    counted_as_rescued(&board).await;
    eventually("the dead node is forgotten", || async {
        let nodes = number(&rows, "select count(*) from callboard.nodes").await;
        (nodes == 1).then_some(())
    })
    .await;
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_killed_process_are_taken_back_at_the_next_start() {
    let (url, rows) = stage().await;
    let (mut node, client, ids) = dying(&url, &rows).await;
    node.kill().await;
    let started_at = Instant::now();
    let board = Plan::new(&url).start().await;
    were_rescued(&client, &rows, &ids, started_at).await;
    counted_as_rescued(&board).await;
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_froze_beyond_its_lease_is_told_and_its_answers_are_refused() {
    let (url, rows) = stage().await;
    let plan = Plan {
        lease: Duration::from_millis(1_500),
        ..Plan::new(&url)
    };
    let mut frozen = plan.spawn().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let calls = [call!(hold()), call!(hold())];
    let ids = client.enqueue_many(calls).await.unwrap();
    until_ran(&rows, 2).await;
    let board = plan.start().await;
    frozen.signal(Signal::STOP);
    open_gate(&rows, 2).await;
    for id in &ids {
        let job = until_state(&client, *id, JobState::Completed).await;
        assert_eq!((job.attempt.as_i32(), job.node), (2, Some(board.node())));
    }
    frozen.signal(Signal::CONT);
    eventually("both handlers are told", || async {
        let told = "select count(*) from told where attempt = 1 and reason = 'Some(LeaseLost)'";
        (number(&rows, told).await == 2).then_some(())
    })
    .await;
    frozen.signal(Signal::TERM);
    assert_eq!(frozen.word("REFUSED").await, "2");
    assert!(frozen.ended().await.success());
    let ended = "select count(*) from callboard.history where attempt = 2";
    assert_eq!(number(&rows, ended).await, 2);
    assert_eq!(
        number(&rows, "select count(*) from callboard.history").await,
        2
    );
    assert_eq!(
        number(&rows, "select count(*) from callboard.jobs").await,
        0
    );
    board.shutdown().await.unwrap();
}
