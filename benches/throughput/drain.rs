//! Jobs that lie there already are run: how many a second, and at what cost.
//!
//! They become visible all at once, to a board that has run some before: how long it takes to connect and to
//! prepare is no matter here. The clock runs from the beginning of the first handler until the last answer
//! is durable.

use std::ops::Add;
use std::time::{Duration, Instant};

use callboard::job::Limits;
use callboard::queue::Express;
use callboard::{Board, Queue};

use crate::bare;
use crate::beside::Beside;
use crate::child;
use crate::figure::{Figure, System};
use crate::jobs::{self, Does};
use crate::place::Place;
use crate::support::Failed;
use crate::usage::{Cost, peak_memory};

pub(crate) const NAMES: [&str; 3] = ["drain", "drain, client CPU", "drain, server CPU"];

/// Jobs that are run first, so that all is connected and prepared.
pub(crate) const WARM_UP: usize = 2_000;

/// After so long something is wrong, and no figure.
const PATIENCE: Duration = Duration::from_secs(600);

/// One way to drain.
#[derive(Debug, Clone)]
pub(crate) struct Drain {
    pub(crate) jobs: usize,
    /// How often so many are drained, one time after the other.
    pub(crate) rounds: usize,
    pub(crate) does: Does,
    pub(crate) queues: usize,
    /// Of each queue.
    pub(crate) workers: u32,
    pub(crate) demand: u32,
    pub(crate) lane: Lane,
    pub(crate) beside: Beside,
    /// Of each queue.
    pub(crate) limits: Option<Limits>,
}

/// How the jobs of its queues are claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Ordinary,
    Express,
}

/// What a drain took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drained {
    pub(crate) cost: Cost,
    wal_with_enqueue: f64,
    dead_rows: f64,
}

impl Drain {
    pub(crate) fn of(jobs: usize, workers: u32) -> Self {
        Self {
            jobs,
            rounds: 1,
            does: Does::Nothing,
            queues: 1,
            workers,
            demand: 1,
            lane: Lane::Ordinary,
            beside: Beside::Nothing,
            limits: None,
        }
    }

    /// How many jobs are drained in all.
    pub(crate) fn all(&self) -> usize {
        self.jobs * self.rounds
    }

    pub(crate) fn setting(&self) -> String {
        let does = match self.does {
            Does::Nothing => "no-op".to_owned(),
            Does::Keyed(keys) => format!("no-op, {keys} key(s)"),
            Does::Rests(ms) => format!("{ms} ms"),
        };
        let Self {
            workers,
            queues,
            demand,
            beside,
            ..
        } = self;
        let lane = match self.lane {
            Lane::Ordinary => "",
            Lane::Express => ", express lane",
        };
        format!("{workers} workers ask for {demand}, {queues} queue(s), {does}{lane}{beside}")
    }

    fn queues(&self) -> Vec<String> {
        (1..=self.queues)
            .map(|number| format!("queue-{number}"))
            .collect()
    }

    fn board(&self, url: &str) -> Result<callboard::board::Builder, Failed> {
        let queues = self.queues().into_iter().map(|name| {
            let queue = Queue::new(name).workers(self.workers);
            let queue = queue.max_demand(self.demand);
            match self.lane {
                Lane::Ordinary => queue,
                Lane::Express => queue.express(Express::new()),
            }
        });
        Ok(queues.fold(jobs::board(url)?, |board, queue| board.queue(queue)))
    }

    /// Fills a database and drains it.
    pub(crate) async fn once(&self, server: &str) -> Result<Drained, Failed> {
        let place = Place::take(server).await?;
        let queues = self.queues();
        let beside = self.beside.prepare(&place, &queues).await?;
        let board = self.board(&place.url)?.start().await?;
        if let Some(limits) = &self.limits {
            for queue in &queues {
                board.client().queue(queue).limit(limits.clone()).await?;
            }
        }
        place.fill(WARM_UP, Does::Nothing, &queues).await?;
        wait(&board, WARM_UP).await?;
        let hopper = place.hopper().await?;
        let (mut costs, mut wal) = (Vec::with_capacity(self.rounds), 0.0);
        for round in 1..=self.rounds {
            let enqueue = place.usage().await?;
            hopper.fill(self.jobs, self.does, &queues).await?;
            wal += place.cost(&enqueue).await?.wal_bytes;
            jobs::began();
            let usage = place.usage().await?;
            hopper.empty().await?;
            queues.iter().for_each(|queue| board.client().wake(queue));
            wait(&board, WARM_UP + round * self.jobs).await?;
            let ended = Instant::now();
            let cost = place.cost(&usage).await?;
            let began = jobs::began().ok_or("no job began")?;
            let seconds = (ended - began).as_secs_f64();
            costs.push(Cost { seconds, ..cost });
        }
        board.shutdown().await?;
        drop(beside);
        let dead_rows = place.dead_rows().await?;
        place.leave().await?;
        let cost = costs.into_iter().reduce(Cost::add).ok_or("no rounds")?;
        Ok(Drained {
            cost,
            wal_with_enqueue: wal + cost.wal_bytes,
            dead_rows,
        })
    }

