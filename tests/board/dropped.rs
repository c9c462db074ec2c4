//! Whoever asks the database may be cut off at any await: nothing is left open, nothing is half done, and the
//! connections serve again.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use callboard::job::Backoff;
use callboard::store::DeadFilter;
use callboard::{Board, BoxError, Client, Error, JobId, Queue, call, functions};

use crate::support::{board_at, database_at, eventually, server, sql, sql::number};

/// More polls than any of the futures here needs.
const ENOUGH: usize = 200;

async fn fine() {}

/// Polls a future so many times and drops it then. `None`: it was not done.
async fn cut_off<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// How many migrations there are.
fn migrations() -> i64 {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.filter(|entry| entry.path().is_dir()).count() as i64
}

/// What a test looks at the database with.
struct Beside(tokio_postgres::Client);

impl Beside {
    async fn at(url: &str) -> Self {
        Self(sql::connect(url).await)
    }

    /// No session runs or has an open transaction, beside this one.
    async fn until_idle(&self) {
        let open = "select count(*) from pg_stat_activity \
                    where datname = current_database() and backend_type = 'client backend' \
                      and pid <> pg_backend_pid() and state <> 'idle'";
        eventually("no transaction is open", || async {
            (number(&self.0, open).await == 0).then_some(())
        })
        .await;
    }

    async fn count(&self, query: &str) -> i64 {
        number(&self.0, query).await
    }
}

