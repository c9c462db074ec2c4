//! What if a job aborts, loops for ever or eats all memory?
//!
//! It runs in a process of its own, and only its attempt pays: the node and the jobs beside it run on. At the
//! end the price of it is measured, with jobs that do nothing.
//!
//! ```console
//! $ cargo run --release --example isolation
//! ```

use std::process::ExitCode;
use std::time::{Duration, Instant};

use callboard::isolation::{Isolation, run_if_child};
use callboard::{
    Board, BoxError, Call, Database, Handler, JobInfo, Queue, call, function, functions,
};
use support::until_ended;

mod support;

const MEGABYTE: u64 = 1024 * 1024;
/// What a measurement takes, in jobs.
const JOBS: u32 = 5_000;
/// … and where each of them waits for a process of its own.
const STARTS: u32 = 50;

/// As a library in another language may.
async fn aborts() {
    std::process::abort();
}

async fn loops_for_ever() {
    loop {
        std::hint::spin_loop();
    }
}

async fn eats_memory() {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        eaten.push(std::hint::black_box(vec![1; MEGABYTE as usize]));
    }
}

async fn is_well(page: u32) -> Result<(), BoxError> {
    tokio::time::sleep(Duration::from_millis(u64::from(page))).await;
    Ok(())
}

async fn in_place() {}

async fn in_an_isolate() {}

async fn in_a_fresh_isolate() {}

/// The board's handlers, and those of its isolates.
fn handlers() -> Vec<Handler> {
    let isolation = Isolation::new().memory_limit(64 * MEGABYTE);
    let mut handlers: Vec<Handler> = functions![aborts, loops_for_ever, eats_memory, in_an_isolate]
        .into_iter()
        .map(|handler| handler.isolated(isolation.clone()))
        .collect();
    handlers.push(function!(in_a_fresh_isolate).isolated(isolation.jobs_per_process(1)));
    handlers.extend(functions![is_well, in_place]);
    handlers
}

fn main() -> ExitCode {
    // An isolate goes no further.
    run_if_child(handlers());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(support::run(node()))
}

async fn node() -> Result<(), BoxError> {
    let board = Board::builder(Database::from_env_or_embedded().await?)
        .queue(Queue::new("default").workers(4))
        .functions(handlers())
        .start()
        .await?;
    misbehave(&board).await?;
    measure(&board).await?;
    Ok(board.shutdown().await?)
}

/// Jobs that would take their process down, beside some that are well.
async fn misbehave(board: &Board) -> Result<(), BoxError> {
    let client = board.client();
    let limit = Duration::from_secs(1);
    let calls = [
        call!(aborts()).max_attempts(1),
        call!(loops_for_ever()).max_attempts(1).time_limit(limit),
        call!(eats_memory()).max_attempts(1),
    ];
    let bad = client.enqueue_many(calls).await?;
    let well = (1..=20).map(|page| call!(is_well(page)));
    let well = client.enqueue_many(well).await?;
    for job in until_ended(client, &bad).await? {
        println!("{}\n{}\n", name(&job), why(&job));
    }
    let well = until_ended(client, &well).await?;
    let first = well.iter().filter(|job| job.attempt.is_first());
    println!(
        "{} of {} jobs beside them were done in their first attempt; the node is {}\n",
        first.count(),
        well.len(),
        board.health()
    );
    Ok(())
}

fn name(job: &JobInfo) -> &str {
    job.kind.rsplit("::").next().unwrap_or(&job.kind)
}

/// What is kept with a job that failed, indented.
fn why(job: &JobInfo) -> String {
    let messages = job
        .errors
        .iter()
        .filter_map(|error| error["message"].as_str());
    let lines = messages.flat_map(str::lines);
    lines.map(|line| format!("    {line}\n")).collect()
}

/// What isolation costs, where a job does nothing else.
async fn measure(board: &Board) -> Result<(), BoxError> {
    let rate = async |jobs: u32, call: fn() -> Call| -> Result<f64, BoxError> {
        let done = board.counts().completed + u64::from(jobs);
        let begun = Instant::now();
        let calls = (0..jobs).map(|_| call());
        board.client().enqueue_many(calls).await?;
        while board.counts().completed < done {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(f64::from(jobs) / begun.elapsed().as_secs_f64())
    };
    // As many isolates as workers are there before it counts.
    rate(JOBS, || call!(in_an_isolate())).await?;
    println!("jobs that do nothing, enqueued and run by 4 workers:");
    let jobs = rate(JOBS, || call!(in_place())).await?;
    println!("{jobs:>10.0}/s in place");
    let jobs = rate(JOBS, || call!(in_an_isolate())).await?;
    println!("{jobs:>10.0}/s in isolates that are used again");
    let jobs = rate(STARTS, || call!(in_a_fresh_isolate())).await?;
    println!("{jobs:>10.0}/s in a fresh isolate each");
    Ok(())
}
