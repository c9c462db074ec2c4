//! graphile_worker, with its LocalQueue and batched completion.

use std::fmt;
use std::time::Duration;

use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, RawJobSpec, TaskHandler, Worker,
    WorkerContext, WorkerOptions, WorkerUtils,
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use super::{System, open_pool};
use crate::figure::Figure;
use crate::payload::Payload;
use crate::{Failed, arrivals};

const SCHEMA: &str = "graphile_worker";
/// For its fetches, completions and heartbeats, and for the producer beside them.
const CONNECTIONS: u32 = 12;

pub(crate) struct GraphileWorker {
    utils: WorkerUtils,
    hired: Option<Worker>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    concurrency: usize,
    local_queue: Option<LocalQueue>,
    completion_delay_ms: u64,
    poll_ms: u64,
}

/// How many jobs are fetched ahead, and by how many fetchers.
#[derive(Debug, Clone, Copy)]
struct LocalQueue {
    size: usize,
    count: usize,
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "concurrency {}", self.concurrency)?;
        match self.local_queue {
            Some(LocalQueue { size, count }) => write!(f, ", LocalQueue {count} x {size}")?,
            None => f.write_str(", no LocalQueue")?,
        }
        let (delay, poll) = (self.completion_delay_ms, self.poll_ms);
        write!(
            f,
            ", completion delay {delay} ms, poll {poll} ms, {CONNECTIONS} connections"
        )
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Noop(Payload);

impl TaskHandler for Noop {
    const IDENTIFIER: &'static str = "noop";

    async fn run(self, _context: WorkerContext) -> impl IntoTaskHandlerResult {
        arrivals::note(&self.0);
        Ok::<(), String>(())
    }
}

const fn many(concurrency: usize, size: usize, count: usize, delay: u64, poll: u64) -> Work {
    Work {
        concurrency,
        local_queue: Some(LocalQueue { size, count }),
        completion_delay_ms: delay,
        poll_ms: poll,
    }
}

const ONE_QUEUE: Work = many(1_000, 10_000, 1, 2, 1_000);
const FOUR_QUEUES: Work = many(1_000, 2_500, 4, 2, 1_000);
/// As the benchmark in its repository has it.
const ITS_OWN_BENCHMARK: Work = many(500, 5_000, 1, 5, 5);

impl System for GraphileWorker {
    const PACKAGE: &'static str = "graphile_worker";
    const KEEPS: &'static str = "no history: a finished job is deleted; all commits synchronous";
    const BATCHES: &'static [u64] = &[1_000, 5_000, 20_000];

    type Work = Work;

    fn pools(callers: u32) -> Vec<u32> {
        if callers > 16 {
            vec![16, callers]
        } else {
            vec![callers]
        }
    }

    fn works(figure: Figure) -> Vec<Work> {
        match figure {
            Figure::Latency => vec![
                many(10, 500, 1, 1, 1_000),
                Work {
                    local_queue: None,
                    ..many(4, 0, 0, 1, 1_000)
                },
            ],
            Figure::Drain => vec![FOUR_QUEUES, ONE_QUEUE, ITS_OWN_BENCHMARK],
            _ => vec![ITS_OWN_BENCHMARK, ONE_QUEUE, FOUR_QUEUES],
        }
    }

    fn unfinished(_jobs: u64) -> String {
        "select exists (select from graphile_worker._private_jobs)".to_owned()
    }

    async fn prepare(url: &str) -> Result<(), Failed> {
        let pool = open_pool(url, 1).await?;
        WorkerUtils::new(pool.clone(), SCHEMA).migrate().await?;
        // Starting once makes the row of the task, as a worker in service would have.
        WorkerOptions::default()
            .schema(SCHEMA)
            .pg_pool(pool)
            .define_job::<Noop>()
            .init()
            .await?;
        Ok(())
    }

    async fn connect(url: &str, connections: u32) -> Result<Self, Failed> {
        let pool = open_pool(url, connections).await?;
        Ok(Self {
            utils: WorkerUtils::new(pool, SCHEMA),
            hired: None,
        })
    }

    async fn hire(url: &str, work: Work) -> Result<Self, Failed> {
        let pool: PgPool = open_pool(url, CONNECTIONS).await?;
        let mut options = WorkerOptions::default()
            .schema(SCHEMA)
            .pg_pool(pool.clone())
            .concurrency(work.concurrency)
            .poll_interval(Duration::from_millis(work.poll_ms))
            .complete_job_batch_delay(Duration::from_millis(work.completion_delay_ms))
            .define_job::<Noop>();
        if let Some(LocalQueue { size, count }) = work.local_queue {
            let queue = LocalQueueConfig::default();
            options = options.local_queue(queue.with_size(size).with_queue_count(count));
        }
        Ok(Self {
            utils: WorkerUtils::new(pool, SCHEMA),
            hired: Some(options.init().await?),
        })
    }

    async fn start(&mut self) -> Result<(), Failed> {
        let worker = self.hired.take().ok_or("nobody was hired")?;
        tokio::spawn(async move {
            if let Err(cause) = worker.run().await {
                eprintln!("the worker ended: {cause}");
            }
        });
        Ok(())
    }

    async fn enqueue_many(&self, jobs: Vec<Payload>) -> Result<(), Failed> {
        let spec = |job| {
            Ok(RawJobSpec {
                identifier: Noop::IDENTIFIER.to_owned(),
                payload: serde_json::to_value(Noop(job))?,
                spec: JobSpec::default(),
            })
        };
        let specs: Result<Vec<_>, serde_json::Error> = jobs.into_iter().map(spec).collect();
        self.utils.add_raw_jobs(&specs?).await?;
        Ok(())
    }

    async fn enqueue_one(&self, job: Payload) -> Result<(), Failed> {
        self.utils.add_job(Noop(job), JobSpec::default()).await?;
        Ok(())
    }
}
