//! Jobs that run as they come: how many a second, and how soon.

use std::time::{Duration, Instant};

use callboard::{BoxError, Queue};
use tokio::sync::mpsc::unbounded_channel;

use crate::drain;
use crate::figure::{Figure, System};
use crate::jobs::{self, Does};
use crate::place::Place;
use crate::support::Failed;

/// How long the board has nothing to do between two jobs.
const PAUSE: Duration = Duration::from_millis(3);

/// A producer enqueues in batches while the workers run: from the first enqueue to the last answer.
pub(crate) async fn end_to_end(
    server: &str,
    jobs: usize,
    workers: u32,
    runs: usize,
) -> Result<Vec<Figure>, Failed> {
    const BATCH: usize = 1_000;
    let mut costs = Vec::with_capacity(runs);
    for _ in 0..runs {
        let place = Place::take(server).await?;
        let queue = Queue::new("default").workers(workers);
        let board = jobs::board(&place.url)?.queue(queue).start().await?;
        board.client().enqueue(jobs::call_of(Does::Nothing)).await?;
        drain::wait(&board, 1).await?;
        let usage = place.usage().await?;
        for _ in 0..jobs / BATCH {
            let calls = (0..BATCH).map(|_| jobs::call_of(Does::Nothing));
            board.client().enqueue_many(calls).await?;
        }
        drain::wait(&board, jobs / BATCH * BATCH + 1).await?;
        costs.push(place.cost(&usage).await?);
        board.shutdown().await?;
        place.leave().await?;
    }
    let names = [
        "end to end",
        "end to end, client CPU",
        "end to end, server CPU",
    ];
    let setting = format!("1 producer, batches of {BATCH}; {workers} workers ask for 1");
    Ok(Figure::of_costs(
        System::Callboard,
        names,
        &setting,
        jobs,
        &costs,
    ))
}

/// One job at a time into an idle board: from the start of the enqueue to the start of the handler.
pub(crate) async fn latency(server: &str, jobs: usize, runs: usize) -> Result<Vec<Figure>, Failed> {
    let place = Place::take(server).await?;
    let (sender, mut begun) = unbounded_channel();
    let queue = Queue::new("default").workers(10).worker_state(move || {
        let sender = sender.clone();
        async move { Ok::<_, BoxError>(sender) }
    });
    let board = jobs::board(&place.url)?.queue(queue).start().await?;
    let mut percentiles = [(50, Vec::new()), (95, Vec::new()), (99, Vec::new())];
    for run in 0..=runs {
        let mut samples = Vec::with_capacity(jobs);
        for _ in 0..jobs {
            tokio::time::sleep(PAUSE).await;
            let called = Instant::now();
            board.client().enqueue(jobs::marking()).await?;
            let at: Instant = begun.recv().await.ok_or("the board is gone")?;
            samples.push((at - called).as_secs_f64() * 1_000.0);
        }
        samples.sort_unstable_by(f64::total_cmp);
        // The first connects and prepares.
        if run > 0 {
            for (percent, of_runs) in &mut percentiles {
                of_runs.push(samples[(jobs * *percent).div_ceil(100) - 1]);
            }
        }
    }
    board.shutdown().await?;
    place.leave().await?;
    let figure = |(percent, samples)| {
        let setting = format!("idle, enqueue called → handler begins, p{percent}");
        let name = ("idle latency", "ms");
        Figure::new(System::Callboard, name, setting, jobs, samples)
    };
    Ok(percentiles.into_iter().map(figure).collect())
}
