//! The connection breaks after the commit and before the answer: what was written stands, is found out, and nothing
//! is done twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use callboard::job::Backoff;
use callboard::queue::AtBirth;
use callboard::testing::Proxy;
use callboard::{Board, BoxError, Context, JobId, JobInfo, JobState, Queue, call, functions};

use crate::support::tree::restarts;
use crate::support::{database_at, eventually, server, sharing, sql, sql::number, until_state};

const ENQUEUE: &str = "as given";
const CLAIM: &str = "set state = 'executing'";
const COMPLETE: &str = "'completed', queue, kind, errors from ended";
const SETTLE: &str = "as answer (id, attempt, verb";
const PROMOTE: &str = "where not is_ready and due_at";
const RESCUE: &str = "'process_died', 'at'";

type Runs = Arc<AtomicU32>;

async fn run(cx: &mut Context) -> Result<(), BoxError> {
    cx.state::<Runs>()?.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

async fn second_time_lucky(cx: &mut Context) -> Result<(), BoxError> {
    match cx.state::<Runs>()?.fetch_add(1, Ordering::SeqCst) {
        0 => Err("not yet".into()),
        _ => Ok(()),
    }
}

struct Stage {
    proxy: Proxy,
    board: Board,
    runs: Runs,
    /// A connection beside the proxy.
    rows: tokio_postgres::Client,
}

/// Those who have said that they work have a connection, each its own or one of a pool.
const CONNECTED: [&str; 7] = [
    "fetcher of default",
    "ledger",
    "notifier",
    "pruner",
    "rescuer",
    "scheduler",
    "steward",
];

impl Stage {
    async fn set() -> Self {
        Self::with(AtBirth::Claimed).await
    }

    async fn with(at_birth: AtBirth) -> Self {
        let url = server::fresh_database().await;
        let (proxy, runs) = (Proxy::start(&url).unwrap(), Runs::default());
        let queue = sharing(Queue::new("default").workers(4), &runs);
        let queue = queue
            .poll_every(Duration::from_millis(200))
            .at_birth(at_birth);
        let board = Board::builder(database_at(proxy.url()))
            .lease(Duration::from_secs(3))
            .sweep_every(Duration::from_millis(100))
            .queue(queue)
            .functions(functions![run, second_time_lucky])
            .start()
            .await
            .unwrap();
        let rows = sql::connect(&url).await;
        // Nobody makes a connection any more, which takes statements too.
        board.client().enqueue_many([call!(run())]).await.unwrap();
        eventually("everybody is connected", || async {
            let health = board.health();
            let is_there = |part: &&str| health.parts.contains_key(*part);
            let is_quiet = health.is_working() && CONNECTED.iter().all(is_there);
            (is_quiet && board.counts().completed == 1 && board.counts().in_hand == 0).then_some(())
        })
        .await;
        runs.store(0, Ordering::SeqCst);
        Self {
            proxy,
            board,
            runs,
            rows,
        }
    }

    async fn until_lost(&self, answers: u32) {
        eventually("the answer is lost", || async {
            (self.proxy.lost_answers() == answers).then_some(())
        })
        .await;
    }

    async fn completed(&self, id: JobId) -> JobInfo {
        until_state(self.board.client(), id, JobState::Completed).await
    }

    /// All is done, once, and the board is well.
    async fn ends_well(self, jobs: i64, runs: u32) {
        eventually("all answers are confirmed", || async {
            let counts = self.board.counts();
            (counts.in_hand == 0 && counts.completed == 1 + jobs as u64).then_some(())
        })
        .await;
        assert_eq!(
            number(&self.rows, "select count(*) from callboard.jobs").await,
            0
        );
        let history = "select count(*) from callboard.finished_jobs where state = 'completed'";
        assert_eq!(number(&self.rows, history).await, 1 + jobs);
        assert_eq!(self.runs.load(Ordering::SeqCst), runs);
        assert_eq!(self.board.counts().refused, 0);
        assert_eq!(restarts(&self.board, &[]), 0);
        self.board.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enqueue_whose_answer_is_lost_says_so_and_its_job_runs_once() {
    let stage = Stage::set().await;
    stage.proxy.lose_answers_to(ENQUEUE, 1);
    let error = stage
        .board
        .client()
        .enqueue(call!(run()))
        .await
        .unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    stage.ends_well(1, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_whose_commit_is_not_answered_says_so_and_its_jobs_run_once() {
    let stage = Stage::set().await;
    stage.proxy.lose_answers_to("commit", 1);
    // More than one statement takes.
    let calls = (0..5_001).map(|_| call!(run()));
    let error = stage.board.client().enqueue_many(calls).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    stage.ends_well(5_001, 5_001).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_claim_whose_answer_is_lost_are_found_and_run_at_their_first_attempt() {
    let stage = Stage::with(AtBirth::Available).await;
    stage.proxy.lose_answers_to(CLAIM, 2);
    let calls = (0..10).map(|_| call!(run()));
    let ids = stage.board.client().enqueue_many(calls).await.unwrap();
    stage.until_lost(2).await;
    for id in ids {
        let job = stage.completed(id).await;
        assert_eq!((job.attempt.as_i32(), job.errors.len()), (1, 0));
    }
    stage.ends_well(10, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_whose_confirmation_is_lost_count_as_what_they_did() {
    let stage = Stage::set().await;
    stage.proxy.lose_answers_to(COMPLETE, 3);
    let calls = (0..10).map(|_| call!(run()));
    stage.board.client().enqueue_many(calls).await.unwrap();
    stage.until_lost(3).await;
    stage.ends_well(10, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_whose_confirmation_is_lost_is_charged_once() {
    let stage = Stage::set().await;
    stage.proxy.lose_answers_to(SETTLE, 1);
    let retried = call!(second_time_lucky()).backoff(Backoff::constant(Duration::from_millis(50)));
    let id = stage.board.client().enqueue(retried).await.unwrap();
    let job = stage.completed(id).await;
    assert_eq!((job.attempt.as_i32(), job.errors.len()), (2, 1));
    assert_eq!(stage.board.counts().retried, 1);
    stage.ends_well(1, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_job_whose_promotion_is_not_answered_runs_once() {
    let stage = Stage::set().await;
    stage.proxy.lose_answers_to(PROMOTE, 1);
    let due = call!(run()).run_in(Duration::from_millis(300));
    stage.board.client().enqueue(due).await.unwrap();
    stage.until_lost(1).await;
    stage.ends_well(1, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rescue_whose_answer_is_lost_charges_one_death() {
    let stage = Stage::set().await;
    let client = stage.board.client();
    let later = call!(run()).run_in(Duration::from_secs(3600));
    let id = client.enqueue(later).await.unwrap();
    stage.proxy.lose_answers_to(RESCUE, 1);
    // It was claimed by a node whose lease ran out.
    let dead = "insert into callboard.nodes (id, lease_until, name, version, queues, kinds) \
                values (7, now() - interval '1 minute', 'gone', '0', '{}', '{}'); \
                update callboard.jobs set state = 'executing', is_ready = true, attempt = 1, node = 7, due_at = null";
    stage.rows.batch_execute(dead).await.unwrap();
    stage.until_lost(1).await;
    let job = stage.completed(id).await;
    assert_eq!(job.attempt.as_i32(), 2);
    let kinds: Vec<_> = job.errors.iter().map(|error| &error["kind"]).collect();
    assert_eq!(kinds, ["process_died"]);
    stage.ends_well(1, 1).await;
}
