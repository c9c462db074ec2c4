//! The board's own statements, run by loops without actors, handlers or leases: what is left to lose.

use std::time::{Duration, Instant};

use postgres_types::private::BytesMut;
use postgres_types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_postgres::{Client, Statement};

use crate::drain::{NAMES, WARM_UP};
use crate::figure::{Figure, System};
use crate::flow::{BATCH, PAUSE};
use crate::jobs::Does;
use crate::place::{Place, connect};
use crate::support::Failed;
use crate::usage::Cost;

const NODE: i64 = 1;
const CLAIM: i64 = 1_000;
const SETTLE: usize = 2_000;
/// How soon claims that come back short look at all jobs again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
const KIND: &str = "throughput::jobs::work";

/// Where a row lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ctid([u8; 6]);

impl<'a> FromSql<'a> for Ctid {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Failed> {
        Ok(Self(raw.try_into()?))
    }

    accepts!(TID);
}

impl ToSql for Ctid {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failed> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }

    accepts!(TID);
    to_sql_checked!();
}

/// Claimed, and how many claims may be ahead of the settlements.
type Claimed = Vec<(i64, i32, Ctid)>;
const AHEAD: usize = 8;

/// A connection with the settings of the board's own, and the statement it runs.
struct Loop {
    client: Client,
    statement: Statement,
}

impl Loop {
    async fn new(url: &str, settings: &str, statement: &str) -> Result<Self, Failed> {
        let client = connect(url).await?;
        client.batch_execute(settings).await?;
        let statement = client.prepare(statement).await?;
        Ok(Self { client, statement })
    }

    /// Claims until so many are claimed.
    async fn claim(self, jobs: usize, claimed: Sender<Claimed>) -> Result<Self, Failed> {
        let (kinds, versions) = ([KIND], [1]);
        let (mut above, mut looked, mut left) = ((i16::MIN, i64::MIN), Instant::now(), jobs);
        while left > 0 {
            let (priority, id) = above;
            let rows = self
                .client
                .query(
                    &self.statement,
                    &[
                        &NODE,
                        &"queue-1",
                        &&kinds[..],
                        &priority,
                        &id,
                        &CLAIM,
                        &1_i64,
                        &&versions[..],
                        &true,
                    ],
                )
                .await?;
            let jobs = rows.iter().map(|row| (row.get(0), row.get(1), row.get(10)));
            let mut jobs: Claimed = jobs.collect();
            let bytes: usize = rows.iter().map(|row| row.get::<_, &[u8]>(6).len()).sum();
            assert!(bytes >= jobs.len() * 100, "every job has its payload");
            jobs.sort_unstable();
            if let Some((last, ..)) = jobs.last() {
                above = (0, *last);
            }
            // As a fetcher does while many execute.
            if rows.len() < CLAIM as usize && looked.elapsed() >= LOOK_AGAIN {
                (above, looked) = ((i16::MIN, i64::MIN), Instant::now());
            }
            left -= jobs.len();
            if !jobs.is_empty() {
                claimed.send(jobs).await?;
            }
        }
        Ok(self)
    }

    /// Settles what has gathered, until nothing comes any more.
    async fn settle(self, mut claimed: Receiver<Claimed>) -> Result<Self, Failed> {
        while let Some(mut batch) = claimed.recv().await {
            while batch.len() < SETTLE {
                match claimed.try_recv() {
                    Ok(more) => batch.extend(more),
                    Err(_) => break,
                }
            }
            let settled = settle_batch(&self.client, &self.statement, &batch).await?;
            assert_eq!(settled, batch.len(), "the fence refuses nothing here");
        }
        Ok(self)
    }
}

async fn settle_batch(
    client: &Client,
    statement: &Statement,
    batch: &[(i64, i32, Ctid)],
) -> Result<usize, Failed> {
    let ids: Vec<i64> = batch.iter().map(|(id, ..)| *id).collect();
    let attempts: Vec<i32> = batch.iter().map(|(_, attempt, _)| *attempt).collect();
    let ctids: Vec<Ctid> = batch.iter().map(|(.., ctid)| *ctid).collect();
    let row = client
        .query_one(statement, &[&NODE, &ids, &attempts, &ctids])
        .await?;
    let completed: Vec<i64> = row.get(0);
    Ok(completed.len())
}

