//! A process of its own for each repetition: it makes the tables, or measures, and prints what it found.
//!
//! It ends without taking leave of its system, since the parent drops the database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::figure::{Figure, PRODUCED_AT_ONCE};
use crate::measured::Measured;
use crate::meter::Meter;
use crate::payload::Payload;
use crate::system::{Name, System, with_system};
use crate::{Failed, arrivals};

/// The variable that makes a process a child, with its task.
pub(crate) const TASK: &str = "CALLBOARD_PEERS_TASK";

/// How many connections fill a database beforehand.
const FILLERS: u32 = 4;
/// How long workers run idle before anything is enqueued.
const SETTLE: Duration = Duration::from_secs(1);
/// How many jobs go before those whose latency counts.
const WARM_UP: u64 = 20;
/// A job that takes longer to arrive is lost, or its system hangs.
const LOST_AFTER: Duration = Duration::from_secs(10);

/// What a child is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) deed: Deed,
    pub(crate) url: String,
    pub(crate) system: Name,
    pub(crate) figure: Figure,
    /// Its place among the settings of the system for the figure.
    pub(crate) setting: usize,
    pub(crate) jobs: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Deed {
    /// Makes the tables, and the jobs that the figure needs beforehand.
    Prepare,
    /// Measures, and prints a [`Measured`].
    Measure,
}

/// The task of this process, if it is a child.
pub(crate) fn task() -> Result<Option<Task>, Failed> {
    match std::env::var(TASK) {
        Ok(task) => Ok(Some(serde_json::from_str(&task)?)),
        Err(_) => Ok(None),
    }
}

pub(crate) async fn run(task: Task) -> Result<(), Failed> {
    match task.deed {
        Deed::Prepare => with_system!(task.system, prepare(task)).await?,
        Deed::Measure => {
            let measured = with_system!(task.system, measure(task)).await?;
            println!("{}", serde_json::to_string(&measured)?);
        }
    }
    std::process::exit(0)
}

/// `with_system!` needs futures of one type.
type Doing<T> = std::pin::Pin<Box<dyn Future<Output = Result<T, Failed>>>>;

fn prepare<S: System>(task: Task) -> Doing<()> {
    Box::pin(async move {
        S::prepare(&task.url).await?;
        let ready = task.figure.ready_beforehand(task.jobs);
        if !ready.is_empty() {
            let system = Arc::new(S::connect(&task.url, FILLERS).await?);
            let mut filling = JoinSet::new();
            for filler in 0..u64::from(FILLERS) {
                let system = Arc::clone(&system);
                let first = ready.start + filler * PRODUCED_AT_ONCE;
                let (step, end) = (u64::from(FILLERS) * PRODUCED_AT_ONCE, ready.end);
                filling.spawn(async move {
                    for first in (first..end).step_by(step as usize) {
                        system
                            .enqueue_many(batch(first, PRODUCED_AT_ONCE, end))
                            .await?;
                    }
                    Ok::<_, Failed>(())
                });
            }
            joined(filling).await?;
        }
        Ok(())
    })
}

fn measure<S: System>(task: Task) -> Doing<Measured> {
    Box::pin(async move {
        let meter = Meter::connect(&task.url).await?;
        match task.figure {
            Figure::Bulk => bulk::<S>(&task, &meter).await,
            Figure::Single(callers) => single::<S>(&task, &meter, callers).await,
            Figure::Drain => drain::<S>(&task, &meter).await,
            Figure::EndToEnd => end_to_end::<S>(&task, &meter).await,
            Figure::Latency => latency::<S>(&task, &meter).await,
        }
    })
}

async fn bulk<S: System>(task: &Task, meter: &Meter) -> Result<Measured, Failed> {
    let size = S::BATCHES[task.setting];
    let system = S::connect(&task.url, 1).await?;
    system.enqueue_many(batch(0, 100, 100)).await?;
    let start = meter.start().await?;
    for first in (0..task.jobs).step_by(size as usize) {
        system.enqueue_many(batch(first, size, task.jobs)).await?;
    }
    meter.stop(&start, task.jobs).await
}

