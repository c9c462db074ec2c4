//! What gauges show: how queues, connections and the database are at an instant.

use std::time::Duration;

use diesel::sql_types::{Array, BigInt, Nullable, Text};

use super::Store;
use super::pool::LanePool;
use super::queues::COUNT_CAP;
use super::statement::{Bind, Statement, typed};
use crate::Error;

/// The jobs of a queue that wait for a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueDepth {
    /// The queue.
    pub queue: String,
    /// How many; counted up to 10,000.
    pub available: u32,
    /// For how long the oldest of the next hundred could have run.
    pub oldest: Option<Duration>,
}

/// How well the database can clean up after the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Vitality {
    /// Jobs of all queues that wait for their time, scheduled or to be retried; counted up to 10,000.
    pub waiting: u32,
    /// Dead rows in the table of unfinished jobs. They slow down claims, and vacuum removes them.
    pub dead_rows: u64,
    /// The age of the oldest transaction that keeps vacuum from that: a forgotten session, a report, a
    /// dump. Those of other database users are seen only with the role `pg_monitor`.
    pub oldest_transaction: Option<Duration>,
}

/// The connections of one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolInfo {
    /// What they are for: `claim`, `settle`, `upkeep` or `client`.
    pub lane: &'static str,
    /// How many there may be.
    pub max: usize,
    /// How many are in use.
    pub in_use: usize,
    /// How many are open and not in use.
    pub idle: usize,
    /// How many callers wait for one.
    pub waiting: usize,
}

impl Store {
    /// How many jobs wait in these queues, and for how long.
    pub(crate) async fn depths(&self, queues: &[&str]) -> Result<Vec<QueueDepth>, Error> {
        let cap = i64::from(COUNT_CAP);
        let binds: [&dyn Bind; 2] = [&typed::<Array<Text>, _>(queues), &typed::<BigInt, _>(&cap)];
        let mut session = self.upkeep().await?;
        let rows = session.fetch::<(Text, BigInt, Nullable<BigInt>), (String, i64, Option<i64>)>(
            "sample the queues",
            &self.sql().sample,
            &binds,
        );
        let depth = |(queue, available, oldest): (String, i64, Option<i64>)| QueueDepth {
            queue,
            available: u32::try_from(available).unwrap_or(u32::MAX),
            oldest: oldest.map(duration),
        };
        Ok(rows.await?.into_iter().map(depth).collect())
    }

    /// How well the database can clean up after the board.
    pub(crate) async fn vitality(&self) -> Result<Vitality, Error> {
        let cap = i64::from(COUNT_CAP);
        let binds: [&dyn Bind; 1] = [&typed::<BigInt, _>(&cap)];
        let mut session = self.upkeep().await?;
        let rows = session.fetch::<(BigInt, BigInt, Nullable<BigInt>), (i64, i64, Option<i64>)>(
            "sample the database",
            &self.sql().vitality,
            &binds,
        );
        let vitality = |(waiting, dead_rows, oldest): (i64, i64, Option<i64>)| Vitality {
            waiting: u32::try_from(waiting).unwrap_or(u32::MAX),
            dead_rows: dead_rows.max(0).unsigned_abs(),
            oldest_transaction: oldest.map(duration),
        };
        let row = rows.await?.into_iter().next();
        row.map(vitality)
            .ok_or_else(|| Error::database("cannot sample the database: it answered without a row"))
    }

    /// Whether the database answers.
    pub(crate) async fn ping(&self) -> Result<(), Error> {
        let statement = Statement::new("select 1", self.database().schema_name());
        let mut session = self.clients().await?;
        session.change("ask the database", &statement, &[]).await?;
        Ok(())
    }

    /// The connections of each lane. Asks nobody.
    pub(crate) fn pools(&self) -> Vec<PoolInfo> {
        let lanes = [
            ("claim", &self.0.claim),
            ("express", &self.0.express),
            ("settle", &self.0.settle),
            ("upkeep", &self.0.upkeep),
            ("client", &self.0.clients),
        ];
        let info = |(lane, pool): (&'static str, &LanePool)| pool.info(lane);
        lanes.map(info).to_vec()
    }
}

/// Below zero where the server's clock was set back.
fn duration(ms: i64) -> Duration {
    Duration::from_millis(ms.max(0).unsigned_abs())
}
