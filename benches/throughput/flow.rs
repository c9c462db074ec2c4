//! Jobs that run as they come: how many a second, and how soon.

use std::time::{Duration, Instant};

use callboard::queue::{AtBirth, Express};
use callboard::{Board, BoxError, Queue};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::bare;
use crate::drain;
use crate::figure::{Figure, System};
use crate::jobs::{self, Does};
use crate::place::Place;
use crate::support::Failed;
use crate::usage::Cost;

/// How long the board has nothing to do between two jobs.
pub(crate) const PAUSE: Duration = Duration::from_millis(3);

/// How many jobs a producer enqueues at once.
pub(crate) const BATCH: usize = 1_000;

type Way = (fn(Queue) -> Queue, &'static str);

/// How jobs come to be claimed, in turns.
const WAYS: [Way; 3] = [
    (|queue| queue.at_birth(AtBirth::Claimed), "claimed at birth"),
    (
        |queue| queue.at_birth(AtBirth::Available),
        "available at birth",
    ),
    (|queue| queue.express(Express::new()), "express lane"),
];

/// A producer enqueues in batches while the workers run: from the first enqueue to the last answer.
async fn end_to_end_once(
    server: &str,
    jobs: usize,
    workers: u32,
    (way, _): Way,
) -> Result<Cost, Failed> {
    let place = Place::take(server).await?;
    let queue = way(Queue::new("default").workers(workers));
    let board = jobs::board(&place.url)?.queue(queue).start().await?;
    board.client().enqueue(jobs::call_of(Does::Nothing)).await?;
    drain::wait(&board, 1).await?;
    let usage = place.usage().await?;
    for _ in 0..jobs / BATCH {
        let calls = (0..BATCH).map(|_| jobs::call_of(Does::Nothing));
        board.client().enqueue_many(calls).await?;
    }
    drain::wait(&board, jobs / BATCH * BATCH + 1).await?;
    let cost = place.cost(&usage).await?;
    board.shutdown().await?;
    place.leave().await?;
    Ok(cost)
}

/// Its rate as a share of the bare loop's, each time one right after the other.
pub(crate) async fn end_to_end_of_bare(
    server: &str,
    jobs: usize,
    workers: u32,
    pairs: usize,
) -> Result<Figure, Failed> {
    let (born, mut shares) = (WAYS[0], Vec::with_capacity(pairs));
    for _ in 0..pairs {
        let bare = bare::end_to_end_once(server, jobs).await?;
        let cost = end_to_end_once(server, jobs, workers, born).await?;
        shares.push(jobs as f64 / cost.seconds / bare);
    }
    let name = ("end to end, of the bare loop's", "share");
    let setting = setting(workers, born);
    Ok(Figure::new(System::Callboard, name, setting, jobs, shares))
}

fn setting(workers: u32, (_, how): Way) -> String {
    format!("1 producer, batches of {BATCH}; {workers} workers ask for 1; {how}")
}

/// How many jobs a second, and what they cost, for each way in turns.
pub(crate) async fn end_to_end(
    server: &str,
    jobs: usize,
    workers: u32,
    runs: usize,
) -> Result<Vec<Figure>, Failed> {
    let mut costs = WAYS.map(|_| Vec::with_capacity(runs));
    for turn in 0..WAYS.len() * runs {
        let way = turn % WAYS.len();
        costs[way].push(end_to_end_once(server, jobs, workers, WAYS[way]).await?);
    }
    let names = [
        "end to end",
        "end to end, client CPU",
        "end to end, server CPU",
    ];
    let figures = costs.iter().zip(WAYS).flat_map(|(costs, way)| {
        Figure::of_costs(
            System::Callboard,
            names,
            &setting(workers, way),
            jobs,
            costs,
        )
    });
    Ok(figures.collect())
}

/// One job at a time into an idle board: from the start of the enqueue to the start of the handler; and the insert
/// alone, in turns with it.
pub(crate) async fn latency(server: &str, jobs: usize, runs: usize) -> Result<Vec<Figure>, Failed> {
    let place = Place::take(server).await?;
    let (sender, mut begun) = unbounded_channel();
    let mut boards = Vec::new();
    for (way, how) in WAYS {
        let sender = sender.clone();
        let queue = Queue::new(how.replace(' ', "_")).workers(10);
        let queue = way(queue).worker_state(move || {
            let sender = sender.clone();
            async move { Ok::<_, BoxError>(sender) }
        });
        boards.push(jobs::board(&place.url)?.queue(queue).start().await?);
    }
    let alone = bare::Alone::new(server).await?;
    let mut of_insert = Percentiles::default();
    let mut percentiles = WAYS.map(|_| Percentiles::default());
    for run in 0..=runs {
        let samples = alone.latencies(jobs).await?;
        if run > 0 {
            of_insert.add(samples);
        }
        for (turn, board) in boards.iter().enumerate() {
            let samples = latencies(board, WAYS[turn].1, jobs, &mut begun).await?;
            // The first connects and prepares.
            if run > 0 {
                percentiles[turn].add(samples);
            }
        }
    }
    for board in boards {
        board.shutdown().await?;
    }
    place.leave().await?;
    alone.leave().await?;
    let mut figures = Vec::new();
    for (percentiles, (_, how)) in percentiles.into_iter().zip(WAYS) {
        let setting = format!("idle, enqueue called → handler begins; {how}");
        figures.push(percentiles.against(&of_insert, &setting, jobs));
        figures.extend(percentiles.figures(System::Callboard, &setting, jobs));
    }
    figures.extend(of_insert.figures(System::Bare, "idle, the insert alone", jobs));
    Ok(figures)
}

/// Percentiles of latencies in milliseconds, of each run.
#[derive(Debug)]
struct Percentiles([(usize, Vec<f64>); 3]);

impl Default for Percentiles {
    fn default() -> Self {
        Self([50, 95, 99].map(|percent| (percent, Vec::new())))
    }
}

impl Percentiles {
    /// Adds a run.
    fn add(&mut self, mut samples: Vec<Duration>) {
        samples.sort_unstable();
        for (percent, of_runs) in &mut self.0 {
            let sample = samples[(samples.len() * *percent).div_ceil(100) - 1];
            of_runs.push(sample.as_secs_f64() * 1_000.0);
        }
    }

    /// How much longer than that it takes mostly, run by run: so it holds on a machine whose load changes.
    fn against(&self, other: &Self, setting: &str, jobs: usize) -> Figure {
        let ((percent, own), (_, others)) = (&self.0[0], &other.0[0]);
        let times = own.iter().zip(others).map(|(own, other)| own / other);
        let name = ("idle latency, of the insert alone", "times");
        let setting = format!("{setting}, p{percent}");
        Figure::new(System::Callboard, name, setting, jobs, times.collect())
    }

    fn figures(self, system: System, setting: &str, jobs: usize) -> Vec<Figure> {
        let figure = |(percent, samples)| {
            let setting = format!("{setting}, p{percent}");
            Figure::new(system, ("idle latency", "ms"), setting, jobs, samples)
        };
        self.0.into_iter().map(figure).collect()
    }
}

async fn latencies(
    board: &Board,
    queue: &'static str,
    jobs: usize,
    begun: &mut UnboundedReceiver<Instant>,
) -> Result<Vec<Duration>, Failed> {
    let mut samples = Vec::with_capacity(jobs);
    for _ in 0..jobs {
        tokio::time::sleep(PAUSE).await;
        let called = Instant::now();
        let call = jobs::marking().queue(queue.replace(' ', "_"));
        board.client().enqueue(call).await?;
        let at: Instant = begun.recv().await.ok_or("the board is gone")?;
        samples.push(at - called);
    }
    Ok(samples)
}