/// Cuts off `ask` after one poll, two, and so on until it is done, on a client with connections and on one
/// without; `holds` is checked after each.
async fn at_each_await<T>(
    url: &str,
    what: &str,
    ask: impl AsyncFn(&Client) -> Result<T, Error>,
    holds: impl AsyncFn(&Beside),
) {
    let beside = Beside::at(url).await;
    let warm = Client::connect(database_at(url).client_connections(1)).await;
    let warm = warm.unwrap();
    for is_warm in [true, false] {
        let mut is_done = false;
        for polls in 1..ENOUGH {
            let cold = Client::connect(database_at(url).client_connections(1));
            let client = if is_warm { &warm } else { &cold.await.unwrap() };
            if is_warm {
                // A connection is there, and free: it serves again after what was cut off before.
                let serves = tokio::time::timeout(Duration::from_secs(20), client.queues());
                serves.await.expect("the pool serves").unwrap();
            }
            let answer = cut_off(polls, ask(client)).await;
            beside.until_idle().await;
            holds(&beside).await;
            if let Some(answer) = answer {
                answer.unwrap_or_else(|error| panic!("{what}: {error}"));
                is_done = true;
                break;
            }
        }
        assert!(is_done, "{what} takes more than {ENOUGH} polls");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enqueue_cut_off_at_any_await_is_whole_or_nothing() {
    let url = server::fresh_database().await;
    let nothing = async |_: &Beside| {};
    let one = async |client: &Client| client.enqueue(call!(fine())).await;
    at_each_await(&url, "enqueue", one, nothing).await;
    server::sql(&url, "delete from callboard.jobs").await;
    let many = async |client: &Client| client.enqueue_many((0..3).map(|_| call!(fine()))).await;
    let by_three = async |beside: &Beside| {
        let jobs = beside.count("select count(*) from callboard.jobs").await;
        assert_eq!(jobs % 3, 0, "part of a bulk was kept");
    };
    // A single enqueue of before may still be on its way, in a task of its own.
    eventually("no single enqueue is on its way", || async {
        let jobs = Beside::at(&url).await;
        (jobs.count("select count(*) from callboard.jobs").await == 0).then_some(())
    })
    .await;
    at_each_await(&url, "enqueue_many", many, by_three).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_cut_off_at_any_await_leaves_its_connection_fit_or_closed() {
    let url = server::fresh_database().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let id = client.enqueue(call!(fine())).await.unwrap();
    let nothing = async |_: &Beside| {};
    at_each_await(&url, "job", async |c: &Client| c.job(id).await, nothing).await;
    at_each_await(&url, "queues", async |c: &Client| c.queues().await, nothing).await;
    let dead = async |c: &Client| c.dead_letters(DeadFilter::all(), 10).await;
    at_each_await(&url, "dead_letters", dead, nothing).await;
}

/// Every job is in one place.
async fn each_in_one_place(beside: &Beside, jobs: i64) {
    let places = "select count(*) from (select id from callboard.jobs union all \
                  select id from callboard.finished_jobs union all select id from callboard.dead_letters) as place";
    assert_eq!(beside.count(places).await, jobs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_or_requeue_cut_off_at_any_await_leaves_each_job_in_one_place() {
    let url = server::fresh_database().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let calls = (0..2 * ENOUGH).map(|_| call!(fine()).run_in(Duration::from_secs(3600)));
    let ids: Vec<JobId> = client.enqueue_many(calls).await.unwrap();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let cancel = async |client: &Client| {
        let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        client.cancel(ids[index]).await
    };
    let jobs = ids.len() as i64;
    let whole = async |beside: &Beside| each_in_one_place(beside, jobs).await;
    at_each_await(&url, "cancel", cancel, whole).await;

    let bury = "with gone as (delete from callboard.jobs returning *) \
                insert into callboard.dead_letters (id, args_fingerprint, enqueued_at, attempt, failures, deaths, \
                       args_version, priority, reason, queue, kind, errors, diagnostics, args) \
                select id, args_fingerprint, enqueued_at, 1, 1, 0, args_version, priority, 'exhausted', queue, \
                       kind, '[]', '{}', args from gone";
    server::sql(&url, bury).await;
    let requeue = async |client: &Client| client.requeue_all(DeadFilter::all()).await;
    at_each_await(&url, "requeue_all", requeue, whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_cut_off_at_any_await_is_whole_or_nothing() {
    let url = server::empty_database().await;
    let beside = Beside::at(&url).await;
    let tables = "select count(*) from pg_tables where schemaname = 'callboard'";
    let mut polls = 1;
    loop {
        let done = cut_off(polls, database_at(&url).migrate()).await;
        beside.until_idle().await;
        let made = beside.count(tables).await;
        if let Some(done) = done {
            done.unwrap();
            break;
        }
        // The commit may have been under way.
        let is_whole = made > 0;
        assert!(polls < ENOUGH, "a migration takes more than {ENOUGH} polls");
        if is_whole {
            server::sql(&url, "drop schema callboard cascade").await;
        }
        polls += 1;
    }
    let recorded = "select count(*) from callboard.__diesel_schema_migrations";
    assert_eq!(beside.count(recorded).await, migrations());
    let board = Board::builder(database_at(&url)).without_migrations();
    board.start().await.unwrap().shutdown().await.unwrap();
}

async fn work() -> Result<(), BoxError> {
    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..4))).await;
    match fastrand::u8(0..8) {
        0 => Err("as it happens".into()),
        _ => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn actors_killed_at_random_awaits_leave_nothing_open_and_no_job_behind() {
    const JOBS: u32 = 600;
    const CONNECTIONS: i64 = 1 + 3 + 1 + 4 + 2;
    let url = server::fresh_database().await;
    let board = board_at(&url, |b| {
        b.queue(
            Queue::new("default")
                .workers(4)
                .poll_every(Duration::from_millis(100)),
        )
        .sweep_every(Duration::from_millis(100))
        .functions(functions![work])
    })
    .await;
    let calls = (0..JOBS).map(|n| {
        let call = call!(work()).max_attempts(1_000);
        let call = call.backoff(Backoff::constant(Duration::from_millis(20)));
        match n % 3 {
            0 => call.run_in(Duration::from_millis(u64::from(n))),
            _ => call,
        }
    });
    board.client().enqueue_many(calls).await.unwrap();
    let places: [&[&str]; 7] = [
        &["queues", "default", "fetcher"],
        &["queues", "default", "workers", "worker-1"],
        &["queues", "default"],
        &["ledger"],
        &["scheduler"],
        &["rescuer"],
        &["liveness"],
    ];
    let beside = Beside::at(&url).await;
    let finished = "select count(*) from callboard.finished_jobs";
    let mut kills = 0;
    while kills < 200 || beside.count(finished).await < i64::from(JOBS) {
        // Chosen among all awaits by the time that passes.
        tokio::time::sleep(Duration::from_micros(fastrand::u64(0..4_000))).await;
        let place = places[kills % places.len()];
        if kills >= 600 {
            break;
        }
        let tree = board.supervisor().snapshot();
        if let Some(actor) = tree.find(place).and_then(|found| found.info.actor.clone()) {
            actor.kill();
        }
        kills += 1;
    }
    eventually("every job ends", || async {
        (beside.count("select count(*) from callboard.jobs").await == 0).then_some(())
    })
    .await;
    let completed =
        "select count(distinct id) from callboard.finished_jobs where state = 'completed'";
    assert_eq!(beside.count(completed).await, i64::from(JOBS));
    assert_eq!(beside.count(finished).await, i64::from(JOBS));
    eventually("everything is answered", || async {
        (board.counts().in_hand == 0 && board.health().is_working()).then_some(())
    })
    .await;
    beside.until_idle().await;
    let sessions = "select count(*) from pg_stat_activity \
                    where datname = current_database() and application_name = 'callboard'";
    eventually("no connection is left over", || async {
        (beside.count(sessions).await <= CONNECTIONS).then_some(())
    })
    .await;
    let id = board.client().enqueue(call!(fine()));
    id.await.unwrap();
    board.shutdown().await.unwrap();
}
