//! Batches: many jobs of a kind in one run of their handler, each with its own attempt and outcome.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use callboard::handler::CancelReason;
use callboard::job::{Backoff, BuryReason};
use callboard::{
    Batch, BatchContext, BatchJob, Board, BoxError, Call, Context, Job, JobId, JobInfo, JobState,
    Outcome, Queue, call, functions,
};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::support::script::Step;
use crate::support::tree::kill;
use crate::support::{
    board_at, board_on, database, database_at, eventually, server, sharing, sql, sql::number,
    until_confirmed, until_state,
};

const LONG: u64 = 60 * 60 * 1000;

/// What a row makes of its first attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Play {
    /// Leaves it to the batch.
    Nothing,
    /// Has an answer of its own.
    Own(Step),
    /// Ends the batch so, after the others' own answers.
    Batch(Step),
    /// Waits until it is told to stop, fails, and lets the batch go on.
    UntilTold,
}

/// A row of a batch of `S` rows that waits `W` milliseconds.
#[derive(Debug, Serialize, Deserialize)]
struct Row<const S: u32, const W: u64> {
    n: u32,
    play: Play,
}

/// The rows of a batch that does not wait.
type Quick = Row<10, 0>;
/// The rows of a batch that must be full.
type Full<const S: u32> = Row<S, LONG>;

/// What ran, and how the test talks to it.
#[derive(Debug, Clone)]
struct Stage {
    batches: Arc<Mutex<Vec<Vec<u32>>>>,
    begun: Arc<Semaphore>,
}

impl Stage {
    fn new() -> Self {
        Self {
            batches: Arc::default(),
            begun: Arc::new(Semaphore::new(0)),
        }
    }

    fn batches(&self) -> Vec<Vec<u32>> {
        self.batches.lock().unwrap().clone()
    }

    async fn has_begun(&self) {
        self.begun.acquire().await.unwrap().forget();
    }

    fn queue(&self, max_demand: u32) -> Queue {
        let queue = Queue::new("default").workers(1).max_demand(max_demand);
        sharing(queue.cancel_grace(Duration::from_millis(100)), self)
    }
}

impl<const S: u32, const W: u64> BatchJob for Row<S, W> {
    const KIND: &'static str = "test.row";
    const SIZE: u32 = S;
    const WAIT: Duration = Duration::from_millis(W);
    const TIME_LIMIT: Duration = Duration::from_secs(30);

    fn backoff() -> Backoff {
        Backoff::constant(Duration::from_millis(10))
    }

    async fn perform_batch(
        batch: &mut Batch<Self>,
        cx: &mut BatchContext<'_>,
    ) -> Result<Outcome, BoxError> {
        let stage = cx.state::<Stage>()?.clone();
        let rows = batch.iter().map(|row| row.n).collect();
        stage.batches.lock().unwrap().push(rows);
        stage.begun.add_permits(1);
        let mut said = None;
        for row in batch.iter_mut().filter(|row| row.attempt().is_first()) {
            match row.play.clone() {
                Play::Nothing => {}
                Play::Batch(step) => said = Some(step),
                Play::Own(Step::Fail(text)) => row.fail(text),
                Play::Own(step) => row.answer(outcome(step)),
                Play::UntilTold => {
                    row.cancellation().cancelled().await;
                    assert_eq!(row.cancel_reason(), Some(CancelReason::Requested));
                    row.fail("stopped when it was told to");
                }
            }
        }
        match said {
            None => Ok(Outcome::Done),
            Some(Step::Fail(text)) => Err(text.into()),
            Some(Step::Panic(text)) => panic!("{text}"),
            Some(Step::Hang) => std::future::pending().await,
            Some(step) => Ok(outcome(step)),
        }
    }
}

