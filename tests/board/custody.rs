//! Actors that are killed while jobs run: no job is lost, and whoever is not concerned runs on.

use std::time::Duration;

use callboard::job::Backoff;
use callboard::{Board, Call, JobId, JobInfo, JobState, call};

use crate::support::acts::{hold, note, open_gate, stage, until_ran};
use crate::support::child::Plan;
use crate::support::tree::{kill, restarts};
use crate::support::{eventually, sql::number, until_confirmed, until_state};

fn holding() -> Call {
    call!(hold()).backoff(Backoff::constant(Duration::from_millis(10)))
}

async fn job(board: &Board, id: JobId) -> JobInfo {
    let job = board.client().job(id).await.expect("the job can be read");
    job.expect("the job is there")
}

async fn completed_at(board: &Board, id: JobId, attempt: i32) -> JobInfo {
    let job = until_state(board.client(), id, JobState::Completed).await;
    assert_eq!(job.attempt.as_i32(), attempt);
    job
}

fn has_crashed(job: &JobInfo) -> bool {
    job.errors.len() == 1 && job.errors[0]["kind"] == "crashed"
}

/// Everything is finished, and nothing is held any more.
async fn nothing_is_left(board: &Board, rows: &tokio_postgres::Client, finished: i64) {
    until_confirmed(board).await;
    assert_eq!(number(rows, "select count(*) from callboard.jobs").await, 0);
    let history =
        "select count(distinct id) from callboard.finished_jobs where state = 'completed'";
    assert_eq!(number(rows, history).await, finished);
    let twice = "select count(*) - count(distinct id) from callboard.finished_jobs";
    assert_eq!(number(rows, twice).await, 0);
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_worker_gives_its_job_back_at_once() {
    let (url, rows) = stage().await;
    let board = Plan::new(&url).start().await;
    let ids = board.client().enqueue_many([holding(), holding()]);
    let ids = ids.await.unwrap();
    until_ran(&rows, 2).await;
    kill(&board, &["queues", "default", "workers", "worker-1"]).await;
    // The killed attempt is recorded, and the next one begins.
    until_ran(&rows, 3).await;
    let jobs = [job(&board, ids[0]).await, job(&board, ids[1]).await];
    let (crashed, other) = match has_crashed(&jobs[0]) {
        true => (&jobs[0], &jobs[1]),
        false => (&jobs[1], &jobs[0]),
    };
    assert!(has_crashed(crashed), "{jobs:?}");
    assert_eq!((crashed.failures, crashed.attempt.as_i32()), (Some(1), 2));
    assert_eq!((other.failures, other.attempt.as_i32()), (Some(0), 1));
    let neighbour = ["queues", "default", "workers", "worker-2"];
    assert_eq!(restarts(&board, &neighbour), 0);
    open_gate(&rows, 1).await;
    open_gate(&rows, 2).await;
    completed_at(&board, crashed.id, 2).await;
    completed_at(&board, other.id, 1).await;
    nothing_is_left(&board, &rows, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_fetcher_disturbs_no_running_job_and_its_successor_serves_the_workers() {
    let (url, rows) = stage().await;
    let board = Plan::new(&url).start().await;
    let running = board.client().enqueue(holding()).await.unwrap();
    until_ran(&rows, 1).await;
    for _ in 0..5 {
        kill(&board, &["queues", "default", "fetcher"]).await;
        let later = board.client().enqueue(call!(note())).await.unwrap();
        completed_at(&board, later, 1).await;
    }
    open_gate(&rows, 1).await;
    let job = completed_at(&board, running, 1).await;
    assert!(job.errors.is_empty(), "{:?}", job.errors);
    for worker in ["worker-1", "worker-2"] {
        assert_eq!(
            restarts(&board, &["queues", "default", "workers", worker]),
            0
        );
    }
    nothing_is_left(&board, &rows, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_ledger_leaves_its_unwritten_answers_to_its_successor() {
    let (url, mut rows) = stage().await;
    let plan = Plan {
        workers: 5,
        ..Plan::new(&url)
    };
    let board = plan.start().await;
    let client = board.client();
    let ids = client
        .enqueue_many((0..5).map(|_| holding()))
        .await
        .unwrap();
    until_ran(&rows, 5).await;
    // Nothing can be written to the history, so the ledger waits in the middle of its write.
    let observer = crate::support::sql::connect(&url).await;
    let stopper = rows.transaction().await.unwrap();
    let lock = "lock table callboard.history, callboard.history_batches in share mode";
    stopper.batch_execute(lock).await.unwrap();
    open_gate(&observer, 1).await;
    eventually("the ledger waits", || async {
        let waiting = "select count(*) from pg_locks l join pg_class c on c.oid = l.relation \
                       where c.relname like 'history%' and not l.granted";
        (number(&observer, waiting).await > 0).then_some(())
    })
    .await;
    kill(&board, &["ledger"]).await;
    assert_eq!(board.counts().in_hand, 5, "nothing is confirmed");
    stopper.commit().await.unwrap();
    for id in ids {
        let job = completed_at(&board, id, 1).await;
        assert!(job.errors.is_empty(), "{:?}", job.errors);
    }
    nothing_is_left(&board, &rows, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_queue_supervisor_comes_back_and_other_queues_run_on() {
    let (url, rows) = stage().await;
    let plan = Plan::new(&url);
    let board = plan.builder().queue(plan.queue("other")).start();
    let board = board.await.unwrap();
    let client = board.client();
    let killed = client.enqueue_many([holding(), holding()]).await.unwrap();
    let other = client.enqueue(holding().queue("other")).await.unwrap();
    until_ran(&rows, 3).await;
    kill(&board, &["queues", "default"]).await;
    open_gate(&rows, 2).await;
    for id in killed {
        let job = completed_at(&board, id, 2).await;
        assert!(has_crashed(&job), "{:?}", job.errors);
    }
    assert_eq!(restarts(&board, &["queues", "other"]), 0);
    open_gate(&rows, 1).await;
    let job = completed_at(&board, other, 1).await;
    assert!(job.errors.is_empty(), "{:?}", job.errors);
    nothing_is_left(&board, &rows, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_spend_no_restart_budget_however_many_they_are() {
    let (url, rows) = stage().await;
    let board = Plan::new(&url).start().await;
    let worker = ["queues", "default", "workers", "worker-1"];
    for _ in 0..22 {
        for path in [&worker[..], &worker[..3], &["queues", "default", "fetcher"]] {
            kill(&board, path).await;
        }
        kill(&board, &worker[..2]).await;
        kill(&board, &["ledger"]).await;
    }
    let id = board.client().enqueue(call!(note())).await.unwrap();
    completed_at(&board, id, 1).await;
    assert!(board.health().is_working(), "{}", board.health());
    nothing_is_left(&board, &rows, 1).await;
}

/// While a handler runs, somebody else becomes the holder of its row, by `change`.
async fn a_stale_answer_is_refused(change: &str) {
    let (url, rows) = stage().await;
    let board = Plan::new(&url).start().await;
    board.client().enqueue(holding()).await.unwrap();
    until_ran(&rows, 1).await;
    rows.batch_execute(change).await.unwrap();
    let version = "select xmin::text::bigint from callboard.jobs";
    let version_before = number(&rows, version).await;
    eventually("the handler is told", || async {
        let told = "select count(*) from told where reason = 'Some(LeaseLost)'";
        (number(&rows, told).await == 1).then_some(())
    })
    .await;
    let refused = || async { (board.counts().refused == 1).then_some(()) };
    eventually("its answer is refused", refused).await;
    assert_eq!(board.counts().completed, 0);
    assert_eq!(
        number(&rows, version).await,
        version_before,
        "the row is as it was"
    );
    assert_eq!(
        number(&rows, "select count(*) from callboard.finished_jobs").await,
        0
    );
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_of_an_older_attempt_changes_nothing() {
    a_stale_answer_is_refused("update callboard.jobs set attempt = attempt + 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_of_another_node_changes_nothing() {
    a_stale_answer_is_refused("update callboard.jobs set node = node + 1").await;
}

/// As the wish to cancel it moves it, or a rewrite of the table.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_row_has_moved_is_completed_all_the_same() {
    let (url, rows) = stage().await;
    let board = Plan::new(&url).start().await;
    let ids = board.client().enqueue_many([holding(), holding()]);
    let ids = ids.await.unwrap();
    until_ran(&rows, 2).await;
    let moves = format!(
        "update callboard.jobs set args = args where id = {}",
        ids[1]
    );
    rows.batch_execute(&moves).await.unwrap();
    open_gate(&rows, 1).await;
    for id in ids {
        completed_at(&board, id, 1).await;
    }
    nothing_is_left(&board, &rows, 2).await;
    assert_eq!(board.counts().refused, 0);
}
