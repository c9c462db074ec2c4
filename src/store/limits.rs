//! Limits of queues: set, read, and forgotten where nobody needs them.

use std::fmt;
use std::time::Duration;

use diesel::sql_types::{BigInt, Double, Integer, Jsonb, Nullable, Text};

use super::Store;
use super::session::Session;
use super::statement::typed;
use crate::Error;
use crate::job::{JobId, Limits, Starts};

type LimitsSql = (
    Nullable<Integer>,
    Nullable<Integer>,
    (Nullable<Integer>, Nullable<BigInt>),
    (Nullable<Integer>, Nullable<BigInt>),
    Jsonb,
);
type LimitsRow = (
    Option<i32>,
    Option<i32>,
    (Option<i32>, Option<i64>),
    (Option<i32>, Option<i64>),
    serde_json::Value,
);

/// A limit that keeps a job waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReachedLimit {
    /// As many jobs run as may, of the queue or of the job's key.
    Running {
        /// How many may.
        limit: u32,
        /// The key, if it is its limit.
        key: Option<String>,
    },
    /// As many jobs have started as may in a period, of the queue or of the job's key.
    Starts {
        /// How many may.
        limit: u32,
        /// In so much time.
        every: Duration,
        /// The key, if it is its limit.
        key: Option<String>,
        /// When the next may start.
        next_in: Duration,
    },
}

impl fmt::Display for ReachedLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let jobs = |limit: &u32, key: &Option<String>| {
            let jobs = if *limit == 1 { "job" } else { "jobs" };
            match key {
                Some(key) => format!("{limit} {jobs} of the key {key:?}"),
                None => format!("{limit} {jobs}"),
            }
        };
        match self {
            Self::Running { limit, key } => {
                let jobs = jobs(limit, key);
                write!(
                    f,
                    "no more than {jobs} may run at once on all nodes, and so many do"
                )
            }
            Self::Starts {
                limit,
                every,
                key,
                next_in,
            } => {
                let jobs = jobs(limit, key);
                write!(
                    f,
                    "no more than {jobs} may start within {every:?} on all nodes, and the next may in \
                     {next_in:.1?}"
                )
            }
        }
    }
}

type ReachedSql = (
    (Nullable<Integer>, BigInt),
    (Nullable<Text>, Nullable<Integer>, BigInt),
    (Nullable<Integer>, Nullable<BigInt>, Nullable<Double>),
    (Nullable<Integer>, Nullable<BigInt>, Nullable<Double>),
);
type ReachedRow = (
    (Option<i32>, i64),
    (Option<String>, Option<i32>, i64),
    (Option<i32>, Option<i64>, Option<f64>),
    (Option<i32>, Option<i64>, Option<f64>),
);

impl Store {
    /// Which limit of its queue keeps an available job waiting, if one does.
    pub(super) async fn reached_limit(
        &self,
        session: &mut Session,
        id: JobId,
    ) -> Result<Option<ReachedLimit>, Error> {
        let rows = session
            .fetch::<ReachedSql, ReachedRow>(
                "explain a job",
                &self.sql().reached,
                &[&typed::<BigInt, _>(&id.as_i64())],
            )
            .await?;
        Ok(rows.into_iter().next().and_then(reached))
    }

    /// Sets the limits of a queue for all nodes. What executes already counts from then on.
    pub(crate) async fn limit(&self, queue: &str, limits: &Limits) -> Result<(), Error> {
        let count = |count: Option<u32>| count.map(u32::cast_signed);
        let (starts, starts_every) = parts(limits.starts);
        let (per_key, per_key_every) = parts(limits.starts_per_key);
        let weights = serde_json::json!(limits.weights).to_string();
        let mut session = self.clients().await?;
        session
            .change(
                "limit",
                &self.sql().limit,
                &[
                    &typed::<Text, _>(queue),
                    &typed::<Nullable<Integer>, _>(&count(limits.running)),
                    &typed::<Nullable<Integer>, _>(&count(limits.running_per_key)),
                    &typed::<Nullable<Integer>, _>(&starts),
                    &typed::<Nullable<BigInt>, _>(&starts_every),
                    &typed::<Nullable<Integer>, _>(&per_key),
                    &typed::<Nullable<BigInt>, _>(&per_key_every),
                    &typed::<Text, _>(&weights),
                ],
            )
            .await?;
        let counted = &self.sql().count_limited;
        session
            .change("limit", counted, &[&typed::<Text, _>(queue)])
            .await
            .map(drop)
    }