fn outcome(step: Step) -> Outcome {
    match step {
        Step::Complete => Outcome::Done,
        Step::CompleteWith(output) => Outcome::DoneWith(output.into()),
        Step::Snooze(wait) => Outcome::Snooze(wait),
        Step::Cancel(reason) => Outcome::Cancel(reason),
        Step::Bury(reason) => Outcome::Bury(reason),
        step => panic!("{step:?} is no outcome"),
    }
}

async fn board<R: Job>(stage: &Stage) -> Board {
    board_on(database().await, |board| {
        board
            .queue(stage.queue(20))
            .job::<R>()
            .functions(functions![alone])
    })
    .await
}

async fn alone(_cx: &mut Context) {}

fn row<const S: u32, const W: u64>(n: u32, play: Play) -> Call {
    Row::<S, W> { n, play }.call()
}

async fn enqueue(
    board: &Board,
    calls: impl IntoIterator<Item = Call, IntoIter: Send>,
) -> Vec<JobId> {
    board.client().enqueue_many(calls).await.unwrap()
}

async fn ended(board: &Board, job: JobId, state: JobState) -> JobInfo {
    until_state(board.client(), job, state).await
}

async fn all_complete(board: &Board, jobs: &[JobId], attempt: i32) {
    for job in jobs {
        let job = ended(board, *job, JobState::Completed).await;
        assert_eq!(job.attempt.as_i32(), attempt, "{job:?}");
    }
}

#[tokio::test]
async fn jobs_that_come_one_by_one_run_as_one_batch_as_soon_as_it_is_full() {
    let stage = Stage::new();
    let board = board::<Full<4>>(&stage).await;
    let mut jobs = Vec::new();
    for n in 1..=4 {
        let call = row::<4, LONG>(n, Play::Nothing);
        jobs.push(board.client().enqueue(call).await.unwrap());
    }
    all_complete(&board, &jobs, 1).await;
    assert_eq!(stage.batches(), [[1, 2, 3, 4]]);
}

#[tokio::test]
async fn a_batch_takes_no_more_than_its_size() {
    let stage = Stage::new();
    let board = board::<Full<5>>(&stage).await;
    let jobs = enqueue(&board, (0..40).map(|n| row::<5, LONG>(n, Play::Nothing))).await;
    all_complete(&board, &jobs, 1).await;
    let sizes: Vec<_> = stage.batches().iter().map(Vec::len).collect();
    assert_eq!(sizes, [5; 8]);
}

#[tokio::test]
async fn a_batch_that_is_not_full_begins_when_its_first_job_has_waited() {
    let stage = Stage::new();
    let board = board::<Row<10, 300>>(&stage).await;
    let jobs = enqueue(&board, (1..=3).map(|n| row::<10, 300>(n, Play::Nothing))).await;
    all_complete(&board, &jobs, 1).await;
    assert_eq!(stage.batches(), [[1, 2, 3]]);
    for job in jobs {
        let job = ended(&board, job, JobState::Completed).await;
        let took = job.finished_at.unwrap() - job.attempted_at.unwrap();
        assert!(took.num_milliseconds() >= 250, "{took}");
    }
}

#[tokio::test]
async fn a_worker_that_asks_for_one_job_at_a_time_waits_for_no_other() {
    let stage = Stage::new();
    let board = board_on(database().await, |board| {
        board.queue(stage.queue(1)).job::<Full<9>>()
    })
    .await;
    let jobs = enqueue(&board, (1..=2).map(|n| row::<9, LONG>(n, Play::Nothing))).await;
    all_complete(&board, &jobs, 1).await;
    assert_eq!(stage.batches(), [[1], [2]]);
}

#[tokio::test]
async fn other_kinds_run_on_while_a_batch_gathers() {
    let stage = Stage::new();
    let board = board::<Full<3>>(&stage).await;
    let first = enqueue(&board, [row::<3, LONG>(1, Play::Nothing)]).await;
    ended(&board, first[0], JobState::Executing).await;
    let others = enqueue(&board, (0..20).map(|_| call!(alone()))).await;
    all_complete(&board, &others, 1).await;
    assert!(stage.batches().is_empty());
    let rest = (2..=3).map(|n| row::<3, LONG>(n, Play::Nothing));
    let rest = enqueue(&board, rest).await;
    all_complete(&board, &[first, rest].concat(), 1).await;
    assert_eq!(stage.batches(), [[1, 2, 3]]);
}

