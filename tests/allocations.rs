//! How often a job allocates on its way from its row through a worker and back. What a batch can share is
//! not to be allocated for each job.
//!
//! A process of its own, since the allocator counts for all of it.

use std::alloc::System;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use callboard::testing::ThrowawayDatabase;
use callboard::{Board, Queue, call, functions};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio_postgres::{Client, NoTls};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Few enough that the ledger may be behind by all of them.
const JOBS: usize = 10_000;
/// What one job may take. It takes 4.2 to 4.6, by the number of statements that the jobs happen to share; one
/// more allocation for each job is beyond it. Lower it when a job takes less.
const MOST: f64 = 5.0;

static RUNS: AtomicUsize = AtomicUsize::new(0);

async fn nothing() {
    RUNS.fetch_add(1, Ordering::Relaxed);
}

async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let within = Duration::from_secs(120);
    tokio::time::timeout(within, waiting).await.unwrap();
}

async fn connect(database: &ThrowawayDatabase) -> Client {
    let (client, connection) = tokio_postgres::connect(database.url(), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

/// Runs jobs that become visible all at once, and answers for them when all have run: so the batches are
/// large, and the same each time.
async fn drain(board: &Board, jobs: &Client, lock: &Client) {
    let (ran, completed) = (RUNS.load(Ordering::Relaxed), board.counts().completed);
    let hold = "begin; lock table callboard.history, callboard.history_batches in share mode";
    lock.batch_execute(hold).await.unwrap();
    jobs.batch_execute("commit").await.unwrap();
    board.client().wake("default");
    until(|| RUNS.load(Ordering::Relaxed) == ran + JOBS).await;
    lock.batch_execute("commit").await.unwrap();
    until(|| board.counts().completed == completed + JOBS as u64).await;
}

async fn enqueue_unseen(board: &Board, jobs: &Client) {
    jobs.batch_execute("begin").await.unwrap();
    let calls = (0..JOBS).map(|_| call!(nothing()));
    let enqueued = board.client().enqueue_many_in(jobs, calls).await;
    enqueued.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_allocates_no_more_than_it_did() {
    let database = ThrowawayDatabase::create().await.unwrap();
    let (jobs, lock) = (connect(&database).await, connect(&database).await);
    let queue = Queue::new("default").workers(2).max_demand(1_000);
    let board = Board::builder(database.database().clone())
        .queue(queue)
        .functions(functions![nothing])
        .start()
        .await
        .unwrap();
    // The first time it connects, prepares, and gets its memory.
    enqueue_unseen(&board, &jobs).await;
    drain(&board, &jobs, &lock).await;

    enqueue_unseen(&board, &jobs).await;
    let region = Region::new(ALLOCATOR);
    drain(&board, &jobs, &lock).await;
    let taken = region.change();
    let each = (taken.allocations + taken.reallocations) as f64 / JOBS as f64;
    println!("{each:.2} allocations a job");
    assert!(each <= MOST, "{each:.2} allocations a job");
    board.shutdown().await.unwrap();
}
