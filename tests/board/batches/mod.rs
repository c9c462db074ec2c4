//! Batches: many jobs of a kind in one run of their handler, each with its own attempt and outcome.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use callboard::handler::CancelReason;
use callboard::job::Backoff;
use callboard::{
    Batch, BatchContext, BatchJob, Board, BoxError, Call, Context, Job, JobId, JobInfo, JobState,
    Outcome, Queue, call, functions,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::support::script::Step;
use crate::support::{
    board_at, board_on, database, server, sharing, sql, sql::number, until_state,
};

mod ending;
mod gathering;
mod in_transaction;
mod stopping;

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