#[tokio::test]
async fn every_job_of_a_batch_can_have_an_answer_of_its_own() {
    let stage = Stage::new();
    let board = board::<Full<7>>(&stage).await;
    let plays = [
        Play::Nothing,
        Play::Own(Step::Complete),
        Play::Own(Step::CompleteWith("mine".into())),
        Play::Own(Step::Cancel("not me".into())),
        Play::Own(Step::Bury("never".into())),
        Play::Own(Step::Fail("not yet".into())),
        Play::Own(Step::Snooze(Duration::from_secs(3600))),
    ];
    let calls = (0..).zip(plays).map(|(n, play)| row::<7, LONG>(n, play));
    let jobs = enqueue(&board, calls.collect::<Vec<_>>()).await;
    for job in &jobs[..3] {
        ended(&board, *job, JobState::Completed).await;
    }
    let output = ended(&board, jobs[2], JobState::Completed).await.output;
    assert_eq!(output, Some("mine".into()));
    ended(&board, jobs[3], JobState::Cancelled).await;
    let buried = ended(&board, jobs[4], JobState::Dead).await;
    assert_eq!(buried.reason, Some(BuryReason::Discarded));
    let failed = eventually("the failure is written", || async {
        let job = board.client().job(jobs[5]).await.unwrap().unwrap();
        (job.failures == Some(1)).then_some(job)
    })
    .await;
    assert_eq!(failed.errors[0]["message"], "not yet");
    let snoozed = ended(&board, jobs[6], JobState::Scheduled).await;
    assert_eq!(snoozed.failures, Some(0));
}

#[tokio::test]
async fn an_error_fails_those_without_an_answer_each_by_its_own_budget() {
    let stage = Stage::new();
    let board = board::<Full<4>>(&stage).await;
    let calls = [
        row::<4, LONG>(1, Play::Own(Step::Complete)),
        row::<4, LONG>(2, Play::Batch(Step::Fail("no disk".into()))).max_attempts(1),
        row::<4, LONG>(3, Play::Nothing).backoff(Backoff::constant(Duration::from_secs(3600))),
        row::<4, LONG>(4, Play::Nothing).max_attempts(1),
    ];
    let jobs = enqueue(&board, calls).await;
    ended(&board, jobs[0], JobState::Completed).await;
    for job in [jobs[1], jobs[3]] {
        let dead = ended(&board, job, JobState::Dead).await;
        assert_eq!(dead.reason, Some(BuryReason::Exhausted));
        assert_eq!(dead.errors[0]["message"], "no disk");
    }
    let retried = ended(&board, jobs[2], JobState::Retryable).await;
    assert_eq!((retried.failures, retried.attempt.as_i32()), (Some(1), 1));
    assert_eq!(retried.errors[0]["kind"], "error");
}

#[tokio::test]
async fn a_panic_fails_those_without_an_answer_and_they_run_again_in_a_new_worker() {
    let stage = Stage::new();
    let board = board::<Quick>(&stage).await;
    let calls = [
        row::<10, 0>(1, Play::Own(Step::Complete)),
        row::<10, 0>(2, Play::Batch(Step::Panic("out of rows".into()))),
        row::<10, 0>(3, Play::Nothing),
    ];
    let jobs = enqueue(&board, calls).await;
    let answered = ended(&board, jobs[0], JobState::Completed).await;
    assert_eq!((answered.attempt.as_i32(), answered.errors.len()), (1, 0));
    for job in &jobs[1..] {
        let job = ended(&board, *job, JobState::Completed).await;
        assert_eq!(job.attempt.as_i32(), 2);
        let error = &job.errors[0];
        assert_eq!(error["kind"], "panic");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("out of rows"), "{message}");
        let backtrace = error["backtrace"].as_str().unwrap();
        assert!(backtrace.contains("perform_batch"), "{backtrace}");
    }
    assert_eq!(board.counts().panicked, 1);
    assert_eq!(stage.batches()[0], [1, 2, 3]);
}

