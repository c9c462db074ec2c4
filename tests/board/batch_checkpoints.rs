//! Checkpoints and progress of the jobs of a batch: each has its own, wherever its next attempt runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use callboard::job::Backoff;
use callboard::testing::perform;
use callboard::{
    Batch, BatchContext, BatchJob, Board, BoxError, Error, JobId, JobState, Outcome, Queue,
};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc};

use crate::support::{board_at, eventually, server, sharing, sql, sql::number, until_state};

/// What a row does in each of its attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Play {
    /// Counts one further, and is done at this number.
    Count(u32),
    /// Keeps a checkpoint when it has its answer already.
    AnswersFirst,
    /// Shows its progress.
    Report,
    /// Keeps one in a thread that blocks.
    Block,
}

/// A row of a batch that waits so many seconds for more rows, until it is full.
#[derive(Debug, Serialize, Deserialize)]
struct Row<const W: u64> {
    n: u32,
    play: Play,
}

/// For batches that take what there is.
const NOT: u64 = 0;
/// For batches that must be full.
const LONG: u64 = 3600;

type Said = (u32, Result<Option<u32>, Error>);

/// How a batch talks with its test.
#[derive(Clone)]
struct Stage {
    said: mpsc::UnboundedSender<Said>,
    /// Lets a batch end.
    gate: Arc<Semaphore>,
}

impl Stage {
    fn open() -> (Self, mpsc::UnboundedReceiver<Said>) {
        let (said, heard) = mpsc::unbounded_channel();
        let gate = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        (Self { said, gate }, heard)
    }

    fn shut() -> (Self, mpsc::UnboundedReceiver<Said>) {
        let (mut stage, heard) = Self::open();
        stage.gate = Arc::new(Semaphore::new(0));
        (stage, heard)
    }
}

impl<const W: u64> BatchJob for Row<W> {
    const KIND: &'static str = "test.batch_checkpoints";
    const SIZE: u32 = 3;
    const WAIT: Duration = Duration::from_secs(W);

    fn backoff() -> Backoff {
        Backoff::constant(Duration::from_millis(10))
    }

    async fn perform_batch(
        batch: &mut Batch<Self>,
        cx: &mut BatchContext<'_>,
    ) -> Result<Outcome, BoxError> {
        let stage = cx.state::<Stage>()?.clone();
        // All at the same time, as a batch of many does.
        let counts = batch.iter().filter_map(|row| match row.play {
            Play::Count(_) => Some(async {
                let resumed = row.resume::<u32>().await?;
                let next = resumed.unwrap_or(0) + 1;
                row.checkpoint(&next).await?;
                Ok::<_, Error>((row.n, resumed))
            }),
            _ => None,
        });
        let counted = BTreeMap::from_iter(try_join_all(counts).await?);
        for (n, resumed) in &counted {
            stage.said.send((*n, Ok(*resumed)))?;
        }
        for row in batch.iter_mut() {
            match row.play {
                Play::Count(until) if counted[&row.n].unwrap_or(0) + 1 < until => row.fail("more"),
                Play::Count(_) => {}
                Play::AnswersFirst => {
                    row.answer(Outcome::Done);
                    let refused = row.checkpoint(&1_u32).await;
                    stage.said.send((row.n, refused.map(|()| None)))?;
                }
                Play::Report => row.progress(row.n.into(), 10, "parts"),
                Play::Block => {
                    let keep = |work: &callboard::handler::Blocking| work.checkpoint(&1_u32);
                    let refused = cx.spawn_blocking(keep).await?;
                    stage.said.send((row.n, refused.map(|()| None)))?;
                }
            }
        }
        stage.gate.acquire().await?.forget();
        Ok(Outcome::Done)
    }
}

/// A board with these rows, and connections to its database.
async fn run<const W: u64>(
    stage: &Stage,
    plays: &[Play],
) -> (Board, Vec<JobId>, tokio_postgres::Client) {
    let url = server::fresh_database().await;
    let queue = Queue::new("default").workers(1).max_demand(3);
    let queue = sharing(queue, stage);
    let board = board_at(&url, |board| board.queue(queue).job::<Row<W>>()).await;
    let rows = (1..)
        .zip(plays)
        .map(|(n, play)| Row::<W> { n, play: *play });
    let ids = board.client().enqueue_many(rows).await.unwrap();
    (board, ids, sql::connect(&url).await)
}

async fn until_completed(board: &Board, ids: &[JobId]) {
    for id in ids {
        until_state(board.client(), *id, JobState::Completed).await;
    }
}

