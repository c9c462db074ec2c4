//! The database goes away and comes back: the board keeps running, and no job is lost.

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use callboard::queue::{Condition, Express};
use callboard::store::embedded::Embedded;
use callboard::{Board, BoxError, Context, JobId, Queue, call, functions};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::Semaphore;

use crate::support::tree::restarts;
use crate::support::{board_at, eventually, server, sharing, sql, sql::number, until_confirmed};

/// A server of the test's own, which can be stopped and started again with its data.
struct OwnServer {
    folder: PathBuf,
    port: u16,
}

impl OwnServer {
    fn new(name: &str) -> Self {
        let folder = format!("callboard-{name}-{}", std::process::id());
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            folder: std::env::temp_dir().join(folder),
            port: free.local_addr().unwrap().port(),
        }
    }

    async fn start(&self) -> Embedded {
        let server = Embedded::builder().data_dir(&self.folder).port(self.port);
        let server = server.start().await.unwrap();
        assert_eq!(server.port(), self.port, "somebody took the port meanwhile");
        server
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // A folder left behind spoils no other test.
        let _kept = std::fs::remove_dir_all(&self.folder);
    }
}

/// What handlers and the test share: a gate, and which attempts of which jobs began.
#[derive(Clone)]
struct Shared {
    gate: Arc<Semaphore>,
    begun: Arc<Mutex<HashMap<JobId, Vec<i32>>>>,
}

impl Shared {
    fn new() -> Self {
        Self {
            gate: Arc::new(Semaphore::new(0)),
            begun: Arc::default(),
        }
    }

    /// The attempts that began, by job.
    fn begun(&self) -> HashMap<JobId, Vec<i32>> {
        self.begun.lock().unwrap().clone()
    }
}

async fn through_the_gate(cx: &mut Context) -> Result<(), BoxError> {
    let (job, attempt) = (cx.job_id(), cx.attempt().as_i32());
    let shared = cx.state::<Shared>()?;
    shared
        .begun
        .lock()
        .unwrap()
        .entry(job)
        .or_default()
        .push(attempt);
    shared.gate.acquire().await?.forget();
    tokio::time::sleep(Duration::from_millis(3)).await;
    Ok(())
}

async fn gated_board(url: &str, shared: &Shared, queue: Queue) -> Board {
    board_at(url, |b| {
        b.queue(sharing(queue, shared))
            .functions(functions![through_the_gate])
    })
    .await
}

fn queue(workers: u32) -> Queue {
    Queue::new("default").workers(workers)
}

async fn until_working(board: &Board) {
    let working = || async { board.health().is_working().then_some(()) };
    eventually("the board works", working).await;
}

/// Waits until no job is left, as long as there are fewer all the time.
async fn until_all_ended(rows: &tokio_postgres::Client) {
    let unfinished = "select count(*) from callboard.jobs";
    let mut left = number(rows, unfinished).await;
    while left > 0 {
        left = eventually("some of them end", || async {
            let now = number(rows, unfinished).await;
            (now < left).then_some(now)
        })
        .await;
    }
}

