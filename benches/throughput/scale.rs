//! What a job costs as everything around it grows: the backlog, what is scheduled beside, an old snapshot's
//! dead rows, the history, the number of queues; and the memory of a process that does not end.

use callboard::Queue;

use crate::Effort;
use crate::beside::Beside;
use crate::child;
use crate::drain::{self, Drain};
use crate::figure::{Figure, System};
use crate::jobs::{self, Does};
use crate::place::Place;
use crate::support::Failed;
use crate::usage::peak_memory;

/// One thing that grows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Curve {
    /// So many jobs lie there at once.
    Backlog,
    /// So many wait for their time.
    Scheduled,
    /// So many are drained while an old snapshot keeps their dead rows.
    OldSnapshot,
    /// So many are in the history.
    History,
    /// A hundred workers serve so many queues.
    Queues,
}

pub(crate) const CURVES: [Curve; 5] = [
    Curve::Backlog,
    Curve::Scheduled,
    Curve::OldSnapshot,
    Curve::History,
    Curve::Queues,
];

const WORKERS: u32 = 10;
/// Where something else grows than the drain itself.
const DRAINED: usize = 100_000;
/// Else at least so many, in as many rounds as it takes.
const ENOUGH: usize = 20_000;
/// What is measured once, for the time it takes.
const LONG: usize = 1_000_000;

impl Curve {
    /// What grows, in words.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Backlog => "jobs that lie there at once",
            Self::Scheduled => "scheduled jobs beside",
            Self::OldSnapshot => "jobs drained under an old snapshot",
            Self::History => "jobs in the history",
            Self::Queues => "queues for a hundred workers",
        }
    }

    const fn points(self) -> &'static [usize] {
        match self {
            Self::Backlog => &[100, 1_000, 10_000, 100_000, 1_000_000],
            Self::Scheduled => &[0, 10_000, 100_000, 1_000_000],
            Self::OldSnapshot => &[10_000, 100_000, 1_000_000],
            Self::History => &[0, 100_000, 1_000_000, 10_000_000],
            Self::Queues => &[1, 10, 100],
        }
    }

    fn drain(self, size: usize) -> Drain {
        let of = |jobs| Drain::of(jobs, WORKERS);
        match self {
            Self::Backlog => Drain {
                rounds: ENOUGH.div_ceil(size),
                ..of(size)
            },
            Self::Scheduled => Drain {
                beside: Beside::Scheduled(size),
                ..of(DRAINED)
            },
            Self::OldSnapshot => Drain {
                beside: Beside::OldSnapshot,
                rounds: ENOUGH.div_ceil(size),
                ..of(size)
            },
            Self::History => Drain {
                beside: Beside::History(size),
                ..of(DRAINED)
            },
            Self::Queues => Drain {
                queues: size,
                workers: (100 / size) as u32,
                ..of(DRAINED)
            },
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Backlog => "scale: backlog",
            Self::Scheduled => "scale: scheduled",
            Self::OldSnapshot => "scale: old snapshot",
            Self::History => "scale: history",
            Self::Queues => "scale: queues",
        }
    }

    /// Processor time of client and server for 10,000 jobs, at each of its points.
    pub(crate) async fn measure(self, server: &str, effort: Effort) -> Result<Measured, Failed> {
        let mut points = Vec::new();
        for &size in self.points() {
            let drain = self.drain(size);
            let runs = if size < LONG { effort.runs } else { 1 };
            let mut samples = Vec::with_capacity(runs);
            for _ in 0..runs {
                let cost = drain.once(server).await?.cost;
                let of_server = cost.server_seconds.ok_or(
                    "what a job costs as things grow is only measured where the server is of this machine",
                )?;
                samples.push((cost.client_seconds + of_server) * 10_000.0 / drain.all() as f64);
            }
            let name = (self.name(), "s/10k jobs");
            let setting = format!("{size}; {}", drain.setting());
            let figure = Figure::new(System::Callboard, name, setting, drain.all(), samples);
            points.push(Point { size, figure });
        }
        Ok(Measured {
            curve: self,
            points,
        })
    }
}

/// A curve, and what each of its points cost.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) curve: Curve,
    /// At least one.
    pub(crate) points: Vec<Point>,
}

#[derive(Debug)]
pub(crate) struct Point {
    pub(crate) size: usize,
    pub(crate) figure: Figure,
}

impl Measured {
    /// How many times as much as at the first point it costs at the dearest.
    pub(crate) fn growth(&self) -> Figure {
        let costs = self.points.iter().map(|point| point.figure.median());
        let first = self.points[0].figure.median();
        let times = costs.fold(first, f64::max) / first;
        let (name, setting) = (
            (self.curve.name(), "times"),
            "the dearest point, of the first",
        );
        Figure::new(System::Callboard, name, setting, 0, vec![times])
    }
}

/// After so many jobs it says how much memory it took.
const LIVES: [usize; 3] = [100_000, 1_000_000, 10_000_000];
/// How many jobs wait at most meanwhile.
const AT_ONCE: usize = 100_000;

/// The life of a process that enqueues and runs jobs for long.
pub(crate) async fn be_grown(server: &str) -> Result<(), Failed> {
    let place = Place::take(server).await?;
    let queue = Queue::new("queue-1").workers(WORKERS);
    let board = jobs::board(&place.url)?.queue(queue).start().await?;
    let mut done = 0;
    for life in LIVES {
        while done < life {
            place
                .fill(AT_ONCE, Does::Nothing, &["queue-1".to_owned()])
                .await?;
            done += AT_ONCE;
            drain::wait(&board, done).await?;
        }
        println!("{}", peak_memory()?);
    }
    board.shutdown().await?;
    place.leave().await
}

/// The most memory of one process, after more and more jobs.
pub(crate) async fn memory(server: &str) -> Result<Vec<Figure>, Failed> {
    let said = child::said_by(child::GROWS, server, &[]).await?;
    let figures = LIVES.iter().zip(said.lines()).map(|(&life, said)| {
        let (name, setting) = (
            ("scale: memory", "MB"),
            format!("{WORKERS} workers, after {life} jobs in one process"),
        );
        Ok(Figure::new(
            System::Callboard,
            name,
            setting,
            life,
            vec![said.trim().parse()?],
        ))
    });
    figures.collect()
}
