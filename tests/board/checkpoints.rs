//! Checkpoints and progress: what a job leaves on its way, who finds it, and when it is gone.

use std::sync::Arc;
use std::time::Duration;

use callboard::board::Builder;
use callboard::handler::MAX_CHECKPOINT_BYTES;
use callboard::job::Backoff;
use callboard::testing::Proxy;
use callboard::{
    Board, BoxError, Call, Client, Context, DeadFilter, Error, JobId, JobState, Outcome, Queue,
    call, functions,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc};

use crate::support::{board_at, eventually, server, sharing, sql, sql::number, until_state};

/// How a handler talks with its test.
#[derive(Clone)]
struct Stage {
    said: mpsc::UnboundedSender<Result<Option<u32>, Error>>,
    /// Lets a handler go on.
    gate: Arc<Semaphore>,
}

impl Stage {
    fn new() -> (Self, mpsc::UnboundedReceiver<Result<Option<u32>, Error>>) {
        let (said, heard) = mpsc::unbounded_channel();
        let gate = Arc::new(Semaphore::new(0));
        (Self { said, gate }, heard)
    }
}

/// Goes on from its checkpoint, and says from which; fails before it has counted to `until`.
async fn count(cx: &mut Context, until: u32) -> Result<(), BoxError> {
    let resumed = cx.resume::<u32>().await?;
    let stage = cx.state::<Stage>()?.clone();
    stage.said.send(Ok(resumed))?;
    let next = resumed.unwrap_or(0) + 1;
    cx.checkpoint(&next).await?;
    match next == until {
        true => Ok(()),
        false => Err(format!("came to {next} only").into()),
    }
}

/// Keeps a checkpoint; so often waits for the gate, keeps the next, and looks; says how it went.
async fn hold(cx: &mut Context, times: u32) -> Result<(), BoxError> {
    let stage = cx.state::<Stage>()?.clone();
    stage.said.send(cx.resume::<u32>().await)?;
    let kept = cx.checkpoint(&1_u32).await;
    stage.said.send(kept.map(|()| None))?;
    for _ in 0..times {
        stage.gate.acquire().await?.forget();
        let kept = cx.checkpoint(&2_u32).await;
        stage.said.send(kept.map(|()| None))?;
        stage.said.send(cx.resume::<u32>().await)?;
    }
    Ok(())
}

/// Says nothing of the checkpoint it leaves.
async fn forgets(cx: &mut Context) -> Result<(), BoxError> {
    if cx.attempt().is_first() {
        cx.checkpoint(&1_u32).await?;
        return Err("once".into());
    }
    Ok(())
}

fn soon() -> Backoff {
    Backoff::constant(Duration::from_millis(10))
}

fn with_stage(stage: &Stage) -> impl FnOnce(Builder) -> Builder {
    let queue = sharing(Queue::new("default").workers(1), stage);
    move |builder: Builder| {
        builder
            .queue(queue)
            .functions(functions![count, hold, forgets, shapes, report, blocking])
    }
}