async fn kept(rows: &tokio_postgres::Client) -> i64 {
    number(rows, "select count(*) from callboard.checkpoints").await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_job_goes_on_from_its_own_checkpoint_and_its_completion_clears_it_away() {
    let (stage, mut heard) = Stage::open();
    let plays = [1, 2, 3].map(Play::Count);
    let (board, ids, rows) = run::<NOT>(&stage, &plays).await;
    until_completed(&board, &ids).await;
    let mut resumed: BTreeMap<u32, Vec<Option<u32>>> = BTreeMap::new();
    while let Ok((n, from)) = heard.try_recv() {
        resumed.entry(n).or_default().push(from.unwrap());
    }
    let expected = [
        (1, vec![None]),
        (2, vec![None, Some(1)]),
        (3, vec![None, Some(1), Some(2)]),
    ];
    assert_eq!(resumed, BTreeMap::from(expected));
    assert_eq!(kept(&rows).await, 0, "they go in the same statement");
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_its_answer_keeps_nothing_more() {
    let (stage, mut heard) = Stage::open();
    let plays = [Play::AnswersFirst, Play::Count(1), Play::AnswersFirst];
    let (board, ids, rows) = run::<NOT>(&stage, &plays).await;
    until_completed(&board, &ids).await;
    let mut refused = Vec::new();
    for _ in &plays {
        let (n, said) = heard.recv().await.unwrap();
        refused.extend(said.err().map(|error| (n, error)));
    }
    assert_eq!(refused.len(), 2, "{refused:?}");
    for (n, error) in refused {
        assert!(n != 2 && error.is_lease_lost(), "{n}: {error}");
    }
    assert_eq!(kept(&rows).await, 0);
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_completion_of_each_clears_its_own_away_and_a_stale_one_nothing() {
    let (stage, mut heard) = Stage::shut();
    let plays = [Play::Count(1); 3];
    let (board, ids, rows) = run::<LONG>(&stage, &plays).await;
    for _ in &plays {
        heard.recv().await.unwrap().1.unwrap();
    }
    assert_eq!(kept(&rows).await, 3);
    let stale = "update callboard.jobs set attempt = 7 where id = $1";
    rows.execute(stale, &[&ids[0].as_i64()]).await.unwrap();
    stage.gate.add_permits(1);
    until_completed(&board, &ids[1..]).await;
    assert_eq!(kept(&rows).await, 1);
    let job = board.client().job(ids[0]).await.unwrap().unwrap();
    assert!(job.state == JobState::Executing && job.checkpointed_at.is_some());
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_progress_of_each_job_is_seen_while_the_batch_runs() {
    let (stage, _heard) = Stage::shut();
    let (board, ids, rows) = run::<LONG>(&stage, &[Play::Report; 3]).await;
    for (n, id) in (1..).zip(&ids) {
        let progress = eventually(&format!("the progress of {n} is seen"), || async {
            board.client().job(*id).await.unwrap()?.progress
        })
        .await;
        let seen = (progress.done, progress.of, &*progress.message);
        assert_eq!(seen, (n, 10, "parts"));
    }
    stage.gate.add_permits(1);
    until_completed(&board, &ids).await;
    assert_eq!(kept(&rows).await, 0);
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn blocking_work_of_a_batch_keeps_none_since_nobody_knows_of_which_job() {
    let (stage, mut heard) = Stage::open();
    let (board, ids, rows) = run::<NOT>(&stage, &[Play::Block; 3]).await;
    let refused = heard.recv().await.unwrap().1.unwrap_err();
    assert!(refused.is_unfit_checkpoint(), "{refused}");
    assert!(refused.to_string().contains("by Batched::checkpoint"));
    until_completed(&board, &ids).await;
    assert_eq!(kept(&rows).await, 0);
    board.shutdown().await.unwrap();
}

/// Alone in its batch, without a board.
#[derive(Debug, Serialize, Deserialize)]
struct Alone;

impl BatchJob for Alone {
    const KIND: &'static str = "test.batch_checkpoints.alone";

    async fn perform_batch(
        batch: &mut Batch<Self>,
        _: &mut BatchContext<'_>,
    ) -> Result<Outcome, BoxError> {
        for job in batch.iter() {
            let next = job.resume::<u32>().await?.unwrap_or(0) + 1;
            job.checkpoint(&next).await?;
        }
        Err("not yet".into())
    }
}

#[tokio::test]
async fn a_batch_of_one_without_a_board_has_its_checkpoint() {
    let first = perform(Alone).await;
    assert_eq!(first.checkpoint::<u32>(), Some(1));
    let second = perform(Alone).checkpoint(&1_u32).await;
    assert_eq!(second.checkpoint::<u32>(), Some(2));
}