#[tokio::test]
async fn a_killed_worker_gives_its_batch_back_except_what_was_answered() {
    let stage = Stage::new();
    let board = board::<Quick>(&stage).await;
    let calls = [
        row::<10, 0>(1, Play::Own(Step::CompleteWith("before".into()))),
        row::<10, 0>(2, Play::Batch(Step::Hang)),
        row::<10, 0>(3, Play::Nothing),
    ];
    let jobs = enqueue(&board, calls).await;
    stage.has_begun().await;
    ended(&board, jobs[0], JobState::Completed).await;
    kill(&board, &["queues", "default", "workers", "worker-1"]).await;
    for job in &jobs[1..] {
        let job = ended(&board, *job, JobState::Completed).await;
        assert_eq!(job.attempt.as_i32(), 2);
        assert_eq!(job.errors[0]["kind"], "crashed");
    }
    let answered = ended(&board, jobs[0], JobState::Completed).await;
    assert_eq!(answered.output, Some("before".into()));
    assert_eq!(board.counts().refused, 0);
}

#[tokio::test]
async fn a_killed_worker_releases_a_batch_that_had_not_begun() {
    let stage = Stage::new();
    let board = board::<Full<3>>(&stage).await;
    let calls = (1..=2).map(|n| row::<3, LONG>(n, Play::Nothing));
    let mut jobs = enqueue(&board, calls).await;
    ended(&board, jobs[1], JobState::Executing).await;
    kill(&board, &["queues", "default", "workers", "worker-1"]).await;
    jobs.extend(enqueue(&board, [row::<3, LONG>(3, Play::Nothing)]).await);
    for job in jobs {
        let job = ended(&board, job, JobState::Completed).await;
        assert!(job.errors.is_empty(), "{job:?}");
    }
    // The third may be claimed while the release of the others is being written.
    let batches = stage.batches().into_iter().map(|mut rows| {
        rows.sort_unstable();
        rows
    });
    assert_eq!(batches.collect::<Vec<_>>(), [[1, 2, 3]]);
}

#[tokio::test]
async fn arguments_that_do_not_decode_bury_their_job_alone() {
    let stage = Stage::new();
    let board = board::<Full<3>>(&stage).await;
    let calls = [
        row::<3, LONG>(1, Play::Nothing),
        Call::named("test.row", &("of another shape".to_owned(), 7)),
        row::<3, LONG>(3, Play::Nothing),
    ];
    let jobs = enqueue(&board, calls).await;
    let dead = ended(&board, jobs[1], JobState::Dead).await;
    assert_eq!(dead.reason, Some(BuryReason::Undecodable));
    all_complete(&board, &[jobs[0], jobs[2]], 1).await;
    assert_eq!(stage.batches(), [[1, 3]]);
}

#[tokio::test]
async fn the_cancellation_of_one_job_tells_the_handler_which() {
    let stage = Stage::new();
    let board = board::<Full<3>>(&stage).await;
    let plays = [Play::Nothing, Play::UntilTold, Play::Nothing];
    let calls = (0..).zip(plays).map(|(n, play)| row::<3, LONG>(n, play));
    let jobs = enqueue(&board, calls.collect::<Vec<_>>()).await;
    stage.has_begun().await;
    board.client().cancel(jobs[1]).await.unwrap();
    let cancelled = ended(&board, jobs[1], JobState::Cancelled).await;
    assert_eq!(
        cancelled.errors[0]["message"],
        "stopped when it was told to"
    );
    all_complete(&board, &[jobs[0], jobs[2]], 1).await;
}