async fn kept(rows: &tokio_postgres::Client) -> i64 {
    number(rows, "select count(*) from callboard.checkpoints").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_attempt_goes_on_from_the_checkpoint_and_its_completion_clears_it_away() {
    let url = server::fresh_database().await;
    let (stage, mut heard) = Stage::new();
    let board = board_at(&url, with_stage(&stage)).await;
    let rows = sql::connect(&url).await;
    let call = call!(count(3)).backoff(soon());
    let id = board.client().enqueue(call).await.unwrap();
    for expected in [None, Some(1), Some(2)] {
        assert_eq!(heard.recv().await.unwrap().unwrap(), expected);
    }
    let job = until_state(board.client(), id, JobState::Completed).await;
    assert_eq!(job.checkpointed_at, None);
    assert_eq!(kept(&rows).await, 0, "it goes in the same statement");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_shutdown_interrupts_costs_no_attempt_and_goes_on_elsewhere() {
    let url = server::fresh_database().await;
    let (stage, mut heard) = Stage::new();
    let start = || async {
        let configure = with_stage(&stage);
        let at_once = |b: Builder| configure(b).shutdown_grace(Duration::ZERO);
        board_at(&url, at_once).await
    };
    let board = start().await;
    let call = call!(hold(1)).max_attempts(1);
    let id = board.client().enqueue(call).await.unwrap();
    assert_eq!(heard.recv().await.unwrap().unwrap(), None);
    heard.recv().await.unwrap().unwrap();
    board.hurry();
    board.shutdown().await.unwrap();

    let client = Client::connect(crate::support::database_at(&url))
        .await
        .unwrap();
    let job = client.job(id).await.unwrap().unwrap();
    assert_eq!((job.state, job.failures), (JobState::Available, Some(0)));
    assert!(job.checkpointed_at.is_some());
    stage.gate.add_permits(1);
    let board = start().await;
    assert_eq!(heard.recv().await.unwrap().unwrap(), Some(1));
    let job = until_state(&client, id, JobState::Completed).await;
    assert_eq!(job.attempt.as_i32(), 2);
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_survives_the_dead_letters_and_goes_with_a_deleted_one() {
    let url = server::fresh_database().await;
    let (stage, mut heard) = Stage::new();
    let board = board_at(&url, with_stage(&stage)).await;
    let client = board.client();
    let rows = sql::connect(&url).await;
    let call = || call!(count(2)).max_attempts(1);
    let id = client.enqueue(call()).await.unwrap();
    assert_eq!(heard.recv().await.unwrap().unwrap(), None);
    let dead = until_state(client, id, JobState::Dead).await;
    assert!(dead.checkpointed_at.is_some());
    assert!(client.requeue(id).await.unwrap());
    assert_eq!(heard.recv().await.unwrap().unwrap(), Some(1));
    until_state(client, id, JobState::Completed).await;
    assert_eq!(kept(&rows).await, 0);

    let id = client.enqueue(call()).await.unwrap();
    until_state(client, id, JobState::Dead).await;
    assert_eq!(kept(&rows).await, 1);
    assert_eq!(client.delete_all_dead(DeadFilter::all()).await.unwrap(), 1);
    assert_eq!(kept(&rows).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_attempt_keeps_nothing_and_is_told_so() {
    let url = server::fresh_database().await;
    let (stage, mut heard) = Stage::new();
    let board = board_at(&url, with_stage(&stage)).await;
    let id = board.client().enqueue(call!(hold(2))).await.unwrap();
    assert_eq!(heard.recv().await.unwrap().unwrap(), None);
    heard.recv().await.unwrap().unwrap();
    let before = board.client().job(id).await.unwrap().unwrap();
    let stale = ["attempt = attempt + 1", "attempt = 1, node = 4711"];
    for change in stale {
        server::sql(&url, &format!("update callboard.jobs set {change}")).await;
        stage.gate.add_permits(1);
        for _ in ["it keeps", "it looks"] {
            let refused = heard.recv().await.unwrap().unwrap_err();
            assert!(refused.is_lease_lost(), "{refused}");
            let text = refused.to_string();
            assert!(text.contains("attempt 1 is not"), "{text}");
        }
    }
    let after = board.client().job(id).await.unwrap().unwrap();
    assert_eq!(after.checkpointed_at, before.checkpointed_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_leaves_no_checkpoint() {
    let url = server::fresh_database().await;
    let (stage, mut heard) = Stage::new();
    let board = board_at(&url, with_stage(&stage)).await;
    let (client, rows) = (board.client(), sql::connect(&url).await);
    let hour = Backoff::constant(Duration::from_secs(3600));
    let waiting = client.enqueue(call!(count(9)).backoff(hour)).await.unwrap();
    until_state(client, waiting, JobState::Retryable).await;
    assert_eq!(kept(&rows).await, 1);
    client.cancel(waiting).await.unwrap();
    assert_eq!(kept(&rows).await, 0);
    heard.recv().await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pruner_finds_what_a_completion_did_not_know_of() {
    let url = server::fresh_database().await;
    let (stage, _heard) = Stage::new();
    let board = board_at(&url, with_stage(&stage)).await;
    let rows = sql::connect(&url).await;
    let call = call!(forgets()).backoff(soon());
    let id = board.client().enqueue(call).await.unwrap();
    until_state(board.client(), id, JobState::Completed).await;
    assert_eq!(kept(&rows).await, 1);
    // Whoever starts, prunes.
    let other = board_at(&url, |b| b).await;
    eventually("it is swept", || async {
        (kept(&rows).await == 0).then_some(())
    })
    .await;
    other.shutdown().await.unwrap();
}

#[derive(Serialize, Deserialize)]
struct Cursor {
    table: String,
    row: u64,
}

/// Keeps one shape, asks for another, for the first again, and for too much.
async fn shapes(cx: &mut Context) -> Result<Outcome, BoxError> {
    let cursor = Cursor {
        table: "users".into(),
        row: 300,
    };
    cx.checkpoint(&cursor).await?;
    let other = cx.resume::<(u64, String)>().await.unwrap_err();
    let same = cx.resume::<Cursor>().await?.ok_or("it is kept")?;
    let large = vec![7_u8; MAX_CHECKPOINT_BYTES];
    let large = cx.checkpoint(&large).await.unwrap_err();
    let errors = [&other, &large].map(|error| (error.is_unfit_checkpoint(), error.to_string()));
    Outcome::done_with(&(errors, same.table, same.row))
}

#[tokio::test(flavor = "multi_thread")]
async fn another_type_is_never_read_and_too_much_is_never_kept() {
    let url = server::fresh_database().await;
    let (stage, _heard) = Stage::new();
    let board = board_at(&url, with_stage(&stage)).await;
    let id = board.client().enqueue(call!(shapes())).await.unwrap();
    let job = until_state(board.client(), id, JobState::Completed).await;
    let said: ([(bool, String); 2], String, u64) =
        serde_json::from_value(job.output.unwrap()).unwrap();
    let ([other, large], table, row) = said;
    assert_eq!((&*table, row), ("users", 300));
    assert!(other.0 && large.0);
    let expected = format!("cannot resume job {id}: its checkpoint has the shape");
    assert!(other.1.starts_with(&expected), "{}", other.1);
    assert!(large.1.contains("expected at most 1048576"), "{}", large.1);
}

/// Tells its progress again and again, then waits.
async fn report(cx: &mut Context, times: u64) -> Result<(), BoxError> {
    for done in 1..=times {
        cx.progress(done, times, "lines\0read");
    }
    let stage = cx.state::<Stage>()?.clone();
    stage.gate.acquire().await?.forget();
    match cx.attempt().is_first() {
        true => Err("at the end".into()),
        false => Ok(()),
    }
}

async fn until_progress(board: &Board, id: JobId, done: u64) -> callboard::store::Progress {
    eventually(&format!("progress {done} is seen"), || async {
        let job = board.client().job(id).await.unwrap()?;
        job.progress.filter(|progress| progress.done == done)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_seen_while_the_job_runs_and_written_now_and_then() {
    let url = server::fresh_database().await;
    let proxy = Proxy::start(&url).unwrap();
    let (stage, _heard) = Stage::new();
    let board = board_at(proxy.url(), with_stage(&stage)).await;
    let call = |times| -> Call { call!(report(times)).backoff(soon()) };
    let id = board.client().enqueue(call(100_000)).await.unwrap();
    let progress = until_progress(&board, id, 100_000).await;
    assert_eq!(
        (progress.of, &*progress.message),
        (100_000, "lines\u{fffd}read")
    );
    assert_eq!(progress.attempt.as_i32(), 1);
    let written = proxy.statements("excluded.progress_done");
    assert!(written <= 20, "{written} statements");
    let filter = callboard::JobFilter::all();
    let jobs = board.client().jobs(filter, 9).await.unwrap();
    assert_eq!(jobs[0].progress, Some(progress));

    stage.gate.add_permits(2);
    let job = until_state(board.client(), id, JobState::Completed).await;
    assert_eq!(job.progress, None);
}

/// Works in a thread that blocks.
async fn blocking(cx: &mut Context) -> Result<Outcome, BoxError> {
    if let Some(next) = cx.resume::<u32>().await? {
        return Outcome::done_with(&next);
    }
    let work = |work: &callboard::handler::Blocking| {
        // From a thread of its own, as a pool for computations has them.
        let kept = || {
            work.progress(7, 0, "");
            work.checkpoint(&7_u32)
        };
        std::thread::scope(|scope| scope.spawn(kept).join().expect("it does not panic"))
    };
    cx.spawn_blocking(work).await??;
    Err("once".into())
}

#[tokio::test(flavor = "multi_thread")]
async fn blocking_work_keeps_checkpoints_too() {
    let url = server::fresh_database().await;
    let (stage, _heard) = Stage::new();
    let board = board_at(&url, with_stage(&stage)).await;
    let call = call!(blocking()).backoff(soon());
    let id = board.client().enqueue(call).await.unwrap();
    let job = until_state(board.client(), id, JobState::Completed).await;
    assert_eq!(job.output, Some(7.into()));
}