/// The two loops of a drain.
struct Loops {
    claiming: Loop,
    settling: Loop,
}

impl Loops {
    /// Connected, prepared, and warm.
    async fn warm(place: &Place) -> Result<Self, Failed> {
        let (claim, complete) = (
            include_str!("../../src/store/sql/claim.sql"),
            include_str!("../../src/store/sql/complete_many.sql"),
        );
        let claims = "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; \
                      set enable_bitmapscan = off; set enable_sort = off; set synchronous_commit = off";
        let answers = "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; \
                       set enable_bitmapscan = off";
        let loops = Self {
            claiming: Loop::new(&place.url, claims, claim).await?,
            settling: Loop::new(&place.url, answers, complete).await?,
        };
        place
            .fill(WARM_UP, Does::Nothing, &["queue-1".to_owned()])
            .await?;
        loops.run(WARM_UP).await
    }

    /// Claims and settles so many jobs.
    async fn run(self, jobs: usize) -> Result<Self, Failed> {
        let (sender, receiver) = channel(AHEAD);
        let claiming = tokio::spawn(self.claiming.claim(jobs, sender));
        let settling = tokio::spawn(self.settling.settle(receiver));
        Ok(Self {
            claiming: claiming.await??,
            settling: settling.await??,
        })
    }
}

/// Jobs that lie there already.
pub(crate) async fn drain_once(server: &str, jobs: usize) -> Result<Cost, Failed> {
    let place = Place::take(server).await?;
    let loops = Loops::warm(&place).await?;
    let queues = ["queue-1".to_owned()];
    let hopper = place.hopper().await?;
    hopper.fill(jobs, Does::Nothing, &queues).await?;
    let usage = place.usage().await?;
    hopper.empty().await?;
    loops.run(jobs).await?;
    let cost = place.cost(&usage).await?;
    place.leave().await?;
    Ok(cost)
}

pub(crate) async fn drain(server: &str, jobs: usize, runs: usize) -> Result<Vec<Figure>, Failed> {
    let mut costs = Vec::with_capacity(runs);
    for _ in 0..runs {
        costs.push(drain_once(server, jobs).await?);
    }
    let setting = format!("claims of {CLAIM}, settlements of what gathered, {SETTLE} at most");
    Ok(Figure::of_costs(
        System::Bare,
        NAMES,
        &setting,
        jobs,
        &costs,
    ))
}

/// Inserts of so many rows each.
pub(crate) struct Inserts {
    client: Client,
    statement: Statement,
    batch: usize,
}

impl Inserts {
    pub(crate) async fn of(batch: usize, client: Client) -> Result<Self, Failed> {
        let statement = client
            .prepare(include_str!("../../src/store/sql/enqueue_alike.sql"))
            .await?;
        Ok(Self {
            client,
            statement,
            batch,
        })
    }

    /// Inserts so many times.
    async fn run(&self, times: usize) -> Result<(), Failed> {
        let (no_number, no_time, no_text): (Option<i16>, Option<i64>, Option<&str>) =
            Default::default();
        let payload = [b'x'; 100];
        let payloads = vec![&payload[..]; self.batch];
        for _ in 0..times {
            let row = self
                .client
                .query_one(
                    &self.statement,
                    &[
                        &"queue-1", &KIND, &0_i16, &no_number, &no_time, &no_text, &1_i32, &1_i64,
                        &no_text, &no_text, &payloads,
                    ],
                )
                .await?;
            let ids: Vec<i64> = row.get(0);
            assert_eq!(ids.len(), self.batch);
        }
        Ok(())
    }

    /// As [`run`](Self::run), each in a transaction that is begun and committed by statements of its own.
    pub(crate) async fn run_in_transactions(&self, times: usize) -> Result<(), Failed> {
        for _ in 0..times {
            self.client.batch_execute("begin").await?;
            self.run(1).await?;
            self.client.batch_execute("commit").await?;
        }
        Ok(())
    }
}

