//! A network between the board and its database that refuses, falls silent, or leads to a server that takes no
//! writes: a state of the board, never a crash, and no wait without an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use callboard::queue::Condition;
use callboard::store::DeadFilter;
use callboard::testing::Proxy;
use callboard::{Board, BoxError, Client, Context, Database, Error, JobId, Queue, call, functions};
use tokio::sync::Semaphore;

use crate::support::tree::restarts;
use crate::support::{database_at, eventually, server, sharing, sql, sql::number, until_confirmed};

/// No call on a half-open connection takes longer; the sum of all its time limits is some seconds.
const LIMIT: Duration = Duration::from_secs(60);

/// What handlers and tests share: how many attempts began, and how many may end.
#[derive(Clone)]
struct Runs {
    begun: Arc<AtomicU32>,
    gate: Arc<Semaphore>,
}

impl Runs {
    fn new() -> Self {
        Self {
            begun: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    async fn until_begun(&self, runs: u32) {
        eventually("attempts have begun", || async {
            (self.begun.load(Ordering::SeqCst) >= runs).then_some(())
        })
        .await;
    }
}

async fn run(cx: &mut Context) -> Result<(), BoxError> {
    let runs = cx.state::<Runs>()?;
    runs.begun.fetch_add(1, Ordering::SeqCst);
    runs.gate.acquire().await?.forget();
    Ok(())
}

fn impatient(url: &str) -> Database {
    database_at(url)
        .connect_timeout(Duration::from_secs(4))
        .statement_timeout(Duration::from_secs(2))
}

/// A board whose every connection goes through `proxy`.
async fn board_behind(proxy: &Proxy, runs: &Runs) -> Board {
    Board::builder(impatient(proxy.url()))
        .queue(sharing(Queue::new("default").workers(4), runs))
        .functions(functions![run])
        .start()
        .await
        .unwrap()
}

fn is_degraded(board: &Board, role: &str) -> bool {
    let health = board.health();
    matches!(health.parts.get(role), Some(Condition::Degraded { .. }))
}

async fn until_degraded(board: &Board, roles: &[&str]) {
    for role in roles {
        eventually(&format!("{role} is degraded"), || async {
            is_degraded(board, role).then_some(())
        })
        .await;
    }
}

async fn until_working(board: &Board) {
    let working = async {
        while !board.health().is_working() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let works = tokio::time::timeout(Duration::from_secs(20), working).await;
    works.unwrap_or_else(|_| panic!("the board does not work: {}", board.health()));
}

/// Every job ran and was completed once, and no actor died of the trouble.
async fn each_completed_once(board: &Board, url: &str, runs: &Runs, jobs: u32) {
    let rows = sql::connect(url).await;
    eventually("all jobs are completed", || async {
        let completed = "select count(*) from callboard.finished_jobs where state = 'completed'";
        (number(&rows, completed).await == i64::from(jobs)).then_some(())
    })
    .await;
    until_confirmed(board).await;
    let distinct = "select count(distinct id) from callboard.finished_jobs";
    assert_eq!(number(&rows, distinct).await, i64::from(jobs));
    assert_eq!(
        number(&rows, "select count(*) from callboard.jobs").await,
        0
    );
    assert_eq!(runs.begun.load(Ordering::SeqCst), jobs);
    assert_eq!(board.counts().refused, 0);
    assert_eq!(restarts(board, &[]), 0);
}

async fn enqueue(board: &Board, jobs: u32) -> Vec<JobId> {
    let calls = (0..jobs).map(|_| call!(run()));
    board.client().enqueue_many(calls).await.unwrap()
}

const CONNECTED: [&str; 6] = [
    "ledger",
    "fetcher of default",
    "scheduler",
    "rescuer",
    "liveness",
    "notifier",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_board_whose_connections_are_refused_backs_off_and_resumes() {
    let url = server::fresh_database().await;
    let (proxy, runs) = (Proxy::start(&url).unwrap(), Runs::new());
    let board = board_behind(&proxy, &runs).await;
    until_working(&board).await;
    enqueue(&board, 40).await;
    runs.until_begun(4).await;
    proxy.refuse();
    proxy.cut();
    // They end while nobody can write it down.
    runs.gate.add_permits(40);
    // Every part has come to its longest pause, and stays with it.
    let (began, before) = (Instant::now(), proxy.refused_connections());
    eventually("many connections are refused", || async {
        (proxy.refused_connections() >= before + 80).then_some(())
    })
    .await;
    assert!(began.elapsed() > Duration::from_secs(1), "nobody pauses");
    until_degraded(&board, &CONNECTED).await;
    let error = board.client().enqueue(call!(run())).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    proxy.accept();
    until_working(&board).await;
    each_completed_once(&board, &url, &runs, 40).await;
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_whose_server_takes_no_writes_goes_on_when_it_does_again() {
    let url = server::fresh_database().await;
    let runs = Runs::new();
    let board = Board::builder(database_at(&url))
        .queue(sharing(Queue::new("default").workers(4), &runs))
        .functions(functions![run])
        .start()
        .await
        .unwrap();
    until_working(&board).await;
    enqueue(&board, 40).await;
    runs.until_begun(4).await;
    let name = url.rsplit('/').next().unwrap();
    let others = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                  where datname = current_database() and pid <> pg_backend_pid()";
    let read_only =
        format!("alter database {name} set default_transaction_read_only = on; {others}");
    server::sql(&url, &read_only).await;
    runs.gate.add_permits(40);
    until_degraded(&board, &["ledger", "fetcher of default", "scheduler"]).await;
    let health = board.health().to_string();
    assert!(health.contains("the server is read-only"), "{health}");
    let error = board.client().enqueue(call!(run())).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    // Nobody ends its sessions now: they are given up by themselves.
    let writes = format!(
        "begin read write; alter database {name} set default_transaction_read_only = off; commit"
    );
    server::sql(&url, &writes).await;
    until_working(&board).await;
    each_completed_once(&board, &url, &runs, 40).await;
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_are_noticed_and_work_goes_on_over_new_ones() {
    let url = server::fresh_database().await;
    let (proxy, runs) = (Proxy::start(&url).unwrap(), Runs::new());
    let board = board_behind(&proxy, &runs).await;
    until_working(&board).await;
    enqueue(&board, 40).await;
    runs.until_begun(4).await;
    proxy.freeze();
    runs.gate.add_permits(40);
    until_degraded(&board, &CONNECTED).await;
    // What was open stays silent for ever; only connections made from now on are of use.
    proxy.thaw();
    until_working(&board).await;
    each_completed_once(&board, &url, &runs, 40).await;
    board.shutdown().await.unwrap();
}

async fn ends<T>(what: &str, asking: impl Future<Output = Result<T, Error>>) {
    let answer = tokio::time::timeout(LIMIT, asking).await;
    let answer = answer.unwrap_or_else(|_| panic!("{what} waits without an end"));
    let error = answer.err().unwrap_or_else(|| panic!("{what} answers"));
    assert!(
        error.is_unreachable() || error.is_database(),
        "{what}: {error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_question_on_a_half_open_connection_waits_without_an_end() {
    let url = server::fresh_database().await;
    let proxy = Proxy::start(&url).unwrap();
    let client = Client::connect(impatient(proxy.url())).await.unwrap();
    let id = client.enqueue(call!(run())).await.unwrap();
    proxy.freeze();
    let (database, all) = (impatient(proxy.url()), DeadFilter::all());
    // More at once than there are connections, so some wait for one to be free.
    for _ in 0..2 {
        tokio::join!(
            ends("enqueue", client.enqueue(call!(run()))),
            ends("enqueue_many", client.enqueue_many([call!(run())])),
            ends("cancel", client.cancel(id)),
            ends("requeue", client.requeue(id)),
            ends("requeue_all", client.requeue_all(all.clone())),
            ends("dead_letters", client.dead_letters(all.clone(), 9)),
            ends("job", client.job(id)),
            ends("queues", client.queues()),
            ends("Database::connect", database.connect()),
            ends("Database::migrate", database.migrate()),
            ends("Client::connect", Client::connect(database.clone())),
            ends("Board::start", Board::builder(database.clone()).start()),
        );
    }
    proxy.thaw();
    let answered = tokio::time::timeout(LIMIT, client.queues()).await;
    answered.expect("the pool serves again").unwrap();
}

/// The network falls silent at one step of a start after the other.
#[tokio::test(flavor = "multi_thread")]
async fn no_start_on_a_connection_that_falls_silent_half_way_waits_without_an_end() {
    let starts = (0..20).map(|step| {
        tokio::spawn(async move {
            let url = server::empty_database().await;
            let proxy = Proxy::start(&url).unwrap();
            proxy.delay(Duration::from_millis(100));
            let database = database_at(proxy.url())
                .connect_timeout(Duration::from_secs(1))
                .statement_timeout(Duration::from_millis(250));
            let starting = Board::builder(database).start();
            let starting = tokio::spawn(tokio::time::timeout(2 * LIMIT, starting));
            tokio::time::sleep(Duration::from_millis(50 + 100 * step)).await;
            proxy.freeze();
            let ended = starting.await.unwrap();
            let Ok(board) = ended.unwrap_or_else(|_| panic!("a start hangs at step {step}")) else {
                return;
            };
            // It was quicker. Then its parts have to notice.
            let parts = ["notifier", "liveness", "scheduler"];
            until_degraded(&board, &parts).await;
            proxy.thaw();
            board.shutdown().await.unwrap();
        })
    });
    for start in starts.collect::<Vec<_>>() {
        start.await.unwrap();
    }
}
