//! Kinds that run in processes of their own.
//!
//! The processes are this test binary again, running the ignored test `isolate`. What they do they write
//! into tables of the test's database (see `support/acts.rs`), whose URL is an argument of every job.

mod dying;
mod ending;
mod starting;

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use callboard::board::Builder;
use callboard::isolation::{Isolation, run_if_child};
use callboard::job::Backoff;
use callboard::{Board, BoxError, Call, Context, Handler, JobId, JobInfo, JobState, Queue};
use callboard::{call, function, functions};
use rustix::process::{Signal, getpid, kill_process};
use tokio_postgres::Client as Rows;

use crate::support::acts::{stage, until_ran};
use crate::support::script::Script;
use crate::support::{board_at, eventually, sql, sql::number, until_state};

/// Isolation by this test binary.
pub fn isolation() -> Isolation {
    isolation_by("isolation::isolate")
}

/// Isolation by another ignored test of this binary.
fn isolation_by(test: &str) -> Isolation {
    Isolation::new().arguments(["--exact", test, "--ignored", "--nocapture"])
}

#[test]
#[ignore = "an isolate, started by the other tests"]
fn isolate() {
    let isolation = isolation();
    let mut handlers = Vec::from(functions![
        aborts,
        exits,
        overflows,
        is_killed,
        eats,
        hangs,
        spins,
        forks,
        listens,
        is_deaf,
        pid,
        counts,
        meets,
        asks_state,
        asks_client,
        completes
    ]);
    handlers.push(Handler::of::<Script>().isolated(isolation));
    run_if_child(handlers);
}

/// The process of an attempt is known from here on.
async fn note(cx: &Context, url: &str) {
    let (job, attempt) = (cx.job_id().as_i64(), cx.attempt().as_i32());
    let pid = std::process::id() as i32;
    let insert = "insert into ran values ($1, $2, $3)";
    let rows = sql::connect(url).await;
    rows.execute(insert, &[&job, &attempt, &pid]).await.unwrap();
}

async fn aborts() {
    eprintln!("the paper is jammed");
    std::process::abort();
}

async fn exits() {
    std::process::exit(3);
}

async fn overflows() -> Result<(), String> {
    fn depth(n: u64) -> u64 {
        match n {
            u64::MAX => 0,
            n => depth(std::hint::black_box(n) + 1) + std::hint::black_box(1),
        }
    }
    Err(depth(1).to_string())
}

async fn is_killed() {
    kill_process(getpid(), Signal::KILL).unwrap();
    std::future::pending().await
}

/// Takes all memory that it gets.
async fn eats() {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        eaten.push(std::hint::black_box(vec![1; 1024 * 1024]));
    }
}

/// Waits for ever, and does nothing else.
pub async fn hangs(cx: &mut Context, url: String) {
    note(cx, &url).await;
    std::future::pending().await
}

/// Computes for ever, and never awaits.
async fn spins(cx: &mut Context, url: String) {
    note(cx, &url).await;
    loop {
        std::hint::spin_loop();
    }
}

/// Waits for ever for a process that it has started.
async fn forks(cx: &mut Context, url: String) -> Result<(), BoxError> {
    let mut child = Command::new("sleep").arg("1000").spawn()?;
    let insert = "insert into ran values (0, 0, $1)";
    let pid = child.id() as i32;
    sql::connect(&url).await.execute(insert, &[&pid]).await?;
    note(cx, &url).await;
    child.wait()?;
    Ok(())
}

async fn listens(cx: &mut Context, url: String) -> Result<(), BoxError> {
    note(cx, &url).await;
    cx.cancellation().cancelled().await;
    Err(format!("told to stop: {:?}", cx.cancel_reason()).into())
}

