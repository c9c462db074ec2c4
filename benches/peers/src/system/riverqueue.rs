//! riverqueue.

use std::fmt;
use std::time::Duration;

use riverqueue::migrate::PostgresMigrator;
use riverqueue::{Client, Job, JobArgs, QueueConfig, RunHandle, WorkContext, WorkOutcome, Workers};
use serde::{Deserialize, Serialize};

use super::{System, open_pool};
use crate::figure::Figure;
use crate::payload::Payload;
use crate::{Failed, arrivals};

const CONNECTIONS: u32 = 12;

pub(crate) struct Riverqueue {
    client: Client,
    /// Its workers stop when this is dropped.
    run: Option<RunHandle>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    max_workers: usize,
    fetch_cooldown_ms: u64,
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            max_workers,
            fetch_cooldown_ms,
        } = self;
        write!(
            f,
            "max_workers {max_workers}, fetch_cooldown {fetch_cooldown_ms} ms, {CONNECTIONS} connections"
        )
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, JobArgs)]
#[river(kind = "noop")]
struct Noop {
    payload: Payload,
}

async fn noop(_context: WorkContext, job: Job<Noop>) -> Result<WorkOutcome, std::io::Error> {
    arrivals::note(&job.args.payload);
    Ok(WorkOutcome::Complete)
}

impl System for Riverqueue {
    const PACKAGE: &'static str = "riverqueue";
    const KEEPS: &'static str =
        "history on: finished jobs stay in their table for 24 h; all commits synchronous";
    const BATCHES: &'static [u64] = &[1_000, 200, 5_000];

    type Work = Work;

    fn pools(callers: u32) -> Vec<u32> {
        if callers > 16 {
            vec![16, callers]
        } else {
            vec![callers]
        }
    }

    fn works(figure: Figure) -> Vec<Work> {
        let work = |max_workers, fetch_cooldown_ms| Work {
            max_workers,
            fetch_cooldown_ms,
        };
        match figure {
            Figure::Latency => vec![work(10, 1)],
            Figure::Drain => vec![work(1_000, 1), work(10_000, 30)],
            _ => vec![work(10_000, 30), work(1_000, 1)],
        }
    }

    fn unfinished(_jobs: u64) -> String {
        "select exists (select from river_job where state in ('available', 'running', \
                                      'retryable', 'scheduled', 'pending'))"
            .to_owned()
    }

    async fn prepare(url: &str) -> Result<(), Failed> {
        let pool = open_pool(url, 1).await?;
        PostgresMigrator::new(pool).migrate_up().await?;
        Ok(())
    }

    async fn connect(url: &str, connections: u32) -> Result<Self, Failed> {
        let pool = open_pool(url, connections).await?;
        Ok(Self {
            client: Client::builder(pool).build()?,
            run: None,
        })
    }

    async fn hire(url: &str, work: Work) -> Result<Self, Failed> {
        let pool = open_pool(url, CONNECTIONS).await?;
        let mut workers = Workers::new();
        workers.add_fn(noop)?;
        let cooldown = Duration::from_millis(work.fetch_cooldown_ms);
        let client = Client::builder(pool)
            .workers(workers)
            .fetch_cooldown(cooldown)
            .queue("default", QueueConfig::new(work.max_workers))
            .build()?;
        Ok(Self { client, run: None })
    }

    async fn start(&mut self) -> Result<(), Failed> {
        self.run = Some(self.client.start()?);
        Ok(())
    }

    async fn enqueue_many(&self, jobs: Vec<Payload>) -> Result<(), Failed> {
        let jobs = jobs.into_iter().map(|payload| Noop { payload });
        self.client.insert_many(jobs).await?;
        Ok(())
    }

    async fn enqueue_one(&self, payload: Payload) -> Result<(), Failed> {
        self.client.insert(Noop { payload }).await?;
        Ok(())
    }
}