    async fn times(&self, server: &str, runs: usize) -> Result<Vec<Drained>, Failed> {
        let mut all = Vec::with_capacity(runs);
        for _ in 0..runs {
            all.push(self.once(server).await?);
        }
        Ok(all)
    }

    /// How many jobs a second.
    pub(crate) async fn rate(&self, server: &str, runs: usize) -> Result<Vec<Figure>, Failed> {
        let mut figures = self.whole(server, runs).await?;
        figures.truncate(1);
        Ok(figures)
    }

    /// Its rate as a share of the bare loop's, each time one right after the other: so it holds on a machine
    /// whose load changes.
    pub(crate) async fn of_bare(&self, server: &str, runs: usize) -> Result<Figure, Failed> {
        let mut shares = Vec::with_capacity(runs);
        for _ in 0..runs {
            let bare = bare::drain_once(server, self.jobs).await?;
            shares.push(bare.seconds / self.once(server).await?.cost.seconds);
        }
        let (system, name) = (System::Callboard, ("drain, of the bare loop's", "share"));
        Ok(Figure::new(system, name, self.setting(), self.jobs, shares))
    }

    /// How many jobs a second, and what they cost.
    pub(crate) async fn whole(&self, server: &str, runs: usize) -> Result<Vec<Figure>, Failed> {
        let runs = self.times(server, runs).await?;
        let costs: Vec<Cost> = runs.iter().map(|run| run.cost).collect();
        let (setting, jobs) = (self.setting(), self.all());
        let mut figures = Figure::of_costs(System::Callboard, NAMES, &setting, jobs, &costs);
        let per_job = |of: fn(&Drained) -> f64| -> Vec<f64> {
            runs.iter().map(|run| of(run) / jobs as f64).collect()
        };
        let (wal, dead) = (
            per_job(|run| run.wal_with_enqueue),
            per_job(|run| run.dead_rows),
        );
        for (name, samples) in [
            (("WAL, enqueue to end", "bytes/job"), wal),
            (("dead rows after a drain", "rows/job"), dead),
        ] {
            figures.push(Figure::new(
                System::Callboard,
                name,
                &*setting,
                jobs,
                samples,
            ));
        }
        Ok(figures)
    }
}

/// Waits until so many jobs are completed.
pub(crate) async fn wait(board: &Board, jobs: usize) -> Result<(), Failed> {
    let waiting = async {
        while board.counts().completed < jobs as u64 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    Ok(tokio::time::timeout(PATIENCE, waiting).await?)
}

/// The life of a process whose memory is measured: one drain. It says how much memory it took.
pub(crate) async fn be_measured(server: &str) -> Result<(), Failed> {
    let mut words = std::env::args().skip(1);
    let mut word = || words.next().ok_or("how many jobs and workers?");
    let (jobs, workers) = (word()?.parse()?, word()?.parse()?);
    Drain::of(jobs, workers).once(server).await?;
    println!("{}", peak_memory()?);
    Ok(())
}

/// The most memory of a process that enqueues and drains with a thousand workers.
pub(crate) async fn memory(server: &str, jobs: usize, runs: usize) -> Result<Figure, Failed> {
    let mut samples = Vec::with_capacity(runs);
    for _ in 0..runs {
        let words = [jobs.to_string(), "1000".to_owned()];
        let said = child::said_by(child::DRAINS, server, &words).await?;
        samples.push(said.trim().parse()?);
    }
    let setting = "1000 workers, a process that enqueues and drains";
    let name = ("peak memory", "MB");
    Ok(Figure::new(System::Callboard, name, setting, jobs, samples))
}
