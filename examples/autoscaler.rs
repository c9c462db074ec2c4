//! How does a queue get as many workers as it needs, and no more?
//!
//! First on simulated loads, half an hour each in a moment: a step, bursts, jobs that get slow, a saturated
//! database; beside a fixed pool that costs as much. `cargo run --example autoscaler CHART.svg` draws them.
//! Then for real: a burst of jobs meets a queue of one worker.

use std::process::ExitCode;
use std::time::Duration;

use callboard::queue::{Autoscale, Policy, ScaleByDemand};
use callboard::testing::{Load, Simulated};
use callboard::{Board, BoxError, Database, Queue, call, functions};

#[path = "autoscaler/chart.rs"]
mod chart;
mod support;

use chart::Panel;

/// The schema of the board's tables.
const SCHEMA: &str = "callboard_autoscaler";

#[tokio::main]
async fn main() -> ExitCode {
    support::run(autoscaler()).await
}

async fn autoscaler() -> Result<(), BoxError> {
    let panels = simulated();
    if let Some(path) = std::env::args().nth(1) {
        std::fs::write(&path, chart::of(&panels))
            .map_err(|why| format!("cannot write the chart to {path}: {why}"))?;
        println!("\ndrawn: {path}");
    }
    for_real().await
}

/// A job that takes a while.
async fn work(ms: u64) -> Result<(), BoxError> {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Ok(())
}

/// 600 jobs of 50 ms meet a queue that has one worker, and may have twenty.
async fn for_real() -> Result<(), BoxError> {
    // Those jobs sleep, so it does not matter how busy the processors are.
    let by_demand = ScaleByDemand::start_within(Duration::from_secs(1));
    let policy = Policy::new(move |reading| {
        let mut reading = *reading;
        reading.cpu = None;
        by_demand.wants(&reading)
    });
    let autoscale = Autoscale::between(1, 20)
        .every(Duration::from_millis(200))
        .policy(policy);
    let board = Board::builder(Database::from_env_or_embedded().await?.schema(SCHEMA))
        .queue(Queue::new("default").autoscale(autoscale))
        .functions(functions![work])
        .start()
        .await?;
    println!("\nfor real, 1 to 20 workers, 600 jobs of 50 ms:\n");
    let jobs = board
        .client()
        .enqueue_many((0..600).map(|_| call!(work(50))))
        .await?;
    let ended = tokio::spawn({
        let client = board.client().clone();
        async move { support::until_ended(&client, &jobs).await }
    });
    let mut shown = 0;
    while !ended.is_finished() || workers(&board) > 1 {
        let (completed, workers) = (board.counts().completed, workers(&board));
        if workers != shown {
            println!(
                "{completed:>4} completed  {workers:>2} workers {}",
                "▇".repeat(workers)
            );
            shown = workers;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("all completed, and one worker left");
    ended.await??;
    board.shutdown().await?;
    Ok(())
}

fn workers(board: &Board) -> usize {
    let snapshot = board.supervisor().snapshot();
    let workers = snapshot.find(&["queues", "default", "workers"]);
    workers.map_or(0, |workers| workers.children.len())
}

fn simulated() -> Vec<Panel> {
    println!("simulated, 1 to 100 workers, jobs of 0.1 s:\n");
    println!("{:>66}  {:>12}", "waits: half, 95 %", "turns");
    let load = || Load::lasting(Duration::from_secs(1_800)).seconds_per_job(|_| 0.1);
    let loads = [
        (
            "a step from 10 to 100 jobs a second, and back",
            load().jobs_per_second(|at| {
                if (600.0..1_200.0).contains(&at) {
                    100.0
                } else {
                    10.0
                }
            }),
        ),
        (
            "bursts: 5 a second, a minute of 100 every ten",
            load().jobs_per_second(|at| if at % 600.0 < 60.0 { 100.0 } else { 5.0 }),
        ),
        (
            "20 a second, whose jobs take 1 s after a while",
            load()
                .jobs_per_second(|_| 20.0)
                .seconds_per_job(|at| if at < 600.0 { 0.1 } else { 1.0 }),
        ),
        (
            "200 a second, and a database that gives out 50",
            load().jobs_per_second(|_| 200.0).supply(50.0),
        ),
    ];
    loads
        .into_iter()
        .map(|(title, load)| panel(title, &load))
        .collect()
}

fn panel(title: &'static str, load: &Load) -> Panel {
    let scaled = load.run(&Autoscale::between(1, 100));
    let fixed = load.run_fixed(scaled.mean_workers().ceil() as u32);
    println!("{title}");
    row("autoscaled", &scaled);
    row("fixed", &fixed);
    Panel {
        title,
        scaled,
        fixed,
    }
}

fn row(name: &str, run: &Simulated) {
    println!(
        "  {name:<12} {:>5.1} workers on average {:>14.1} s, {:>6.1} s  {:>12}",
        run.mean_workers(),
        run.wait(0.5).as_secs_f64(),
        run.wait(0.95).as_secs_f64(),
        run.reversals(),
    );
}
