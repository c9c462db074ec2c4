//! What if a process is killed?
//!
//! This program starts itself twice as nodes with a board on one database, posts a thousand jobs as a
//! third process that has no workers, and kills one node in the middle with SIGKILL. The other takes
//! back what the dead one held, and every job is completed.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use callboard::{
    Board, BoxError, Client, Context, Database, Error, JobInfo, JobState, Outcome, Queue, call,
    functions,
};
use node::{AS_NODE, Node};

#[path = "support/node.rs"]
mod node;
mod support;

const JOBS: u64 = 1_000;
/// How long a node may be silent before its jobs are taken back. Mostly its death is noticed much
/// sooner, but not while the database server itself has only just started, as here.
const LEASE: Duration = Duration::from_secs(3);

/// Some work, which tells in its output which process did it.
async fn square(_cx: &mut Context, number: u64) -> Result<Outcome, BoxError> {
    tokio::time::sleep(Duration::from_millis(10)).await;
    Outcome::done_with(&(std::process::id(), number * number))
}

#[tokio::main]
async fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(AS_NODE) => support::run(as_node()).await,
        _ => support::run(example()).await,
    }
}

async fn database() -> Result<Database, Error> {
    let database = Database::from_env_or_embedded().await?;
    Ok(database.schema("callboard_two_processes"))
}

/// The part of the two nodes: a board, until the process that started this one is done or gone.
async fn as_node() -> Result<(), BoxError> {
    let board = Board::builder(database().await?)
        .queue(Queue::new("default").workers(4))
        .functions(functions![square])
        .lease(LEASE)
        .start()
        .await?;
    node::run(board).await
}

/// The part of the third process: a client.
async fn example() -> Result<(), BoxError> {
    let database = database().await?;
    database.migrate().await?;
    let client = Client::connect(database.clone()).await?;
    tokio::select! {
        ended = kill_one_of_two(&client, &database) => ended,
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    }
}

async fn kill_one_of_two(client: &Client, database: &Database) -> Result<(), BoxError> {
    let mut victim = Node::start(database, &[])?;
    let survivor = Node::start(database, &[])?;
    let of_earlier_runs = until(client, |queue| queue.nodes == 2).await?.waits;
    println!("two nodes run: {} and {}", victim.pid(), survivor.pid());
    if of_earlier_runs > 0 {
        println!("an earlier run left {of_earlier_runs} jobs, which run too");
    }

    let jobs = client
        .enqueue_many((0..JOBS).map(|number| call!(square(number))))
        .await?;
    println!("{} jobs are posted", jobs.len());

    until(client, |queue| queue.waits < JOBS as u32 / 2).await?;
    victim.kill()?;
    let killed_at = Instant::now();
    println!("in the middle of it, {} is killed\n", victim.pid());

    let ended = support::until_ended(client, &jobs).await?;
    let took = killed_at.elapsed();
    report(&ended, &victim, &survivor)?;
    println!(
        "\nThe last job ended {:.1} s after the kill.",
        took.as_secs_f64()
    );
    survivor.stop()
}

fn report(jobs: &[JobInfo], victim: &Node, survivor: &Node) -> Result<(), BoxError> {
    let by = |node: &Node| {
        let is_by = |job: &&JobInfo| job.output.as_ref().is_some_and(|it| it[0] == node.pid());
        jobs.iter().filter(is_by).count()
    };
    let completed = jobs.iter().filter(|job| job.state == JobState::Completed);
    let taken_back: Vec<_> = jobs.iter().filter(|job| !job.errors.is_empty()).collect();
    let (completed, by_victim, by_survivor) = (completed.count(), by(victim), by(survivor));

    println!(
        "completed by {:<8} {by_victim:>6}   before it was killed",
        victim.pid()
    );
    println!("completed by {:<8} {by_survivor:>6}", survivor.pid());
    println!("completed             {completed:>6}   of {}", jobs.len());
    println!(
        "taken back            {:>6}   and run again",
        taken_back.len()
    );
    if let Some(job) = taken_back.first() {
        println!("\nOne of them, job {}, had attempts:", job.id);
        for error in &job.errors {
            println!(
                "  {}  {}",
                error["attempt"],
                error["message"].as_str().unwrap_or_default()
            );
        }
        println!("  {}  completed", job.attempt);
    }
    if completed != jobs.len() {
        return Err(format!("{} jobs were not completed", jobs.len() - completed).into());
    }
    Ok(())
}

/// How the queue is.
struct Seen {
    nodes: u32,
    waits: u32,
}

async fn until(client: &Client, fact: impl Fn(&Seen) -> bool) -> Result<Seen, Error> {
    loop {
        let queues = client.queues().await?;
        let default = queues.iter().find(|queue| queue.queue == "default");
        let seen = default.map_or(Seen { nodes: 0, waits: 0 }, |queue| Seen {
            nodes: queue.nodes,
            waits: queue.available + queue.executing,
        });
        if fact(&seen) {
            return Ok(seen);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
