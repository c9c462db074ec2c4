//! How many statements the board's work takes: whatever else is fast, a round trip is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use callboard::testing::Proxy;
use callboard::{Board, BoxError, Client, Context, Queue, call, functions};
use futures_util::future::join_all;

use crate::support::{board_at, database_at, eventually, server, sharing, sql, sql::number};

const ENQUEUE: &str = "as given";
const CLAIM: &str = "set state = 'executing'";
const COMPLETE: &str = "'completed', queue, kind, errors from ended";
const SETTLE: &str = "as answer (id, attempt, verb";
const JOBS: u32 = 1_000;

type Runs = Arc<AtomicU32>;

async fn run(cx: &mut Context) -> Result<(), BoxError> {
    cx.state::<Runs>()?.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

/// A board behind a proxy that counts, with one job done, so that all is connected and prepared.
async fn warm_board(proxy: &Proxy, runs: &Runs) -> Board {
    // Claims are made when something is announced, and only then.
    let seldom = Duration::from_secs(60);
    let queue = Queue::new("default").workers(1).max_demand(JOBS);
    let queue = queue.poll_every(seldom);
    let board = board_at(proxy.url(), |board| {
        board.queue(sharing(queue, runs)).functions(functions![run])
    })
    .await;
    board.client().enqueue(call!(run())).await.unwrap();
    until_completed(&board, 1).await;
    board
}

async fn until_completed(board: &Board, jobs: u64) {
    eventually("all answers are written", || async {
        (board.counts().completed == jobs && board.counts().in_hand == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_jobs_take_a_handful_of_statements() {
    let url = server::fresh_database().await;
    let rows = sql::connect(&url).await;
    let (proxy, runs) = (Proxy::start(&url).unwrap(), Runs::default());
    let board = warm_board(&proxy, &runs).await;
    let sent = || [ENQUEUE, CLAIM, COMPLETE, SETTLE].map(|text| proxy.statements(text));
    let before = sent();

    // The first answers wait for the table; whatever is answered meanwhile goes together after that.
    let lock = "begin; lock table callboard.history, callboard.history_batches in share mode";
    rows.batch_execute(lock).await.unwrap();
    let calls = (0..JOBS).map(|_| call!(run()));
    board.client().enqueue_many(calls).await.unwrap();
    eventually("every job has run", || async {
        (runs.load(Ordering::SeqCst) == 1 + JOBS).then_some(())
    })
    .await;
    rows.batch_execute("commit").await.unwrap();
    until_completed(&board, 1 + u64::from(JOBS)).await;

    let after = sent();
    let [enqueues, claims, completions, others] = [0, 1, 2, 3].map(|n| after[n] - before[n]);
    assert_eq!((enqueues, others), (1, 0));
    // One may come back short, and what it did not see takes the next.
    assert!(claims <= 4, "{claims} claims");
    assert!(completions <= 2, "{completions} completions");
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_that_fits_into_a_statement_takes_one_round_trip() {
    let url = server::fresh_database().await;
    let proxy = Proxy::start(&url).unwrap();
    let client = Client::connect(database_at(proxy.url())).await.unwrap();
    client.enqueue_many([call!(run())]).await.unwrap();
    let calls = (0..JOBS).map(|_| call!(run()));
    client.enqueue_many(calls).await.unwrap();
    let sent = [ENQUEUE, "begin"].map(|text| proxy.statements(text));
    assert_eq!(sent, [2, 0], "without a transaction around it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_larger_bulk_takes_few_statements_in_a_transaction() {
    let url = server::fresh_database().await;
    let proxy = Proxy::start(&url).unwrap();
    let client = Client::connect(database_at(proxy.url())).await.unwrap();
    let calls = (0..9_001).map(|_| call!(run()));
    client.enqueue_many(calls).await.unwrap();
    let sent = [ENQUEUE, "begin"].map(|text| proxy.statements(text));
    assert_eq!(sent, [4, 1], "in one transaction");
}

/// That takes longer than to run what a board asks for.
#[tokio::test(flavor = "multi_thread")]
async fn every_connection_of_a_board_has_nothing_compiled() {
    let proxy = Proxy::start(&server::fresh_database().await).unwrap();
    let runs = Runs::default();
    let board = warm_board(&proxy, &runs).await;
    let (open, sent) = (proxy.connections(), proxy.statements("set jit = off"));
    assert!(open > 4 && sent >= open, "{sent} of {open}");
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn enqueues_at_the_same_moment_share_statements() {
    let url = server::fresh_database().await;
    let rows = sql::connect(&url).await;
    let proxy = Proxy::start(&url).unwrap();
    let client = Client::connect(database_at(proxy.url())).await.unwrap();
    client.enqueue(call!(run())).await.unwrap();
    let before = proxy.statements(ENQUEUE);

    // The first waits for the table, and the others gather behind it.
    let lock = "begin; lock table callboard.jobs in share mode";
    rows.batch_execute(lock).await.unwrap();
    let calls = join_all((0..JOBS).map(|_| client.enqueue(call!(run()))));
    let letting_go = async {
        let waiting = "select count(*) from pg_locks where not granted and relation = 'callboard.jobs'::regclass";
        eventually("the first waits", || async {
            (number(&rows, waiting).await == 1).then_some(())
        })
        .await;
        rows.batch_execute("commit").await.unwrap();
    };
    // All have called before the first look at who waits.
    let (enqueued, ()) = tokio::join!(calls, letting_go);
    assert!(enqueued.iter().all(Result::is_ok));
    let statements = proxy.statements(ENQUEUE) - before;
    assert!(statements <= 2, "{statements} statements");
}