async fn single<S: System>(task: &Task, meter: &Meter, callers: u32) -> Result<Measured, Failed> {
    let connections = S::pools(callers)[task.setting];
    let system = Arc::new(S::connect(&task.url, connections).await?);
    call_all(&system, callers, u64::from(callers)).await?;
    let start = meter.start().await?;
    call_all(&system, callers, task.jobs).await?;
    meter.stop(&start, task.jobs).await
}

/// So many callers enqueue so many jobs, each one after the other.
async fn call_all<S: System>(system: &Arc<S>, callers: u32, jobs: u64) -> Result<(), Failed> {
    let mut calling = JoinSet::new();
    for caller in 0..u64::from(callers) {
        let system = Arc::clone(system);
        calling.spawn(async move {
            for number in (caller..jobs).step_by(callers as usize) {
                system.enqueue_one(Payload::new(number)).await?;
            }
            Ok::<_, Failed>(())
        });
    }
    joined(calling).await
}

async fn drain<S: System>(task: &Task, meter: &Meter) -> Result<Measured, Failed> {
    arrivals::expect(task.jobs);
    let mut system = S::hire(&task.url, S::works(task.figure)[task.setting]).await?;
    let start = meter.start().await?;
    system.start().await?;
    arrivals::all(task.jobs).await;
    meter.nothing_left(&S::unfinished(task.jobs)).await?;
    meter.stop(&start, task.jobs).await
}

async fn end_to_end<S: System>(task: &Task, meter: &Meter) -> Result<Measured, Failed> {
    let ready = task.figure.ready_beforehand(task.jobs);
    arrivals::expect(ready.end);
    let mut system = S::hire(&task.url, S::works(task.figure)[task.setting]).await?;
    system.start().await?;
    arrivals::all(ready.end - ready.start).await;
    let warm = S::unfinished(ready.end - ready.start);
    meter.nothing_left(&warm).await?;
    tokio::time::sleep(SETTLE).await;
    let start = meter.start().await?;
    for first in (0..task.jobs).step_by(PRODUCED_AT_ONCE as usize) {
        system
            .enqueue_many(batch(first, PRODUCED_AT_ONCE, task.jobs))
            .await?;
    }
    arrivals::all(ready.end).await;
    meter.nothing_left(&S::unfinished(ready.end)).await?;
    meter.stop(&start, task.jobs).await
}

async fn latency<S: System>(task: &Task, meter: &Meter) -> Result<Measured, Failed> {
    arrivals::expect(task.jobs + WARM_UP);
    let mut instants = arrivals::instants();
    let mut system = S::hire(&task.url, S::works(task.figure)[task.setting]).await?;
    system.start().await?;
    tokio::time::sleep(SETTLE).await;
    let start = meter.start().await?;
    let mut latencies = Vec::new();
    for number in 0..task.jobs + WARM_UP {
        // Not in step with anybody's polling.
        tokio::time::sleep(Duration::from_micros(10_000 + number * 1_237 % 5_000)).await;
        let enqueued = Instant::now();
        system.enqueue_one(Payload::new(number)).await?;
        let arriving = tokio::time::timeout(LOST_AFTER, instants.recv()).await;
        let arrived = arriving
            .map_err(|_| format!("job {number} did not arrive within {LOST_AFTER:?}"))?
            .ok_or("nobody notes arrivals")?;
        if number >= WARM_UP {
            latencies.push((arrived - enqueued).as_secs_f64() * 1_000.0);
        }
    }
    let measured = meter.stop(&start, task.jobs).await?;
    Ok(Measured {
        latencies,
        ..measured
    })
}

/// The jobs from `first` on, at most so many, and none from `end` on.
fn batch(first: u64, size: u64, end: u64) -> Vec<Payload> {
    (first..end.min(first + size)).map(Payload::new).collect()
}

async fn joined(mut tasks: JoinSet<Result<(), Failed>>) -> Result<(), Failed> {
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}
