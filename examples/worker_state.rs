//! How does a worker keep a loaded model, and what happens to it in a crash?
//!
//! `Queue::worker_state` builds it once for each worker, and again after a crash, since nobody knows
//! what a panic left behind. Between jobs it stays as it is.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use callboard::{
    Board, BoxError, Client, Context, Database, JobState, Outcome, Queue, call, functions,
};

mod support;

/// What takes long to load, and is worth keeping.
struct Model {
    /// Which load this is, counted over the whole process.
    serial: u32,
    uses: u32,
}

impl Model {
    async fn load() -> Result<Self, BoxError> {
        static LOADED: AtomicU32 = AtomicU32::new(0);
        let began = Instant::now();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let serial = LOADED.fetch_add(1, Ordering::Relaxed) + 1;
        println!(
            "model {serial} loaded in {} ms",
            began.elapsed().as_millis()
        );
        Ok(Self { serial, uses: 0 })
    }
}

/// Uses the model of whichever worker it runs on, and keeps in the history which one that was.
async fn predict(cx: &mut Context, text: String) -> Result<Outcome, BoxError> {
    let model = cx.state::<Model>()?;
    model.uses += 1;
    println!("  {text:<8} model {}, use {}", model.serial, model.uses);
    Outcome::done_with(&(model.serial, model.uses))
}

async fn trip(cx: &mut Context) -> Result<(), BoxError> {
    let model = cx.state::<Model>()?;
    // Half-way through a change: this is why the next job gets another model.
    model.uses = u32::MAX;
    panic!("tripped over the model");
}

#[tokio::main]
async fn main() -> ExitCode {
    support::run(example()).await
}

async fn example() -> Result<(), BoxError> {
    let database = Database::from_env_or_embedded()
        .await?
        .schema("callboard_worker_state");
    let board = Board::builder(database)
        .queue(Queue::new("default").workers(1).worker_state(Model::load))
        .functions(functions![predict, trip])
        .start()
        .await?;
    let client = board.client();

    let before = predictions(client, ["one", "two", "three"]).await?;

    println!("\nThe next job panics on purpose; this is Rust's own report of it:");
    let tripped = client.enqueue(call!(trip()).max_attempts(1)).await?;
    let tripped = support::until_ended(client, &[tripped]).await?;
    println!("the job is {}, its worker is replaced\n", tripped[0].state);

    let after = predictions(client, ["four", "five", "six"]).await?;
    board.shutdown().await?;

    let as_expected = before == [(1, 1), (1, 2), (1, 3)]
        && tripped[0].state == JobState::Dead
        && after == [(2, 1), (2, 2), (2, 3)];
    if !as_expected {
        return Err(format!("expected models 1 and 2, got {before:?} and {after:?}").into());
    }
    println!("\nTwo loads for seven jobs: one at the start, one after the crash.");
    Ok(())
}

/// Has three texts predicted, and reads in the history which model did it, and its how manieth use
/// that was.
async fn predictions(client: &Client, texts: [&str; 3]) -> Result<Vec<(u32, u32)>, BoxError> {
    let calls = texts.map(|text| call!(predict(text.to_owned())));
    let jobs = client.enqueue_many(calls).await?;
    let jobs = support::until_ended(client, &jobs).await?;
    let outputs = jobs.into_iter().map(|job| job.output.unwrap_or_default());
    Ok(outputs
        .map(serde_json::from_value)
        .collect::<Result<_, _>>()?)
}
