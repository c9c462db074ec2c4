//! apalis with apalis-postgres.

use std::fmt;
use std::time::Duration;

use ::apalis::prelude::*;
use apalis_postgres::{Config, PostgresStorage};
use sqlx::{PgPool, Postgres, Transaction};

use super::{System, open_pool};
use crate::figure::Figure;
use crate::payload::Payload;
use crate::{Failed, arrivals};

const QUEUE: &str = "bench";
const CONNECTIONS: u32 = 12;

pub(crate) struct Apalis {
    pool: PgPool,
    hired: Option<Work>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    workers: u32,
    batch: usize,
    concurrency: usize,
    lock: Lock,
    wake: Wake,
}

/// Whether a job is marked as running before its handler starts.
#[derive(Debug, Clone, Copy)]
enum Lock {
    Mark,
    Skip,
}

/// How a worker learns of jobs.
#[derive(Debug, Clone, Copy)]
enum Wake {
    Poll {
        ms: u64,
    },
    /// By notifications; one that is missed is made up for by a poll, as its example has it.
    Notify {
        poll_ms: u64,
    },
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            workers,
            batch,
            concurrency,
            ..
        } = self;
        write!(
            f,
            "{workers} workers, batch_size {batch}, concurrency {concurrency}"
        )?;
        f.write_str(match self.lock {
            Lock::Mark => ", lock_tasks",
            Lock::Skip => ", no lock_tasks",
        })?;
        match self.wake {
            Wake::Poll { ms } => write!(f, ", poll {ms} ms")?,
            Wake::Notify { poll_ms } => write!(f, ", pubsub and poll {poll_ms} ms")?,
        }
        write!(f, ", {CONNECTIONS} connections")
    }
}

async fn noop(payload: Payload) -> Result<(), BoxDynError> {
    arrivals::note(&payload);
    Ok(())
}

/// A worker that ends says so where its parent reads it when a trial fails.
fn told(ended: Result<(), impl fmt::Debug>) {
    eprintln!("a worker ended: {ended:?}");
}

/// The compact form in which its bulk call takes jobs.
fn task(job: &Payload) -> Result<apalis_postgres::PgTask, serde_json::Error> {
    Ok(TaskBuilder::new(serde_json::to_vec(job)?).build())
}

impl Apalis {
    async fn push(&self, jobs: &[Payload]) -> Result<(), Failed> {
        let tasks: Result<Vec<_>, _> = jobs.iter().map(task).collect();
        let mut transaction: Transaction<'_, Postgres> = self.pool.begin().await?;
        apalis_postgres::queries::push_tasks(&mut *transaction, QUEUE, tasks?).await?;
        Ok(transaction.commit().await?)
    }
}

impl System for Apalis {
    const PACKAGE: &'static str = "apalis-postgres";
    const KEEPS: &'static str =
        "history on: finished jobs stay in their table; all commits synchronous";
    const BATCHES: &'static [u64] = &[5_000, 1_000, 20_000];

    type Work = Work;

    fn pools(callers: u32) -> Vec<u32> {
        if callers > 16 {
            vec![16, callers]
        } else {
            vec![callers]
        }
    }

    fn works(figure: Figure) -> Vec<Work> {
        let work = |workers, batch, concurrency, lock, wake| Work {
            workers,
            batch,
            concurrency,
            lock,
            wake,
        };
        let poll = |ms| Wake::Poll { ms };
        match figure {
            Figure::Latency => vec![
                work(1, 10, 10, Lock::Mark, Wake::Notify { poll_ms: 100 }),
                work(1, 10, 10, Lock::Mark, poll(1)),
                work(1, 10, 10, Lock::Mark, poll(5)),
            ],
            _ => vec![
                work(2, 5_000, 5_000, Lock::Mark, poll(5)),
                work(2, 1_000, 1_000, Lock::Skip, poll(5)),
                work(2, 1_000, 500, Lock::Mark, poll(5)),
            ],
        }
    }

    fn unfinished(_jobs: u64) -> String {
        "select exists (select from apalis.jobs where status <> 'Done')".to_owned()
    }

    async fn prepare(url: &str) -> Result<(), Failed> {
        let pool = open_pool(url, 1).await?;
        Ok(PostgresStorage::setup(&pool).await?)
    }

    async fn connect(url: &str, connections: u32) -> Result<Self, Failed> {
        Ok(Self {
            pool: open_pool(url, connections).await?,
            hired: None,
        })
    }

    async fn hire(url: &str, work: Work) -> Result<Self, Failed> {
        Ok(Self {
            pool: open_pool(url, CONNECTIONS).await?,
            hired: Some(work),
        })
    }

    async fn start(&mut self) -> Result<(), Failed> {
        let work = self.hired.take().ok_or("nobody was hired")?;
        let config = Config::default()
            .queue(QUEUE)
            .batch_size(work.batch)
            .lock_tasks(matches!(work.lock, Lock::Mark));
        for number in 0..work.workers {
            let storage: PostgresStorage<Payload> =
                PostgresStorage::new(&self.pool).with_config(config.clone());
            let builder = WorkerBuilder::new(format!("worker-{number}"));
            match work.wake {
                Wake::Poll { ms } => {
                    let backend = storage.poll_with_interval(Duration::from_millis(ms));
                    let worker = builder.backend(backend).concurrency(work.concurrency);
                    let worker = worker.build(noop);
                    tokio::spawn(async move { told(worker.run().await) });
                }
                Wake::Notify { poll_ms } => {
                    let backend = storage
                        .with_pubsub()
                        .poll_with_interval(Duration::from_millis(poll_ms));
                    let worker = builder.backend(backend).concurrency(work.concurrency);
                    let worker = worker.build(noop);
                    tokio::spawn(async move { told(worker.run().await) });
                }
            }
        }
        Ok(())
    }

    async fn enqueue_many(&self, jobs: Vec<Payload>) -> Result<(), Failed> {
        self.push(&jobs).await
    }

    async fn enqueue_one(&self, job: Payload) -> Result<(), Failed> {
        self.push(&[job]).await
    }
}
