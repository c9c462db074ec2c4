//! A question: how the queues are.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz};

use super::Store;
use super::settings::Standstill;
use super::statement::{Bind, typed};
use crate::Error;

/// The largest count that [`QueueInfo`] gives; a larger one is cut to it.
pub(crate) const COUNT_CAP: u32 = 10_000;

/// How a queue is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueInfo {
    /// Its name.
    pub queue: String,
    /// Jobs that wait for a worker; counted up to 10,000.
    pub available: u32,
    /// Jobs in the hands of nodes.
    pub executing: u32,
    /// Jobs that wait for their time, scheduled or to be retried; counted up to 10,000.
    pub waiting: u32,
    /// Jobs that wait for an earlier one with their ordering key to end; counted up to 10,000.
    pub behind: u32,
    /// How long the oldest of the next hundred available jobs has been on the board.
    pub oldest: Option<Duration>,
    /// How many live nodes serve it. Zero: its jobs wait until one does.
    pub nodes: u32,
    /// Kinds among the next thousand available jobs that no live node can run here, since it does not know the kind
    /// or does not read arguments of their version.
    pub unserved_kinds: Vec<String>,
    /// Why no node runs it, if it was paused or stopped for all of them.
    pub standstill: Option<Standstill>,
    /// How many live nodes were told for themselves to pause or stop it.
    pub nodes_halted: u32,
    /// How many workers each node is to have for it, if somebody said so for all nodes.
    pub workers: Option<u32>,
}

type QueueSql = (
    (Text, BigInt, BigInt, BigInt, BigInt, Nullable<BigInt>),
    (BigInt, Array<Text>, BigInt),
    (
        Nullable<Text>,
        Nullable<Timestamptz>,
        Nullable<Text>,
        Nullable<Text>,
        Nullable<Integer>,
    ),
);
type QueueTuple = (
    (String, i64, i64, i64, i64, Option<i64>),
    (i64, Vec<String>, i64),
    SettingTuple,
);
/// Mode, since, reason, by, workers.
type SettingTuple = (
    Option<String>,
    Option<DateTime<Utc>>,
    Option<String>,
    Option<String>,
    Option<i32>,
);

/// What waits in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Depth {
    pub(crate) waiting: u32,
    pub(crate) oldest: Duration,
    /// Live nodes that serve it.
    pub(crate) nodes: u32,
}

impl Store {
    /// What waits in a queue, counted up to `most`.
    pub(crate) async fn depth(&self, queue: &str, most: u32) -> Result<Depth, Error> {
        let mut session = self.upkeep().await?;
        let most = i64::from(most);
        let binds: [&dyn Bind; 2] = [&typed::<Text, _>(queue), &typed::<BigInt, _>(&most)];
        type Row = (i64, Option<i64>, i64);
        let rows = session
            .fetch::<(BigInt, Nullable<BigInt>, BigInt), Row>(
                "measure a queue",
                &self.sql().depth,
                &binds,
            )
            .await?;
        let (waiting, oldest_ms, nodes) = rows.first().copied().unwrap_or_default();
        let count = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
        Ok(Depth {
            waiting: count(waiting),
            oldest: Duration::from_millis(oldest_ms.unwrap_or_default().max(0).unsigned_abs()),
            nodes: count(nodes),
        })
    }

    /// How the queues are.
    pub(crate) async fn queues(&self) -> Result<Vec<QueueInfo>, Error> {
        let mut session = self.clients().await?;
        let cap = i64::from(COUNT_CAP);
        let binds: [&dyn Bind; 1] = [&typed::<BigInt, _>(&cap)];
        let rows = session.fetch::<QueueSql, QueueTuple>("list queues", &self.sql().queues, &binds);
        Ok(rows.await?.into_iter().map(queue).collect())
    }
}

fn queue((counts, served, setting): QueueTuple) -> QueueInfo {
    let (queue, available, executing, waiting, behind, oldest_ms) = counts;
    let (nodes, unserved_kinds, nodes_halted) = served;
    let (mode, since, reason, by, workers) = setting;
    let count = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
    QueueInfo {
        queue,
        available: count(available),
        executing: count(executing),
        waiting: count(waiting),
        behind: count(behind),
        oldest: oldest_ms.map(|ms| Duration::from_millis(ms.max(0).unsigned_abs())),
        nodes: count(nodes),
        unserved_kinds,
        standstill: mode
            .zip(since)
            .and_then(|(mode, since)| Standstill::from_row(&mode, since, reason, by)),
        nodes_halted: count(nodes_halted),
        workers: workers.map(i32::unsigned_abs),
    }
}