/// Every job is in the history once, and nothing is left on the board or in this node's hands.
async fn each_completed_once(board: &Board, rows: &tokio_postgres::Client, jobs: i64) {
    until_confirmed(board).await;
    assert_eq!(number(rows, "select count(*) from callboard.jobs").await, 0);
    let completed = "select count(*) from callboard.finished_jobs where state = 'completed'";
    assert_eq!(number(rows, completed).await, jobs);
    let distinct = "select count(distinct id) from callboard.finished_jobs";
    assert_eq!(number(rows, distinct).await, jobs);
    let dead = "select count(*) from callboard.dead_letters";
    assert_eq!(number(rows, dead).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_outlives_its_database_and_resumes_when_it_is_back() {
    let own = OwnServer::new("outage");
    let database = own.start().await;
    let (url, shared) = (database.url().to_owned(), Shared::new());
    let board = gated_board(&url, &shared, queue(4)).await;
    let calls = (0..24).map(|_| call!(through_the_gate()));
    board.client().enqueue_many(calls).await.unwrap();
    let running = || async { (shared.begun().len() == 4).then_some(()) };
    eventually("four jobs run", running).await;
    until_working(&board).await;

    database.stop().await.unwrap();
    // They end while there is nobody to write it down.
    shared.gate.add_permits(24);
    for role in [
        "ledger",
        "fetcher of default",
        "notifier",
        "rescuer",
        "liveness",
    ] {
        eventually(&format!("{role} is degraded"), || async {
            let health = board.health();
            let condition = health.parts.get(role)?;
            matches!(condition, Condition::Degraded { .. }).then_some(())
        })
        .await;
    }
    let health = board.health();
    assert!(health.is_running && !health.is_working(), "{health}");
    let refused = board.client().enqueue(call!(through_the_gate())).await;
    assert!(refused.unwrap_err().is_unreachable());
    assert_eq!(board.counts().completed, 0);

    let _database = own.start().await;
    let back_at = Instant::now();
    let completed = |jobs| {
        let counts = board.counts();
        async move { (counts.completed >= jobs).then_some(()) }
    };
    eventually("work resumes", || completed(1)).await;
    // Half a second where nothing else keeps the machine busy.
    let resumed_after = back_at.elapsed();
    assert!(resumed_after < Duration::from_secs(5), "{resumed_after:?}");
    eventually("all jobs are completed", || completed(24)).await;
    until_working(&board).await;
    let rows = sql::connect(&url).await;
    each_completed_once(&board, &rows, 24).await;
    let begun = shared.begun();
    assert_eq!(begun.len(), 24);
    assert!(begun.values().all(|attempts| attempts == &[1]), "{begun:?}");
    assert_eq!(board.counts().refused, 0);
    assert_eq!(restarts(&board, &[]), 0);
    board.shutdown().await.unwrap();
}

async fn cut_off_again_and_again(queue: Queue) -> Shared {
    const JOBS: i64 = 3_000;
    let url = server::fresh_database().await;
    let shared = Shared::new();
    let board = gated_board(&url, &shared, queue).await;
    let calls = (0..JOBS).map(|_| call!(through_the_gate()));
    board.client().enqueue_many(calls).await.unwrap();
    let rows = sql::connect(&url).await;
    let cut_off = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                   where datname = current_database() and pid <> pg_backend_pid()";
    for _ in 0..20 {
        // Jobs begin and end before, while and after the sessions end.
        let completed = board.counts().completed;
        shared.gate.add_permits(JOBS as usize / 20);
        eventually("it goes on", || async {
            (board.counts().completed >= completed + 50).then_some(())
        })
        .await;
        assert!(number(&rows, cut_off).await > 0, "there are sessions");
    }
    // What a cut has taken back runs again.
    shared.gate.add_permits(2 * JOBS as usize);
    until_all_ended(&rows).await;
    each_completed_once(&board, &rows, JOBS).await;
    assert_eq!(shared.begun().len() as i64, JOBS);
    let deaths = "select count(*) from callboard.finished_jobs where errors @> '[{\"kind\": \"process_died\"}]'";
    assert_eq!(number(&rows, deaths).await, 0);
    until_working(&board).await;
    assert_eq!(restarts(&board, &[]), 0);
    board.shutdown().await.unwrap();
    shared
}

#[tokio::test(flavor = "multi_thread")]
async fn no_job_is_lost_however_often_all_sessions_are_cut_off() {
    let shared = cut_off_again_and_again(queue(10)).await;
    for (job, attempts) in shared.begun() {
        let grows = attempts.is_sorted_by(|earlier, later| earlier < later);
        assert!(grows, "job {job} ran as {attempts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_job_of_the_express_lane_is_lost_however_often_all_sessions_are_cut_off() {
    // An attempt that the cut has taken back is made again.
    cut_off_again_and_again(queue(10).express(Express::new())).await;
}

/// Ends the server as a crash of its machine does: nothing is written that was not written yet.
async fn crash(rows: &tokio_postgres::Client, server: Embedded) {
    let postmaster = "select split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::bigint";
    let pid = number(rows, postmaster).await;
    let pid = Pid::from_raw(pid as i32).unwrap();
    kill_process(pid, Signal::QUIT).unwrap();
    // It has ended already, though not as it was asked.
    let _ended = server.stop().await;
}

async fn crash_again_and_again(name: &str, queue: Queue) {
    const JOBS: i64 = 1_000;
    let own = OwnServer::new(name);
    let mut server = own.start().await;
    let (url, shared) = (server.url().to_owned(), Shared::new());
    let board = gated_board(&url, &shared, queue).await;
    let calls = (0..JOBS).map(|_| call!(through_the_gate()));
    board.client().enqueue_many(calls).await.unwrap();
    for _ in 0..4 {
        let completed = board.counts().completed;
        shared.gate.add_permits(JOBS as usize / 5);
        eventually("it goes on", || async {
            (board.counts().completed >= completed + 50).then_some(())
        })
        .await;
        let rows = sql::connect(&url).await;
        crash(&rows, server).await;
        server = own.start().await;
    }
    // A claim that the crash took back may have been used, so more may run than there are jobs.
    shared.gate.add_permits(2 * JOBS as usize);
    let rows = sql::connect(&url).await;
    until_all_ended(&rows).await;
    each_completed_once(&board, &rows, JOBS).await;
    for (job, attempts) in shared.begun() {
        assert!(attempts.is_sorted(), "job {job} ran as {attempts:?}");
    }
    until_working(&board).await;
    assert_eq!(restarts(&board, &[]), 0);
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_job_is_lost_when_the_server_crashes_again_and_again() {
    crash_again_and_again("crash", queue(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_job_of_the_express_lane_is_lost_when_the_server_crashes_again_and_again() {
    crash_again_and_again("express-crash", queue(10).express(Express::new())).await;
}
