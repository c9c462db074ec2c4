//! Processes that share one board: its jobs, its wake-ups, its migrations.

use std::time::{Duration, Instant};

use callboard::{Board, Client, JobState, call};

use crate::support::acts::{note, stage};
use crate::support::child::Plan;
use crate::support::{database_at, eventually, server, sql, sql::number, until_state};

/// So long that no test waits for a poll.
const HARDLY_EVER: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_a_queue_and_run_every_job_once() {
    const JOBS: i64 = 2_000;
    let (url, rows) = stage().await;
    let plan = Plan {
        workers: 5,
        ..Plan::new(&url)
    };
    let _nodes = [plan.spawn().await, plan.spawn().await];
    let client = Client::connect(database_at(&url)).await.unwrap();
    let calls = (0..JOBS).map(|_| call!(note()));
    client.enqueue_many(calls).await.unwrap();
    eventually("all jobs are completed", || async {
        let completed = "select count(*) from callboard.finished_jobs where state = 'completed'";
        (number(&rows, completed).await == JOBS).then_some(())
    })
    .await;
    assert_eq!(number(&rows, "select count(*) from ran").await, JOBS);
    let distinct = number(&rows, "select count(distinct job) from ran").await;
    assert_eq!(distinct, JOBS);
    let processes = number(&rows, "select count(distinct pid) from ran").await;
    assert_eq!(processes, 2, "both took part");
}

/// Enqueues jobs one after the other, each to a queue that rests, and waits for each.
async fn all_run_soon(client: &Client) {
    for _ in 0..5 {
        let enqueued_at = Instant::now();
        let id = client.enqueue(call!(note())).await.unwrap();
        until_state(client, id, JobState::Completed).await;
        assert!(enqueued_at.elapsed() < SOON, "{:?}", enqueued_at.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enqueue_wakes_another_process() {
    let (url, _rows) = stage().await;
    let plan = Plan {
        poll_every: HARDLY_EVER,
        ..Plan::new(&url)
    };
    let _node = plan.spawn().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    all_run_soon(&client).await;
}

/// The server's processes that listen for this database.
async fn listeners(rows: &tokio_postgres::Client) -> Vec<i32> {
    let query = "select pid from pg_stat_activity \
                 where datname = current_database() and query ilike 'listen %'";
    let found = rows.query(query, &[]).await.unwrap();
    found.iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notifier_that_lost_its_connection_listens_again() {
    let (url, rows) = stage().await;
    let plan = Plan {
        poll_every: HARDLY_EVER,
        ..Plan::new(&url)
    };
    let board = plan.start().await;
    let listening = || async { listeners(&rows).await.first().copied() };
    let lost = eventually("the board listens", listening).await;
    rows.execute("select pg_terminate_backend($1)", &[&lost])
        .await
        .unwrap();
    eventually("the board listens again", || async {
        listeners(&rows)
            .await
            .first()
            .filter(|pid| **pid != lost)
            .copied()
    })
    .await;
    // By another client, since the board's own wakes it without a notification.
    let client = Client::connect(database_at(&url)).await.unwrap();
    all_run_soon(&client).await;
    board.shutdown().await.unwrap();
}

/// Puts a job on the board without a word to anybody: a copy of one that nobody serves.
async fn enqueue_silently(board: &Board, rows: &tokio_postgres::Client) {
    let unserved = call!(note()).queue("unserved");
    board.client().enqueue(unserved).await.unwrap();
    let copy = "insert into callboard.jobs \
                       (args_fingerprint, args_version, priority, state, queue, kind, args) \
                select args_fingerprint, args_version, priority, state, 'default', kind, args \
                  from callboard.jobs where queue = 'unserved' limit 1";
    rows.execute(copy, &[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_poll_finds_what_nobody_announced() {
    let (url, rows) = stage().await;
    let board = Plan::new(&url).start().await;
    for silent in 1..=3 {
        enqueue_silently(&board, &rows).await;
        eventually("the silent job runs", || async {
            (board.counts().completed == silent).then_some(())
        })
        .await;
    }
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn six_processes_migrate_an_empty_database_at_once() {
    let url = server::empty_database().await;
    let rows = sql::connect(&url).await;
    // They all wait for the lock that this session has, and go on at once when it is let go.
    let lock = "select pg_advisory_lock(4843527210917)";
    rows.execute(lock, &[]).await.unwrap();
    let plan = Plan {
        is_migrating_only: true,
        ..Plan::new(&url)
    };
    let mut nodes: Vec<_> = (0..6).map(|_| plan.spawn_unready()).collect();
    eventually("six processes wait to migrate", || async {
        let waiting = "select count(*) from pg_locks \
                       where locktype = 'advisory' and not granted \
                         and database = (select oid from pg_database \
                                          where datname = current_database())";
        (number(&rows, waiting).await == 6).then_some(())
    })
    .await;
    let unlock = "select pg_advisory_unlock(4843527210917)";
    rows.execute(unlock, &[]).await.unwrap();
    for node in &mut nodes {
        let status = node.ended().await;
        assert!(status.success(), "{status}");
    }
    let migrations = "select count(*) from callboard.__diesel_schema_migrations";
    assert!(number(&rows, migrations).await >= 1);
    // What they made is what a board needs.
    let board = Board::builder(database_at(&url)).without_migrations();
    board.start().await.unwrap().shutdown().await.unwrap();
}
