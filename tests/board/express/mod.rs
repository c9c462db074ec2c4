//! The express lane: short jobs, held by an open transaction while they run.

mod completing;
mod leaving;
mod losing;
mod stopping;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use callboard::handler::CancelReason;
use callboard::job::Limits;
use callboard::queue::{Express, MAX_EXPRESS_BOUND};
use callboard::store::Cancelled;
use callboard::testing::Proxy;
use callboard::{
    Batch, BatchContext, BatchJob, Board, BoxError, Call, Client, Context, Handler, Job as _,
    JobId, JobState, Outcome, Queue, call, functions,
};
use tokio::sync::{Notify, Semaphore};
use tokio_postgres::Client as Rows;

use crate::isolation::isolation;
use crate::support::script::{Script, Step};
use crate::support::{
    board_at, board_on, database_at, eventually, server, sharing, sql, sql::number,
    until_confirmed, until_state,
};

const SPILL: &str = "set state = 'executing', attempt = attempt + 1, node";
const FINISH: &str = "with struck as";
const FORETELL: &str = "with contested as";
const LEFT: &str = "select (select count(*) from callboard.jobs) \
                    + (select count(*) from callboard.express_batches)";

/// How handlers and tests talk.
#[derive(Clone)]
struct Desk {
    url: Arc<str>,
    begun: Arc<Semaphore>,
    /// The jobs that have begun, in order.
    order: Arc<Mutex<Vec<JobId>>>,
    gate: Arc<Semaphore>,
    told: Arc<Notify>,
}

impl Desk {
    fn new(url: &str) -> Self {
        Self {
            url: url.into(),
            begun: Arc::new(Semaphore::new(0)),
            order: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
            told: Arc::default(),
        }
    }

    async fn until_begun(&self, jobs: u32) {
        let begun = self.begun.acquire_many(jobs);
        let begun = tokio::time::timeout(Duration::from_secs(20), begun).await;
        begun.expect("they begin").unwrap().forget();
    }

    fn order(&self) -> Vec<JobId> {
        self.order.lock().unwrap().clone()
    }

    fn runs(&self) -> u32 {
        self.order().len() as u32
    }
}

fn begin(cx: &mut Context) -> Result<Desk, BoxError> {
    let desk = cx.state::<Desk>()?.clone();
    desk.order.lock().unwrap().push(cx.job_id());
    desk.begun.add_permits(1);
    Ok(desk)
}

async fn run(cx: &mut Context) -> Result<(), BoxError> {
    begin(cx)?;
    Ok(())
}

async fn hold(cx: &mut Context) -> Result<(), BoxError> {
    let desk = begin(cx)?;
    desk.gate.acquire().await?.forget();
    Ok(())
}

async fn fail(cx: &mut Context) -> Result<(), BoxError> {
    let desk = begin(cx)?;
    desk.gate.acquire().await?.forget();
    Err("it was not to be".into())
}

async fn obey(cx: &mut Context) -> Result<(), BoxError> {
    let desk = begin(cx)?;
    cx.cancellation().cancelled().await;
    if cx.cancel_reason() == Some(CancelReason::LeaseLost) {
        desk.told.notify_one();
    }
    Err("stopped when I was told to".into())
}

async fn complete(cx: &mut Context) -> Result<(), BoxError> {
    let desk = begin(cx)?;
    let mut connection = sql::connect(&desk.url).await;
    let transaction = connection.transaction().await?;
    cx.complete_in(&transaction).await?;
    transaction.commit().await?;
    Ok(())
}

async fn keep(cx: &mut Context) -> Result<(), BoxError> {
    begin(cx)?;
    assert_eq!(cx.resume::<u32>().await?, None);
    cx.checkpoint(&7_u32).await?;
    cx.progress(1, 2, "half-way");
    assert_eq!(cx.resume::<u32>().await?, Some(7));
    Ok(())
}

/// A board with one queue in the lane, and what its handlers see.
struct Scene {
    board: Board,
    desk: Desk,
    rows: Rows,
    proxy: Proxy,
}

impl Scene {
    /// No job of it comes to its bound.
    async fn set() -> Self {
        Self::with(MAX_EXPRESS_BOUND, |queue| queue).await
    }

    async fn with(bound: Duration, configure: impl FnOnce(Queue) -> Queue) -> Self {
        let url = server::fresh_database().await;
        let (proxy, desk) = (Proxy::start(&url).unwrap(), Desk::new(&url));
        let queue = Queue::new("default").poll_every(Duration::from_millis(50));
        let queue = configure(sharing(queue, &desk)).express(Express::new().bound(bound));
        let board = board_at(proxy.url(), |board| {
            board
                .queue(queue)
                .sweep_every(Duration::from_millis(100))
                .job::<Script>()
                .job::<leaving::Together>()
                .functions(functions![run, hold, fail, obey, complete, keep])
        })
        .await;
        let rows = sql::connect(&url).await;
        let scene = Self {
            board,
            desk,
            rows,
            proxy,
        };
        // All is connected and prepared then.
        scene.completed(call!(run())).await;
        until_confirmed(&scene.board).await;
        scene.desk.until_begun(1).await;
        scene
    }

    fn client(&self) -> &Client {
        self.board.client()
    }

    async fn enqueue(&self, call: impl Into<Call>) -> JobId {
        self.client().enqueue(call.into()).await.unwrap()
    }

    async fn completed(&self, call: impl Into<Call>) -> callboard::JobInfo {
        let id = self.enqueue(call).await;
        until_state(self.client(), id, JobState::Completed).await
    }

    async fn number(&self, query: &str) -> i64 {
        number(&self.rows, query).await
    }

    /// So many jobs are held by a transaction.
    async fn until_held(&self, jobs: i64) {
        let named =
            "select coalesce(sum(cardinality(ids)), 0)::bigint from callboard.express_batches";
        eventually("they are held", || async {
            (self.number(named).await == jobs).then_some(())
        })
        .await;
        let executing = "select count(*) from callboard.jobs where state = 'executing'";
        assert_eq!(self.number(executing).await, 0);
    }

    /// All is done, once, and nothing is left over.
    async fn ends_well(self) {
        until_confirmed(&self.board).await;
        eventually("nothing is left", || async {
            (self.number(LEFT).await == 0).then_some(())
        })
        .await;
        let twice = "select count(*) - count(distinct id) from callboard.finished_jobs";
        assert_eq!(self.number(twice).await, 0);
        self.board.shutdown().await.unwrap();
    }
}

fn plays(steps: impl Into<Vec<Step>>) -> Call {
    Script(steps.into()).call()
}
