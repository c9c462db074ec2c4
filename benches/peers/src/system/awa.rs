//! awa, with its queue storage, short claims without deadlines and batched completion.
//!
//! Of its ways to enqueue the fastest ones are used: `QueueStorage::enqueue_params_copy` for many, and
//! `enqueue_params_batch` for one, both faster than the documented `insert_with`.

use std::fmt;
use std::time::Duration;

use ::awa::{
    Client, InsertOpts, InsertParams, JobArgs, JobError, JobResult, QueueConfig, QueueStorage,
    QueueStorageConfig,
};
use serde::{Deserialize, Serialize};
use sqlx_of_awa::PgPool;
use sqlx_of_awa::postgres::PgPoolOptions;

use super::System;
use crate::figure::Figure;
use crate::payload::Payload;
use crate::{Failed, arrivals};

const QUEUE: &str = "bench";
const CONNECTIONS: u32 = 12;
/// From so many producers on, they are spread over so many shards.
const MANY_PRODUCERS: u32 = 16;
const SHARDS: u32 = 8;

pub(crate) struct Awa {
    pool: PgPool,
    storage: QueueStorage,
    client: Option<Client>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    max_workers: u32,
    claim_batch: usize,
    completion_batch: usize,
    completion_shards: usize,
    flush_ms: u64,
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            max_workers,
            claim_batch,
            completion_batch,
            completion_shards,
            flush_ms,
        } = self;
        write!(
            f,
            "max_workers {max_workers}, claim_batch_size {claim_batch}, no deadline, completion batch \
             {completion_batch}, {completion_shards} completion shards, flush {flush_ms} ms, {CONNECTIONS} connections"
        )
    }
}

#[derive(Serialize, Deserialize, JobArgs)]
struct Noop {
    payload: Payload,
}

impl Awa {
    fn over(pool: PgPool) -> Result<Self, Failed> {
        Ok(Self {
            pool,
            storage: QueueStorage::new(QueueStorageConfig::default())?,
            client: None,
        })
    }
}

fn params(payload: Payload) -> Result<InsertParams, serde_json::Error> {
    Ok(InsertParams {
        kind: Noop::kind().to_owned(),
        args: serde_json::to_value(Noop { payload })?,
        opts: InsertOpts {
            queue: QUEUE.to_owned(),
            ..InsertOpts::default()
        },
    })
}

async fn open_pool(url: &str, connections: u32) -> Result<PgPool, Failed> {
    let pool = PgPoolOptions::new()
        .min_connections(connections)
        .max_connections(connections)
        .connect(url)
        .await?;
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(pool.acquire().await?);
    }
    Ok(pool)
}

impl System for Awa {
    const PACKAGE: &'static str = "awa";
    const KEEPS: &'static str = "history on: finished jobs stay until their partition rotates; all commits synchronous; \
                                 single enqueues by 16 and more over 8 shards";
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
        let work = Work {
            max_workers: 1_024,
            claim_batch: 256,
            completion_batch: 256,
            completion_shards: 2,
            flush_ms: 3,
        };
        match figure {
            Figure::Latency => vec![Work {
                max_workers: 10,
                completion_shards: 1,
                flush_ms: 1,
                ..work
            }],
            _ => vec![
                work,
                Work {
                    claim_batch: 512,
                    completion_batch: 512,
                    completion_shards: 4,
                    ..work
                },
            ],
        }
    }

    fn environment(work: &Work) -> Vec<(&'static str, String)> {
        vec![
            (
                "AWA_COMPLETION_BATCH_SIZE",
                work.completion_batch.to_string(),
            ),
            ("AWA_COMPLETION_SHARDS", work.completion_shards.to_string()),
            ("AWA_COMPLETION_FLUSH_MS", work.flush_ms.to_string()),
        ]
    }

    /// A batch of completions is a row, and what is pruned is summed up per lane; its exact count takes seconds.
    fn unfinished(jobs: u64) -> String {
        format!(
            "select (select coalesce(sum(completed_count), 0) from awa.receipt_completion_batches)
                  + (select count(*) from awa.done_entries)
                  + (select coalesce(sum(pruned_completed_count), 0) from awa.queue_terminal_rollups) < {jobs}"
        )
    }

    async fn prepare(url: &str) -> Result<(), Failed> {
        let awa = Self::over(open_pool(url, 2).await?)?;
        ::awa::migrations::run(&awa.pool).await?;
        Ok(awa.storage.install(&awa.pool).await?)
    }

    async fn connect(url: &str, connections: u32) -> Result<Self, Failed> {
        let awa = Self::over(open_pool(url, connections).await?)?;
        if connections >= MANY_PRODUCERS {
            let statement = format!(
                "insert into awa.queue_meta (queue, enqueue_shards) values ('{QUEUE}', {SHARDS})
                 on conflict (queue) do update set enqueue_shards = excluded.enqueue_shards"
            );
            sqlx_of_awa::query(&statement).execute(&awa.pool).await?;
        }
        Ok(awa)
    }

    async fn hire(url: &str, work: Work) -> Result<Self, Failed> {
        let pool = open_pool(url, CONNECTIONS).await?;
        let config = QueueConfig {
            max_workers: work.max_workers,
            claim_batch_size: work.claim_batch,
            deadline_duration: Duration::ZERO,
            ..QueueConfig::default()
        };
        let client = Client::builder(pool.clone())
            .queue(QUEUE, config)
            .register::<Noop, _, _>(|job, _context| async move {
                arrivals::note(&job.payload);
                Ok::<_, JobError>(JobResult::Completed)
            })
            .build()?;
        Ok(Self {
            client: Some(client),
            ..Self::over(pool)?
        })
    }

    async fn start(&mut self) -> Result<(), Failed> {
        let client = self.client.as_ref().ok_or("nobody was hired")?;
        Ok(client.start().await?)
    }

    async fn enqueue_many(&self, jobs: Vec<Payload>) -> Result<(), Failed> {
        let jobs: Result<Vec<_>, _> = jobs.into_iter().map(params).collect();
        self.storage.enqueue_params_copy(&self.pool, &jobs?).await?;
        Ok(())
    }

    async fn enqueue_one(&self, job: Payload) -> Result<(), Failed> {
        let job = [params(job)?];
        self.storage.enqueue_params_batch(&self.pool, &job).await?;
        Ok(())
    }
}