/// Inserts so many batches of so many.
async fn insert(client: Client, batches: usize, batch: usize) -> Result<(), Failed> {
    Inserts::of(batch, client).await?.run(batches).await
}

/// How many jobs a second the enqueue statement alone takes in, on so many connections.
pub(crate) async fn enqueue_once(
    server: &str,
    jobs: usize,
    batch: usize,
    connections: usize,
) -> Result<f64, Failed> {
    let batches = jobs / connections / batch;
    let place = Place::take(server).await?;
    let mut clients = Vec::with_capacity(connections);
    for _ in 0..connections {
        clients.push(connect(&place.url).await?);
    }
    let began = Instant::now();
    let inserting = clients
        .into_iter()
        .map(|client| tokio::spawn(insert(client, batches, batch)));
    for inserting in Vec::from_iter(inserting) {
        inserting.await??;
    }
    let rate = (batches * batch * connections) as f64 / began.elapsed().as_secs_f64();
    place.leave().await?;
    Ok(rate)
}

/// As [`enqueue_once`], several times.
pub(crate) async fn enqueue(
    server: &str,
    jobs: usize,
    batch: usize,
    connections: usize,
    runs: usize,
) -> Result<Figure, Failed> {
    let mut rates = Vec::with_capacity(runs);
    for _ in 0..runs {
        rates.push(enqueue_once(server, jobs, batch, connections).await?);
    }
    let setting = format!("{connections} connection(s), {batch} row(s) a statement");
    let name = if batch == 1 {
        "single enqueue"
    } else {
        "bulk enqueue"
    };
    Ok(Figure::new(
        System::Bare,
        (name, "jobs/s"),
        setting,
        jobs,
        rates,
    ))
}

/// How many jobs a second go the whole way: a producer inserts in batches while the loop claims and settles.
pub(crate) async fn end_to_end_once(server: &str, jobs: usize) -> Result<f64, Failed> {
    let place = Place::take(server).await?;
    let loops = Loops::warm(&place).await?;
    let client = connect(&place.url).await?;
    let began = Instant::now();
    let inserting = tokio::spawn(insert(client, jobs / BATCH, BATCH));
    loops.run(jobs / BATCH * BATCH).await?;
    inserting.await??;
    let rate = jobs as f64 / began.elapsed().as_secs_f64();
    place.leave().await?;
    Ok(rate)
}

/// As [`end_to_end_once`], several times.
pub(crate) async fn end_to_end(server: &str, jobs: usize, runs: usize) -> Result<Figure, Failed> {
    let mut rates = Vec::with_capacity(runs);
    for _ in 0..runs {
        rates.push(end_to_end_once(server, jobs).await?);
    }
    let setting = format!("inserts of {BATCH}, claims of {CLAIM}, settlements of what gathered");
    let name = ("end to end", "jobs/s");
    Ok(Figure::new(System::Bare, name, setting, jobs, rates))
}

/// One durable insert after the other, with the same pauses between as the board has: a machine that has nothing
/// to do is slow to wake.
pub(crate) struct Alone {
    place: Place,
    insert: Inserts,
}

impl Alone {
    pub(crate) async fn new(server: &str) -> Result<Self, Failed> {
        let place = Place::take(server).await?;
        let insert = Inserts::of(1, connect(&place.url).await?).await?;
        Ok(Self { place, insert })
    }

    /// How long each takes.
    pub(crate) async fn latencies(&self, jobs: usize) -> Result<Vec<Duration>, Failed> {
        let mut samples = Vec::with_capacity(jobs);
        for _ in 0..jobs {
            tokio::time::sleep(PAUSE).await;
            let called = Instant::now();
            self.insert.run(1).await?;
            samples.push(called.elapsed());
        }
        Ok(samples)
    }

    pub(crate) async fn leave(self) -> Result<(), Failed> {
        self.place.leave().await
    }
}