/// Blocks its thread, whatever it is told.
async fn is_deaf(cx: &mut Context, url: String) {
    note(cx, &url).await;
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

async fn pid() -> Result<callboard::Outcome, BoxError> {
    callboard::Outcome::done_with(&std::process::id())
}

/// Counts the jobs of its process, up to this many.
async fn counts(most: u32) -> Result<callboard::Outcome, BoxError> {
    static COUNTED: AtomicU32 = AtomicU32::new(0);
    let counted = COUNTED.fetch_add(1, Ordering::Relaxed) + 1;
    assert!(counted <= most, "counted {counted}");
    callboard::Outcome::done_with(&counted)
}

/// What it finds in its context.
async fn meets(cx: &mut Context) -> Result<callboard::Outcome, BoxError> {
    callboard::Outcome::done_with(&serde_json::json!({
        "job": cx.job_id(), "attempt": cx.attempt(), "failures": cx.failures(), "last": cx.is_last_attempt(),
        "queue": cx.queue(), "worker": cx.worker(), "enqueued_at": cx.enqueued_at(), "node": cx.node().as_i64(),
        "time_left": cx.time_left().as_secs(), "kind": cx.kind(),
    }))
}

async fn asks_state(cx: &mut Context) -> Result<(), BoxError> {
    cx.state::<u32>()?;
    Ok(())
}

async fn asks_client(cx: &mut Context) -> Result<(), BoxError> {
    cx.client().enqueue(call!(pid())).await?;
    Ok(())
}

/// Writes its effect and its completion in one transaction.
async fn completes(cx: &mut Context, url: String) -> Result<(), BoxError> {
    let mut rows = sql::connect(&url).await;
    let transaction = rows.transaction().await?;
    transaction
        .execute("insert into gate values (1)", &[])
        .await?;
    cx.complete_in(&transaction).await?;
    Ok(transaction.commit().await?)
}

/// A node whose kinds run in isolates, but for one.
struct Isolating {
    board: Board,
    url: String,
    rows: Rows,
}

impl Isolating {
    /// One that runs these jobs in isolates, with the defaults.
    async fn with(handlers: impl IntoIterator<Item = Handler>) -> Self {
        let isolated = handlers
            .into_iter()
            .map(|handler| handler.isolated(isolation()));
        Self::over(|b| b.queue(queue()).functions(isolated.collect::<Vec<_>>())).await
    }

    async fn over(configure: impl FnOnce(Builder) -> Builder) -> Self {
        let (url, rows) = stage().await;
        let board = board_at(&url, configure).await;
        Self { board, url, rows }
    }

    async fn enqueue(&self, call: impl Into<Call>) -> JobId {
        self.board.client().enqueue(call).await.unwrap()
    }

    async fn ends(&self, id: JobId, state: JobState) -> JobInfo {
        until_state(self.board.client(), id, state).await
    }

    /// The message of a job's only attempt, which failed like this.
    async fn fails(&self, call: impl Into<Call>, kind: &str) -> String {
        let id = self.enqueue(call.into().max_attempts(1)).await;
        let job = self.ends(id, JobState::Dead).await;
        assert_eq!(job.errors.len(), 1, "{:?}", job.errors);
        assert_eq!(job.errors[0]["kind"], kind, "{:?}", job.errors);
        job.errors[0]["message"].as_str().unwrap().to_owned()
    }

    /// Waits until the handler of this many attempts has begun.
    async fn begun(&self, attempts: i64) {
        until_ran(&self.rows, attempts).await;
    }

    /// The processes that handlers have told of.
    async fn pids(&self) -> Vec<i32> {
        let rows = self.rows.query("select pid from ran", &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Waits until none of the processes is there any more that handlers have told of.
    async fn are_gone(&self) {
        let pids = self.pids().await;
        assert!(!pids.is_empty(), "no handler has begun");
        until_gone(&pids).await;
    }
}

/// Waits until none of these processes is there any more.
async fn until_gone(pids: &[i32]) {
    let is_there = |pid: &i32| std::path::Path::new(&format!("/proc/{pid}")).exists();
    eventually(&format!("{pids:?} are gone"), || async {
        (!pids.iter().any(is_there)).then_some(())
    })
    .await;
}

fn queue() -> Queue {
    Queue::new("default")
        .workers(2)
        .cancel_grace(Duration::from_millis(200))
}

fn quickly(call: impl Into<Call>) -> Call {
    call.into()
        .backoff(Backoff::constant(Duration::from_millis(10)))
}
