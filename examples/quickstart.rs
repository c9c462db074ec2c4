//! What does it all look like?
//!
//! `cargo run --example quickstart [FOLDER]` posts a function call for every file of a folder (by
//! default this repository) and has them counted and hashed by workers that write what they found into
//! a table of the application's own, in the transaction that completes the job. Before that come the
//! classic three: a greeting, a job that fails and is retried to success, and one that panics and
//! takes its worker down. It ends with what became of it all. Ctrl-C shuts down gracefully.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use callboard::{
    Backoff, Board, BoxError, Client, Database, Error, Queue, call, function, functions,
};

#[path = "quickstart/classics.rs"]
mod classics;
#[path = "quickstart/files.rs"]
mod files;
#[path = "quickstart/progress.rs"]
mod progress;
#[path = "quickstart/report.rs"]
mod report;
mod support;

use progress::Progress;
use report::Report;

/// The schema of the board's tables; the application's own are in another.
const SCHEMA: &str = "callboard_quickstart";
const FILE_WORKERS: u32 = 8;

#[tokio::main]
async fn main() -> ExitCode {
    support::run(quickstart()).await
}

async fn quickstart() -> Result<(), BoxError> {
    let folder = files::Folder::read(folder_to_read()?)?;
    println!("Callboard quickstart\n\n{folder}");

    let database = Database::from_env_or_embedded().await?.schema(SCHEMA);
    files::create_table(&database).await?;
    println!("{}", report::place(&database));

    let board = start(&database).await?;
    tokio::select! {
        done = work(&board, &database, &folder) => done?,
        stopped = board.run_until_signal() => {
            stopped?;
            return Err(report::interrupted(&database).into());
        }
    }
    Ok(board.shutdown().await?)
}

/// The first argument, or this repository.
fn folder_to_read() -> Result<PathBuf, BoxError> {
    match std::env::args_os().nth(1) {
        Some(folder) => Ok(folder.into()),
        // Cargo tells it to what it runs.
        None => match std::env::var_os("CARGO_MANIFEST_DIR") {
            Some(folder) => Ok(folder.into()),
            None => Ok(std::env::current_dir()?),
        },
    }
}

/// A board with two queues. Each worker of the first has a connection of its own for its results.
async fn start(database: &Database) -> Result<Board, Error> {
    let for_workers = database.clone();
    let connect = move || {
        let database = for_workers.clone();
        async move { database.connect().await }
    };
    let soon = Backoff::constant(Duration::from_millis(100));
    Board::builder(database.clone())
        .queue(
            Queue::new("files")
                .workers(FILE_WORKERS)
                .worker_state(connect),
        )
        .queue(Queue::new("classics").workers(1))
        .handler(
            function!(files::measure)
                .queue("files")
                .max_attempts(3)
                .backoff(soon),
        )
        .handler(
            function!(classics::third_time_lucky)
                .queue("classics")
                .backoff(soon),
        )
        .handler(
            function!(classics::burn_once)
                .queue("classics")
                .backoff(soon),
        )
        .functions(functions![classics::greet])
        .start()
        .await
}

async fn work(board: &Board, database: &Database, folder: &files::Folder) -> Result<(), BoxError> {
    let client = board.client();
    let left = jobs_on(client).await?;
    if left > 0 {
        println!("  left       {left} jobs or more by an earlier run; they run too");
    }
    let crash = classics::show(board).await?;

    let calls = folder
        .paths
        .iter()
        .map(|path| call!(files::measure(path.clone())));
    let began = Instant::now();
    let jobs = client.enqueue_many(calls).await?;
    println!(
        "\nThe files\n  {} calls enqueued in {} ms",
        jobs.len(),
        began.elapsed().as_millis()
    );
    let mut progress = Progress::new(jobs.len() as u64, board.counts());
    while progress.show(board.counts()) || jobs_on(client).await? > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let report = Report {
        board,
        database,
        folder,
        jobs: &jobs,
        took: progress.end(),
        crash,
    };
    report.print().await
}

/// How many jobs are not done.
async fn jobs_on(client: &Client) -> Result<u32, Error> {
    let queues = client.queues().await?;
    let unfinished = queues
        .iter()
        .map(|queue| queue.available + queue.executing + queue.waiting);
    Ok(unfinished.sum())
}