#[tokio::test]
async fn a_batch_whose_jobs_are_all_cancelled_is_cut_off() {
    let stage = Stage::new();
    let board = board::<Full<2>>(&stage).await;
    let plays = [Play::Batch(Step::Hang), Play::Nothing];
    let calls = (0..).zip(plays).map(|(n, play)| row::<2, LONG>(n, play));
    let jobs = enqueue(&board, calls.collect::<Vec<_>>()).await;
    stage.has_begun().await;
    for job in &jobs {
        board.client().cancel(*job).await.unwrap();
    }
    for job in jobs {
        ended(&board, job, JobState::Cancelled).await;
    }
    let more = (2..4).map(|n| row::<2, LONG>(n, Play::Nothing));
    let more = enqueue(&board, more).await;
    all_complete(&board, &more, 1).await;
}

#[tokio::test]
async fn a_cancelled_job_that_waits_in_a_batch_never_begins() {
    let stage = Stage::new();
    let board = board::<Full<3>>(&stage).await;
    let calls = (1..=2).map(|n| row::<3, LONG>(n, Play::Nothing));
    let jobs = enqueue(&board, calls).await;
    ended(&board, jobs[0], JobState::Executing).await;
    board.client().cancel(jobs[0]).await.unwrap();
    let last = enqueue(&board, [row::<3, LONG>(3, Play::Nothing)]).await;
    all_complete(&board, &[jobs[1], last[0]], 1).await;
    ended(&board, jobs[0], JobState::Cancelled).await;
    assert_eq!(stage.batches(), [[2, 3]]);
}

#[tokio::test]
async fn a_batch_ends_at_the_shortest_time_limit_of_its_jobs() {
    let stage = Stage::new();
    let board = board::<Full<2>>(&stage).await;
    let calls = [
        row::<2, LONG>(1, Play::Batch(Step::Hang)).time_limit(Duration::from_millis(100)),
        row::<2, LONG>(2, Play::Nothing),
    ];
    let jobs = enqueue(&board, calls.map(|call| call.max_attempts(1))).await;
    for job in jobs {
        let dead = ended(&board, job, JobState::Dead).await;
        assert_eq!(dead.errors[0]["kind"], "timed_out");
    }
}

#[tokio::test]
async fn a_pause_releases_a_batch_that_gathers() {
    let stage = Stage::new();
    let board = board::<Full<4>>(&stage).await;
    let calls = (1..=3).map(|n| row::<4, LONG>(n, Play::Nothing));
    let mut jobs = enqueue(&board, calls).await;
    for job in &jobs {
        ended(&board, *job, JobState::Executing).await;
    }
    board.queue("default").pause().await.unwrap();
    for job in &jobs {
        let released = ended(&board, *job, JobState::Available).await;
        assert_eq!(released.failures, Some(0));
    }
    board.queue("default").resume().await.unwrap();
    jobs.extend(enqueue(&board, [row::<4, LONG>(4, Play::Nothing)]).await);
    for job in jobs {
        ended(&board, job, JobState::Completed).await;
    }
    assert_eq!(stage.batches().len(), 1);
}

#[tokio::test]
async fn a_shutdown_releases_a_batch_that_gathers_and_waits_for_one_that_runs() {
    let (url, stage) = (server::fresh_database().await, Stage::new());
    let board = board_at(&url, |board| {
        board
            .shutdown_grace(Duration::from_secs(600))
            .queue(stage.queue(20))
            .job::<Full<3>>()
    })
    .await;
    let calls = (1..=2).map(|n| row::<3, LONG>(n, Play::Nothing));
    let jobs = enqueue(&board, calls).await;
    ended(&board, jobs[1], JobState::Executing).await;
    board.shutdown().await.unwrap();
    assert_eq!((board.counts().released, board.counts().in_hand), (2, 0));
    assert!(stage.batches().is_empty());
    let rows = sql::connect(&url).await;
    let free = "select count(*) from callboard.jobs where state = 'available' and failures = 0";
    assert_eq!(number(&rows, free).await, 2);
}

