//! Jobs that lie there already are run: how many a second, and at what cost.
//!
//! They become visible all at once, to a board that has run some before: how long it takes to connect and to
//! prepare is no matter here. The clock runs from the beginning of the first handler until the last answer
//! is durable.

use std::process::Command;
use std::time::{Duration, Instant};

use callboard::{Board, Queue};

use crate::bare;
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
    pub(crate) does: Does,
    pub(crate) queues: usize,
    /// Of each queue.
    pub(crate) workers: u32,
    pub(crate) demand: u32,
    pub(crate) beside: Beside,
}

/// What is there besides the jobs that are drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    Nothing,
    /// So many jobs that wait for their time.
    Scheduled(usize),
    /// A transaction whose snapshot is older than the drain.
    OldSnapshot,
}

/// What a drain took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drained {
    cost: Cost,
    wal_with_enqueue: f64,
    dead_rows: f64,
}

impl Drain {
    pub(crate) fn of(jobs: usize, workers: u32) -> Self {
        Self {
            jobs,
            does: Does::Nothing,
            queues: 1,
            workers,
            demand: 1,
            beside: Beside::Nothing,
        }
    }

    fn setting(&self) -> String {
        let does = match self.does {
            Does::Nothing => "no-op".to_owned(),
            Does::Rests(ms) => format!("{ms} ms"),
        };
        let beside = match self.beside {
            Beside::Nothing => String::new(),
            Beside::Scheduled(jobs) => format!(", {jobs} scheduled beside"),
            Beside::OldSnapshot => ", an old snapshot open".to_owned(),
        };
        let Self {
            workers,
            queues,
            demand,
            ..
        } = self;
        format!("{workers} workers ask for {demand}, {queues} queue(s), {does}{beside}")
    }

    fn queues(&self) -> Vec<String> {
        (1..=self.queues)
            .map(|number| format!("queue-{number}"))
            .collect()
    }

    fn board(&self, url: &str) -> Result<callboard::board::Builder, Failed> {
        let queues = self.queues().into_iter().map(|name| {
            let queue = Queue::new(name).workers(self.workers);
            queue.max_demand(self.demand)
        });
        Ok(queues.fold(jobs::board(url)?, |board, queue| board.queue(queue)))
    }

    async fn beside(&self, place: &Place) -> Result<Option<tokio_postgres::Client>, Failed> {
        match self.beside {
            Beside::Nothing => Ok(None),
            Beside::OldSnapshot => Ok(Some(place.snapshot().await?)),
            Beside::Scheduled(jobs) => {
                place.fill(jobs, self.does, &self.queues()).await?;
                let later = "update callboard.jobs set state = 'scheduled', due_at = now() + interval '1 day'; \
                             vacuum analyze callboard.jobs";
                for statement in later.split("; ") {
                    place.run(statement).await?;
                }
                Ok(None)
            }
        }
    }

    /// Fills a database and drains it.
    pub(crate) async fn once(&self, server: &str) -> Result<Drained, Failed> {
        let place = Place::take(server).await?;
        let snapshot = self.beside(&place).await?;
        let queues = self.queues();
        let board = self.board(&place.url)?.start().await?;
        place.fill(WARM_UP, Does::Nothing, &queues).await?;
        wait(&board, WARM_UP).await?;
        let enqueue = place.usage().await?;
        let unseen = place.fill_unseen(self.jobs, self.does, &queues).await?;
        let enqueued = place.cost(&enqueue).await?;
        jobs::began();
        let usage = place.usage().await?;
        unseen.batch_execute("commit").await?;
        queues.iter().for_each(|queue| board.client().wake(queue));
        wait(&board, WARM_UP + self.jobs).await?;
        let ended = Instant::now();
        let mut cost = place.cost(&usage).await?;
        let began = jobs::began().ok_or("no job began")?;
        cost.seconds = (ended - began).as_secs_f64();
        board.shutdown().await?;
        drop(snapshot);
        let dead_rows = place.dead_rows().await?;
        place.leave().await?;
        Ok(Drained {
            cost,
            wal_with_enqueue: enqueued.wal_bytes + cost.wal_bytes,
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
        let (setting, jobs) = (self.setting(), self.jobs);
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

/// Set to the server's URL in a process whose memory is measured.
pub(crate) const MEASURED: &str = "CALLBOARD_THROUGHPUT_MEASURED";

/// The life of such a process: one drain. It says how much memory it took.
pub(crate) async fn be_measured(server: &str, jobs: usize, workers: u32) -> Result<(), Failed> {
    Drain::of(jobs, workers).once(server).await?;
    println!("{}", peak_memory()?);
    Ok(())
}

/// The most memory of a process that enqueues and drains with a thousand workers.
pub(crate) async fn memory(server: &str, jobs: usize, runs: usize) -> Result<Figure, Failed> {
    let mut samples = Vec::with_capacity(runs);
    for _ in 0..runs {
        let program = std::env::current_exe()?;
        let mut command = Command::new(program);
        command
            .env(MEASURED, server)
            .args([jobs.to_string(), "1000".to_owned()]);
        let ran = tokio::task::spawn_blocking(move || command.output()).await??;
        if !ran.status.success() {
            return Err(String::from_utf8_lossy(&ran.stderr).into());
        }
        samples.push(String::from_utf8(ran.stdout)?.trim().parse()?);
    }
    let setting = "1000 workers, a process that enqueues and drains";
    let name = ("peak memory", "MB");
    Ok(Figure::new(System::Callboard, name, setting, jobs, samples))
}
