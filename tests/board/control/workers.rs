//! How many workers there are, and what becomes of that when actors die.

use callboard::{BoxError, Context, JobState, call, functions};

use super::{WORKERS, board, completes, does_not_begin, eager, until_workers, workers};
use crate::support::acts::{hold, note, open_gate, stage, until_ran};
use crate::support::sql::number;
use crate::support::tree::kill;
use crate::support::until_state;

#[tokio::test(flavor = "multi_thread")]
async fn workers_come_at_once_and_leave_after_the_job_that_they_run() {
    let (url, rows) = stage().await;
    let board = board(&eager(&url)).await;
    let queue = board.queue("default");
    let calls = (0..5).map(|_| call!(hold()));
    let jobs = board.client().enqueue_many(calls).await.unwrap();
    until_ran(&rows, 2).await;
    queue.scale(5).await.unwrap();
    until_ran(&rows, 5).await;

    queue.scale(1).await.unwrap();
    assert_eq!(workers(&board), 5, "all are busy");
    for job in &jobs {
        let job = board.client().job(*job).await.unwrap().unwrap();
        assert_eq!(job.state, JobState::Executing);
    }
    open_gate(&rows, 1).await;
    for job in jobs {
        completes(board.client(), job).await;
    }
    until_workers(&board, 1).await;
    let told = "select count(*) from told";
    assert_eq!(number(&rows, told).await, 0, "nobody was interrupted");

    queue.scale_as_configured().await.unwrap();
    until_workers(&board, 2).await;
}

async fn hold_and_panic(cx: &mut Context) -> Result<(), BoxError> {
    hold(cx).await?;
    panic!("at the very end")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_to_leave_does_so_even_if_its_last_job_panics() {
    let (url, rows) = stage().await;
    let builder = eager(&url).builder().functions(functions![hold_and_panic]);
    let board = builder.start().await.unwrap();
    let jobs = (0..2).map(|_| call!(hold_and_panic()).max_attempts(1));
    let jobs = board.client().enqueue_many(jobs).await.unwrap();
    until_ran(&rows, 2).await;
    board.queue("default").scale(1).await.unwrap();
    open_gate(&rows, 1).await;
    for job in jobs {
        until_state(board.client(), job, JobState::Dead).await;
    }
    until_workers(&board, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_for_outlives_the_actors() {
    let (url, rows) = stage().await;
    let board = board(&eager(&url)).await;
    let queue = board.queue("default");
    queue.scale(4).await.unwrap();
    queue.pause().await.unwrap();
    let job = board.client().enqueue(call!(note())).await.unwrap();
    for part in [
        &["queues", "default", "fetcher"][..],
        WORKERS,
        &["queues", "default"],
        &["queues"],
        &["steward"],
    ] {
        kill(&board, part).await;
        until_workers(&board, 4).await;
        does_not_begin(&board, &rows, job).await;
    }
    queue.resume().await.unwrap();
    completes(board.client(), job).await;
}