    /// Takes the limits of a queue away. False: it had none.
    pub(crate) async fn unlimit(&self, queue: &str) -> Result<bool, Error> {
        let mut session = self.clients().await?;
        let gone = session
            .change("limit", &self.sql().unlimit, &[&typed::<Text, _>(queue)])
            .await?;
        Ok(gone > 0)
    }

    /// The limits of a queue, if it has any.
    pub(crate) async fn limits(&self, queue: &str) -> Result<Option<Limits>, Error> {
        let session = self.clients().await?;
        self.read_limits(session, queue).await
    }

    /// As [`limits`](Self::limits), for who is about to claim.
    pub(crate) async fn limits_of_claims(&self, queue: &str) -> Result<Option<Limits>, Error> {
        let session = self.0.claim.session().await?;
        self.read_limits(session, queue).await
    }

    /// Forgets the buckets of keys that are full again.
    pub(crate) async fn forget_keys(&self) -> Result<(), Error> {
        let mut session = self.upkeep().await?;
        session
            .change("forget keys of limits", &self.sql().forget_keys, &[])
            .await
            .map(drop)
    }

    async fn read_limits(
        &self,
        mut session: Session,
        queue: &str,
    ) -> Result<Option<Limits>, Error> {
        let rows = session
            .fetch::<LimitsSql, LimitsRow>(
                "read the limits",
                &self.sql().limits,
                &[&typed::<Text, _>(queue)],
            )
            .await?;
        Ok(rows.into_iter().next().map(limits))
    }
}

fn parts(starts: Option<Starts>) -> (Option<i32>, Option<i64>) {
    let count = starts.map(|starts| starts.count.cast_signed());
    let every = starts.map(|starts| i64::try_from(starts.every.as_millis()).unwrap_or(i64::MAX));
    (count, every)
}

fn limits((running, running_per_key, together, per_key, weights): LimitsRow) -> Limits {
    let starts = |(count, every_ms): (Option<i32>, Option<i64>)| {
        let every = Duration::from_millis(every_ms?.unsigned_abs());
        let count = count?.unsigned_abs();
        Some(Starts { count, every })
    };
    // Only limit.sql writes it.
    let weights = serde_json::from_value(weights).unwrap_or_default();
    Limits {
        running: running.map(i32::unsigned_abs),
        running_per_key: running_per_key.map(i32::unsigned_abs),
        starts: starts(together),
        starts_per_key: starts(per_key),
        weights,
    }
}

fn reached(row: ReachedRow) -> Option<ReachedLimit> {
    let ((running, run), (key, per_key, run_of_key), together, of_key) = row;
    let runs_full = |limit: Option<i32>, running: i64, key: Option<String>| {
        let limit = limit?;
        let is_full = running >= i64::from(limit);
        let limit = limit.unsigned_abs();
        is_full.then_some(ReachedLimit::Running { limit, key })
    };
    let starts_full = |(count, every_ms, tokens): (Option<i32>, Option<i64>, Option<f64>), key| {
        let (count, every_ms, tokens) = (count?, every_ms?, tokens?);
        let missing = (1.0 - tokens) / f64::from(count);
        let next_in = Duration::from_secs_f64((missing * every_ms as f64 / 1000.0).max(0.0));
        (tokens < 1.0).then_some(ReachedLimit::Starts {
            limit: count.unsigned_abs(),
            every: Duration::from_millis(every_ms.unsigned_abs()),
            key,
            next_in,
        })
    };
    runs_full(running, run, None)
        .or_else(|| runs_full(key.as_ref().and(per_key), run_of_key, key.clone()))
        .or_else(|| starts_full(together, None))
        .or_else(|| starts_full(of_key, key.clone()))
}
