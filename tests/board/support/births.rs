//! A board whose workers wait, so that jobs are claimed as they are enqueued, behind a proxy.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use callboard::client::Condition;
use callboard::testing::Proxy;
use callboard::{
    Board, BoxError, Client, Context, Database, JobId, JobState, Queue, call, functions,
};
use tokio::sync::Semaphore;

use super::{database_at, eventually, server, sharing, sql, sql::number, until_state};

/// What an enqueue sends when it borrows asks.
pub const BIRTH: &str = "first_waiting";
pub const NOTIFY: &str = "pg_notify";
pub const WORKERS: u32 = 4;

/// What handlers and tests share.
#[derive(Clone)]
pub struct Shared {
    pub begun: Arc<AtomicU32>,
    pub order: Arc<Mutex<Vec<JobId>>>,
    pub gate: Arc<Semaphore>,
}

pub async fn run(cx: &mut Context) -> Result<(), BoxError> {
    let id = cx.job_id();
    let shared = cx.state::<Shared>()?;
    shared.begun.fetch_add(1, Ordering::SeqCst);
    shared.order.lock().unwrap().push(id);
    Ok(())
}

pub async fn wait(cx: &mut Context) -> Result<(), BoxError> {
    run(cx).await?;
    cx.state::<Shared>()?.gate.acquire().await?.forget();
    Ok(())
}

pub struct Stage {
    pub proxy: Proxy,
    pub board: Board,
    pub shared: Shared,
    /// A connection beside the proxy.
    pub rows: tokio_postgres::Client,
    pub url: String,
}

/// A queue that claims when something is announced, and only then.
pub fn seldom() -> Queue {
    let queue = Queue::new("default").workers(WORKERS).look_ahead(0);
    queue.poll_every(Duration::from_secs(3_600))
}

impl Stage {
    pub async fn set() -> Self {
        Self::with(seldom(), |database| database).await
    }

    /// A board whose workers wait, and lend their asks.
    pub async fn with(queue: Queue, configure: impl FnOnce(Database) -> Database) -> Self {
        let stage = Self::unready(queue, configure).await;
        eventually("notifications are heard", || async {
            let health = stage.board.health();
            let notifier = health.parts.get("notifier");
            notifier.is_some_and(Condition::is_working).then_some(())
        })
        .await;
        // The listener's start may have made the fetcher look, at any time up to the first birth. At the
        // second it is certain that it waits again.
        eventually("jobs are claimed at birth", || async {
            (stage.bear().await && stage.bear().await).then_some(())
        })
        .await;
        stage.until_quiet().await;
        stage.shared.begun.store(0, Ordering::SeqCst);
        stage.shared.order.lock().unwrap().clear();
        stage
    }

    /// Whether a job is claimed at birth now. If not, this waits until all has been said about it.
    async fn bear(&self) -> bool {
        let notices = self.proxy.statements(NOTIFY);
        let id = self.client().enqueue(call!(run())).await.unwrap();
        until_state(self.client(), id, JobState::Completed).await;
        let is_born = self.is_born(id).await;
        if !is_born {
            eventually("others are told of the job", || async {
                (self.proxy.statements(NOTIFY) > notices).then_some(())
            })
            .await;
        }
        is_born
    }

    pub async fn unready(queue: Queue, configure: impl FnOnce(Database) -> Database) -> Self {
        let url = server::fresh_database().await;
        let proxy = Proxy::start(&url).unwrap();
        let shared = Shared {
            begun: Arc::default(),
            order: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        };
        let board = Board::builder(configure(database_at(proxy.url())))
            .queue(sharing(queue, &shared))
            .functions(functions![run, wait])
            .start()
            .await;
        Self {
            proxy,
            board: board.unwrap(),
            shared,
            rows: sql::connect(&url).await,
            url,
        }
    }

    pub fn client(&self) -> &Client {
        self.board.client()
    }

    /// Whether a job was claimed by its own enqueue.
    pub async fn is_born(&self, id: JobId) -> bool {
        let born = "with every as (select id, attempted_at, enqueued_at from callboard.jobs union all \
                                   select id, attempted_at, enqueued_at from callboard.finished_jobs) \
                    select count(*) from every where attempted_at = enqueued_at and id = ";
        number(&self.rows, &format!("{born}{}", id.as_i64())).await == 1
    }

    pub async fn born(&self, ids: &[JobId]) -> Vec<bool> {
        let mut born = Vec::new();
        for id in ids {
            born.push(self.is_born(*id).await);
        }
        born
    }

    pub async fn state(&self, id: JobId) -> JobState {
        self.client().job(id).await.unwrap().unwrap().state
    }

    pub async fn until_quiet(&self) {
        eventually("nothing is in hand", || async {
            (self.board.counts().in_hand == 0).then_some(())
        })
        .await;
    }

    pub async fn until_begun(&self, runs: u32) {
        eventually("handlers have begun", || async {
            (self.shared.begun.load(Ordering::SeqCst) >= runs).then_some(())
        })
        .await;
    }

    /// Nothing can be inserted until the returned connection goes.
    pub async fn hold_up_enqueues(&self) -> tokio_postgres::Client {
        let lock = sql::connect(&self.url).await;
        let text = "begin; lock table callboard.jobs in share mode";
        lock.batch_execute(text).await.unwrap();
        lock
    }

    pub async fn until_enqueue_waits(&self) {
        eventually("the enqueue waits", || async {
            let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' \
                           and datname = current_database() and query like '%is_claimed%'";
            (number(&self.rows, waiting).await == 1).then_some(())
        })
        .await;
    }

    /// Every job is completed, after one run at its first attempt.
    pub async fn each_ran_once(&self, jobs: u32) {
        eventually("every job is completed", || async {
            let completed = "select count(*) from callboard.finished_jobs";
            let completed = number(&self.rows, completed).await - self.completed_before().await;
            (completed == i64::from(jobs)).then_some(())
        })
        .await;
        self.until_quiet().await;
        assert_eq!(self.shared.begun.load(Ordering::SeqCst), jobs);
        let left = "select count(*) from callboard.jobs";
        assert_eq!(number(&self.rows, left).await, 0);
        assert_eq!(self.board.counts().refused, 0);
    }

    /// Those that ran before the test began.
    pub async fn completed_before(&self) -> i64 {
        let ran = self.shared.order.lock().unwrap().clone();
        let ran: Vec<i64> = ran.into_iter().map(JobId::as_i64).collect();
        let others = "select count(*) from callboard.finished_jobs where id <> all($1)";
        self.rows.query_one(others, &[&ran]).await.unwrap().get(0)
    }

    pub async fn end(self) {
        self.board.shutdown().await.unwrap();
    }
}
