//! Actors that die: worker, fetcher, ledger, queue supervisor.

use std::time::{Duration, Instant};

use callboard::call;
use callboard::stage::SubscribeOptions;
use futures_util::StreamExt;

use crate::Effort;
use crate::figure::Figure;
use crate::stage::{Stage, crash, hold, mark};
use crate::support::Failed;

const WORKER: [&str; 4] = ["queues", "default", "workers", "worker-1"];
const FETCHER: [&str; 3] = ["queues", "default", "fetcher"];
const LEDGER: [&str; 1] = ["ledger"];
const QUEUE: [&str; 2] = ["queues", "default"];

/// A job panics; the next one has to wait for the new worker.
pub(crate) async fn panicked_worker(server: &str, effort: Effort) -> Result<Figure, Failed> {
    let stage = Stage::set(server).await?;
    let mut samples = Vec::new();
    for _ in 0..effort.panics {
        let calls = [call!(crash()).max_attempts(1), call!(mark())];
        stage.board.client().enqueue_many(calls).await?;
        let crashed = stage.begun().await?;
        samples.push(stage.begun().await? - crashed);
    }
    stage.board.shutdown().await?;
    let name = "a job panics → next job running";
    let setting = "1 worker, backtrace kept, answer written";
    Ok(Figure::new(
        name,
        setting,
        Duration::from_millis(10),
        samples,
    ))
}

/// A worker is killed while its job runs; the next one has to wait for the new worker.
pub(crate) async fn killed_worker(server: &str, effort: Effort) -> Result<Figure, Failed> {
    let stage = Stage::set(server).await?;
    let mut samples = Vec::new();
    for _ in 0..effort.kills {
        let calls = [call!(hold()).max_attempts(1), call!(mark())];
        stage.board.client().enqueue_many(calls).await?;
        stage.begun().await?;
        let killed = Instant::now();
        stage.actor(&WORKER)?.kill();
        samples.push(stage.begun().await? - killed);
        stage.quiet().await?;
    }
    stage.board.shutdown().await?;
    let name = "a worker is killed → next job running";
    let setting = "1 worker, killed while its job runs";
    Ok(Figure::new(
        name,
        setting,
        Duration::from_millis(10),
        samples,
    ))
}

/// Kills this actor, and measures until a job that is enqueued then runs.
async fn killed_until_running(
    server: &str,
    path: &[&str],
    effort: Effort,
) -> Result<Vec<Duration>, Failed> {
    let stage = Stage::set(server).await?;
    let mut samples = Vec::new();
    for _ in 0..effort.kills {
        let killed = Instant::now();
        stage.actor(path)?.kill();
        stage.board.client().enqueue(call!(mark())).await?;
        samples.push(stage.begun().await? - killed);
        stage.quiet().await?;
    }
    stage.board.shutdown().await?;
    Ok(samples)
}

pub(crate) async fn killed_fetcher(server: &str, effort: Effort) -> Result<Figure, Failed> {
    let samples = killed_until_running(server, &FETCHER, effort).await?;
    let name = "the fetcher is killed → next job running";
    let setting = "idle queue, job enqueued after the kill";
    Ok(Figure::new(
        name,
        setting,
        Duration::from_millis(50),
        samples,
    ))
}

pub(crate) async fn killed_queue(server: &str, effort: Effort) -> Result<Figure, Failed> {
    let samples = killed_until_running(server, &QUEUE, effort).await?;
    let name = "a queue is killed → next job running";
    let setting = "its supervisor; job enqueued after the kill";
    Ok(Figure::new(
        name,
        setting,
        Duration::from_millis(100),
        samples,
    ))
}

/// The ledger is killed with a job running; measured until that job's answer is confirmed.
pub(crate) async fn killed_ledger(server: &str, effort: Effort) -> Result<Figure, Failed> {
    let stage = Stage::set(server).await?;
    let mut attempts = stage.board.attempts().stream(SubscribeOptions::new())?;
    let mut samples = Vec::new();
    for _ in 0..effort.kills {
        stage.board.client().enqueue(call!(hold())).await?;
        stage.begun().await?;
        let killed = Instant::now();
        stage.actor(&LEDGER)?.kill();
        stage.let_go();
        attempts.next().await.ok_or("the board is gone")?;
        samples.push(killed.elapsed());
        stage.quiet().await?;
    }
    stage.board.shutdown().await?;
    let name = "the ledger is killed → answer confirmed";
    let setting = "the job ends right after the kill";
    Ok(Figure::new(
        name,
        setting,
        Duration::from_millis(50),
        samples,
    ))
}