#[tokio::test]
async fn a_batch_holds_one_job_of_each_ordering_key() {
    let stage = Stage::new();
    let board = board::<Quick>(&stage).await;
    let key = |n: u32| (n % 3).to_string();
    let calls = (0..12).map(|n| row::<10, 0>(n, Play::Nothing).ordering_key(key(n)));
    let jobs = enqueue(&board, calls).await;
    all_complete(&board, &jobs, 1).await;
    let batches = stage.batches();
    for batch in &batches {
        let mut keys: Vec<_> = batch.iter().map(|n| n % 3).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), batch.len(), "{batches:?}");
    }
    for key in 0..3 {
        let of_key = batches.iter().flatten().filter(|n| *n % 3 == key);
        assert!(of_key.is_sorted(), "{batches:?}");
    }
}

/// Writes its rows and completes them in one transaction, the first time in vain.
#[derive(Serialize, Deserialize)]
struct Written(i32);

#[derive(Debug, thiserror::Error)]
#[error("rolled back")]
struct RolledBack;

impl BatchJob for Written {
    const KIND: &'static str = "test.written";
    const SIZE: u32 = 3;
    const WAIT: Duration = Duration::from_millis(LONG);

    fn backoff() -> Backoff {
        Backoff::constant(Duration::from_millis(10))
    }

    async fn perform_batch(
        batch: &mut Batch<Self>,
        cx: &mut BatchContext<'_>,
    ) -> Result<Outcome, BoxError> {
        let rows: Vec<i32> = batch.iter().map(|row| row.0).collect();
        let is_first = batch.iter().all(|row| row.attempt().is_first());
        let connection = cx.state::<AsyncPgConnection>()?;
        connection
            .transaction(async |tx| -> Result<(), BoxError> {
                let insert = "insert into written select unnest($1)";
                diesel::sql_query(insert)
                    .bind::<diesel::sql_types::Array<diesel::sql_types::Integer>, _>(rows)
                    .execute(tx)
                    .await?;
                batch.complete_in(tx).await?;
                if is_first {
                    return Err(RolledBack.into());
                }
                Ok(())
            })
            .await?;
        Ok(Outcome::Done)
    }
}

#[tokio::test]
async fn a_batch_can_complete_in_a_transaction_of_its_own() {
    let url = server::fresh_database().await;
    server::sql(&url, "create table written (n int)").await;
    let at = url.clone();
    let queue = Queue::new("default").workers(1).max_demand(6);
    let queue = queue.worker_state(move || {
        let database = database_at(&at);
        async move { database.connect().await }
    });
    let board = board_at(&url, |board| board.queue(queue).job::<Written>()).await;
    let calls = (1..=3).map(|n| Written(n).call());
    let jobs = enqueue(&board, calls).await;
    all_complete(&board, &jobs, 2).await;
    let rows = sql::connect(&url).await;
    let sum = number(&rows, "select sum(n) from written").await;
    assert_eq!(sum, 6, "each once, with its completion");
    until_confirmed(&board).await;
    let counts = board.counts();
    assert_eq!(
        (counts.completed, counts.retried, counts.refused),
        (3, 3, 0)
    );
}

#[tokio::test]
async fn a_batch_without_room_or_that_waits_too_long_is_refused_at_the_start() {
    let database = database().await;
    let stage = Stage::new();
    let starting = Board::builder(database.clone()).queue(stage.queue(1));
    let error = starting.job::<Row<0, 0>>().start().await.unwrap_err();
    assert!(error.is_config(), "{error:?}");
    assert!(
        error.to_string().contains("SIZE 0; expected 1 to 10000"),
        "{error}"
    );
    let starting = Board::builder(database).queue(stage.queue(1));
    let error = starting
        .job::<Row<1, { LONG + 1 }>>()
        .start()
        .await
        .unwrap_err();
    assert!(error.is_config(), "{error:?}");
    assert!(error.to_string().contains("at most an hour"), "{error}");
}
