//! callboard.

use std::fmt;

use callboard::queue::{DEFAULT_LOOK_AHEAD, Express};
use callboard::{Board, BoxError, Client, Context, Database, Job, Outcome, Queue};
use serde::{Deserialize, Serialize};

use super::System;
use crate::figure::Figure;
use crate::payload::Payload;
use crate::{Failed, arrivals};

const QUEUE: &str = "bench";

pub(crate) struct Callboard {
    client: Client,
    hired: Option<(Database, Work)>,
    board: Option<Board>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    workers: u32,
    max_demand: u32,
    look_ahead: u32,
    is_express: bool,
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            workers,
            max_demand,
            look_ahead,
            is_express,
        } = self;
        let lane = if *is_express { ", express lane" } else { "" };
        write!(
            f,
            "workers {workers}, max_demand {max_demand}, look_ahead {look_ahead}{lane}"
        )
    }
}

/// What a queue is unless configured.
const DEFAULT: Work = Work {
    workers: 10,
    max_demand: 1,
    look_ahead: DEFAULT_LOOK_AHEAD,
    is_express: false,
};

#[derive(Serialize, Deserialize)]
struct Noop(Payload);

impl Job for Noop {
    const KIND: &'static str = "noop";
    const QUEUE: &'static str = QUEUE;

    async fn perform(self, _context: &mut Context) -> Result<Outcome, BoxError> {
        arrivals::note(&self.0);
        Ok(Outcome::Done)
    }
}

impl System for Callboard {
    const PACKAGE: &'static str = "callboard";
    const KEEPS: &'static str = "history on: every finished job stays in the history; enqueues and settlements commit synchronously, \
                                 claims asynchronously";
    const BATCHES: &'static [u64] = &[5_000, 1_000, 20_000];

    type Work = Work;

    fn pools(_callers: u32) -> Vec<u32> {
        // Concurrent calls share statements, whatever their number.
        vec![4]
    }

    fn works(figure: Figure) -> Vec<Work> {
        match figure {
            Figure::Latency => vec![DEFAULT],
            _ => vec![
                Work {
                    max_demand: 100,
                    ..DEFAULT
                },
                Work {
                    max_demand: 100,
                    look_ahead: 10_000,
                    ..DEFAULT
                },
                Work {
                    is_express: true,
                    ..DEFAULT
                },
                Work {
                    max_demand: 100,
                    is_express: true,
                    ..DEFAULT
                },
                DEFAULT,
                Work {
                    look_ahead: 10_000,
                    ..DEFAULT
                },
            ],
        }
    }

    fn unfinished(_jobs: u64) -> String {
        "select exists (select from callboard.jobs)".to_owned()
    }

    async fn prepare(url: &str) -> Result<(), Failed> {
        Ok(Database::from_url(url)?.migrate().await?)
    }

    async fn connect(url: &str, connections: u32) -> Result<Self, Failed> {
        let database = Database::from_url(url)?.client_connections(connections as usize);
        Ok(Self {
            client: Client::connect(database).await?,
            hired: None,
            board: None,
        })
    }

    async fn hire(url: &str, work: Work) -> Result<Self, Failed> {
        let hired = (Database::from_url(url)?, work);
        Ok(Self {
            hired: Some(hired),
            ..Self::connect(url, 1).await?
        })
    }

    async fn start(&mut self) -> Result<(), Failed> {
        let (database, work) = self.hired.take().ok_or("nobody was hired")?;
        let queue = Queue::new(QUEUE)
            .workers(work.workers)
            .max_demand(work.max_demand)
            .look_ahead(work.look_ahead);
        let queue = match work.is_express {
            true => queue.express(Express::new()),
            false => queue,
        };
        let board = Board::builder(database)
            .queue(queue)
            .job::<Noop>()
            .start()
            .await?;
        self.client = board.client().clone();
        self.board = Some(board);
        Ok(())
    }

    async fn enqueue_many(&self, jobs: Vec<Payload>) -> Result<(), Failed> {
        self.client.enqueue_many(jobs.into_iter().map(Noop)).await?;
        Ok(())
    }

    async fn enqueue_one(&self, job: Payload) -> Result<(), Failed> {
        self.client.enqueue(Noop(job)).await?;
        Ok(())
    }
}
