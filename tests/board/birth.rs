//! Jobs that are claimed as they are enqueued, since workers of this process wait for them: without a claim,
//! in order, and never lost on their way into its hands.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use callboard::queue::AtBirth;
use callboard::supervision::ChildStatus;
use callboard::testing::Proxy;
use callboard::{
    Board, BoxError, Call, Client, Context, Database, JobId, JobState, Queue, call, functions,
};
use tokio::sync::Semaphore;

use crate::support::tree::kill;
use crate::support::{database_at, eventually, server, sharing, sql, sql::number, until_state};

/// What an enqueue sends when it borrows asks.
const BIRTH: &str = "is_wanted";
const CLAIM: &str = "set state = 'executing'";
const NOTIFY: &str = "pg_notify";
const WORKERS: u32 = 4;

/// What handlers and tests share.
#[derive(Clone)]
struct Shared {
    begun: Arc<AtomicU32>,
    order: Arc<Mutex<Vec<JobId>>>,
    gate: Arc<Semaphore>,
}

async fn run(cx: &mut Context) -> Result<(), BoxError> {
    let id = cx.job_id();
    let shared = cx.state::<Shared>()?;
    shared.begun.fetch_add(1, Ordering::SeqCst);
    shared.order.lock().unwrap().push(id);
    Ok(())
}

async fn wait(cx: &mut Context) -> Result<(), BoxError> {
    run(cx).await?;
    cx.state::<Shared>()?.gate.acquire().await?.forget();
    Ok(())
}

struct Stage {
    proxy: Proxy,
    board: Board,
    shared: Shared,
    /// A connection beside the proxy.
    rows: tokio_postgres::Client,
    url: String,
}

/// A queue that claims when something is announced, and only then.
fn seldom() -> Queue {
    let queue = Queue::new("default").workers(WORKERS).look_ahead(0);
    queue.poll_every(Duration::from_secs(3_600))
}

impl Stage {
    async fn set() -> Self {
        Self::with(seldom(), |database| database).await
    }

    /// A board whose workers wait, and lend their asks.
    async fn with(queue: Queue, configure: impl FnOnce(Database) -> Database) -> Self {
        let stage = Self::unready(queue, configure).await;
        eventually("a job is claimed at birth", || async {
            let id = stage.client().enqueue(call!(run())).await.unwrap();
            until_state(stage.client(), id, JobState::Completed).await;
            stage.is_born(id).await.then_some(())
        })
        .await;
        stage.until_quiet().await;
        stage.shared.begun.store(0, Ordering::SeqCst);
        stage.shared.order.lock().unwrap().clear();
        stage
    }

    async fn unready(queue: Queue, configure: impl FnOnce(Database) -> Database) -> Self {
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

    fn client(&self) -> &Client {
        self.board.client()
    }

    /// Whether a job was claimed by its own enqueue.
    async fn is_born(&self, id: JobId) -> bool {
        let born = "with every as (select id, attempted_at, enqueued_at from callboard.jobs union all \
                                   select id, attempted_at, enqueued_at from callboard.history) \
                    select count(*) from every where attempted_at = enqueued_at and id = ";
        number(&self.rows, &format!("{born}{}", id.as_i64())).await == 1
    }

    async fn born(&self, ids: &[JobId]) -> Vec<bool> {
        let mut born = Vec::new();
        for id in ids {
            born.push(self.is_born(*id).await);
        }
        born
    }

    async fn state(&self, id: JobId) -> JobState {
        self.client().job(id).await.unwrap().unwrap().state
    }

    async fn until_quiet(&self) {
        eventually("nothing is in hand", || async {
            (self.board.counts().in_hand == 0).then_some(())
        })
        .await;
    }

    async fn until_begun(&self, runs: u32) {
        eventually("handlers have begun", || async {
            (self.shared.begun.load(Ordering::SeqCst) >= runs).then_some(())
        })
        .await;
    }

    /// Nothing can be inserted until the returned connection goes.
    async fn hold_up_enqueues(&self) -> tokio_postgres::Client {
        let lock = sql::connect(&self.url).await;
        let text = "begin; lock table callboard.jobs in share mode";
        lock.batch_execute(text).await.unwrap();
        lock
    }

    async fn until_enqueue_waits(&self) {
        eventually("the enqueue waits", || async {
            let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' \
                           and datname = current_database() and query like '%first_waiting%'";
            (number(&self.rows, waiting).await == 1).then_some(())
        })
        .await;
    }

    /// Every job is completed, after one run at its first attempt.
    async fn each_ran_once(&self, jobs: u32) {
        eventually("every job is completed", || async {
            let completed = "select count(*) from callboard.history";
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
    async fn completed_before(&self) -> i64 {
        let ran = self.shared.order.lock().unwrap().clone();
        let ran: Vec<i64> = ran.into_iter().map(JobId::as_i64).collect();
        let others = "select count(*) from callboard.history where id <> all($1)";
        self.rows.query_one(others, &[&ran]).await.unwrap().get(0)
    }

    async fn end(self) {
        self.board.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_for_a_waiting_worker_takes_no_claim_and_no_notification() {
    let stage = Stage::set().await;
    let sent = || [BIRTH, CLAIM, NOTIFY].map(|text| stage.proxy.statements(text));
    let before = sent();
    let alone = stage.client().enqueue(call!(run())).await.unwrap();
    let many = stage.client().enqueue_many([call!(run())]).await.unwrap();
    stage.each_ran_once(2).await;
    assert_eq!(stage.born(&[alone, many[0]]).await, [true, true]);
    let after = sent();
    let [births, claims, notices] = [0, 1, 2].map(|n| after[n] - before[n]);
    assert_eq!((births, claims, notices), (2, 0, 0));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_jobs_that_are_asked_for_take_no_claim() {
    let stage = Stage::with(seldom().workers(2).max_demand(1_000), |it| it).await;
    let before = stage.proxy.statements(CLAIM);
    let calls = (0..1_000).map(|_| call!(run()));
    let ids = stage.client().enqueue_many(calls).await.unwrap();
    stage.each_ran_once(1_000).await;
    assert_eq!(stage.proxy.statements(CLAIM), before);
    assert!(
        stage
            .born(&[ids[0], ids[999]])
            .await
            .iter()
            .all(|born| *born)
    );
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_are_claimed_at_birth_than_workers_wait_for() {
    let stage = Stage::set().await;
    let calls = (0..10).map(|_| call!(wait()));
    let ids = stage.client().enqueue_many(calls).await.unwrap();
    stage.until_begun(WORKERS).await;
    let expected: Vec<bool> = (0..10).map(|n| n < WORKERS as usize).collect();
    assert_eq!(stage.born(&ids).await, expected);
    for id in &ids[WORKERS as usize..] {
        assert_eq!(stage.state(*id).await, JobState::Available);
    }
    stage.shared.gate.add_permits(10);
    stage.each_ran_once(10).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_urgent_of_a_batch_are_claimed_at_birth() {
    let stage = Stage::set().await;
    let calls = (0..10).map(|n| call!(wait()).priority(-n));
    let ids = stage.client().enqueue_many(calls).await.unwrap();
    stage.until_begun(WORKERS).await;
    let expected: Vec<bool> = (0..10).map(|n| n >= 10 - WORKERS as usize).collect();
    assert_eq!(stage.born(&ids).await, expected);
    stage.shared.gate.add_permits(10);
    stage.each_ran_once(10).await;
    stage.end().await;
}

/// A job as another process enqueues it, of which nobody here has heard.
async fn unheard_of(stage: &Stage, kind: &str, priority: i16) -> JobId {
    let insert = "insert into callboard.jobs (queue, kind, state, priority, args_version, args_fingerprint, args) \
                  select 'default', $1, 'available', $2, args_version, args_fingerprint, args from callboard.jobs \
                   limit 1 returning id";
    // What its arguments look like, a job of ours shows.
    let later = call!(run()).run_in(Duration::from_secs(3_600));
    let shown = stage.client().enqueue(later).await.unwrap();
    let row = stage.rows.query_one(insert, &[&kind, &priority]).await;
    stage.client().cancel(shown).await.unwrap();
    JobId::from_i64(row.unwrap().get(0))
}

fn kind_of(call: Call) -> String {
    call.kind().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_claimed_at_birth_before_a_job_that_waits() {
    let stage = Stage::set().await;
    let client = stage.client();
    let waiting = unheard_of(&stage, &kind_of(call!(run())), 0).await;
    let urgent = client.enqueue(call!(run()).priority(-1)).await.unwrap();
    until_state(client, urgent, JobState::Completed).await;
    assert!(stage.is_born(urgent).await, "it comes before who waits");
    assert_eq!(stage.state(waiting).await, JobState::Available);
    let as_urgent = client.enqueue(call!(run())).await.unwrap();
    for id in [waiting, as_urgent] {
        until_state(client, id, JobState::Completed).await;
    }
    assert!(!stage.is_born(as_urgent).await);
    assert_eq!(stage.shared.order.lock().unwrap()[0], urgent);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_for_another_node_keeps_nobody() {
    let stage = Stage::set().await;
    let waiting = unheard_of(&stage, "of.another.node", -5).await;
    let ours = stage.client().enqueue(call!(run())).await.unwrap();
    until_state(stage.client(), ours, JobState::Completed).await;
    assert!(stage.is_born(ours).await);
    assert_eq!(stage.state(waiting).await, JobState::Available);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_kinds_later_jobs_and_ordering_keys_take_the_ordinary_way() {
    let stage = Stage::set().await;
    let client = stage.client();
    let calls = [
        Call::named("of.another.node", &()).queue("default"),
        call!(run()).run_in(Duration::from_secs(3_600)),
        call!(run()),
        call!(run()).ordering_key("user"),
        call!(run()),
    ];
    let ids = client.enqueue_many(calls).await.unwrap();
    for id in &ids[2..] {
        until_state(client, *id, JobState::Completed).await;
    }
    let expected = [false, false, true, false, false];
    assert_eq!(stage.born(&ids).await, expected);
    assert_eq!(stage.state(ids[0]).await, JobState::Available);
    assert_eq!(stage.state(ids[1]).await, JobState::Scheduled);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_may_leave_its_jobs_to_all_nodes() {
    let queue = seldom().at_birth(AtBirth::Available);
    let stage = Stage::unready(queue, |database| database).await;
    for _ in 0..5 {
        let id = stage.client().enqueue(call!(run())).await.unwrap();
        until_state(stage.client(), id, JobState::Completed).await;
        stage.until_quiet().await;
    }
    assert_eq!(stage.proxy.statements(BIRTH), 0);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn births_whose_answer_is_lost_are_found_and_run_once() {
    let stage = Stage::set().await;
    stage.proxy.lose_answers_to(BIRTH, 1);
    let alone = stage.client().enqueue(call!(run())).await;
    alone.expect_err("its answer is lost");
    stage.each_ran_once(1).await;
    let is_born_again = || async {
        let id = stage.client().enqueue(call!(run())).await.unwrap();
        until_state(stage.client(), id, JobState::Completed).await;
        stage.is_born(id).await.then_some(())
    };
    eventually("births go on", is_born_again).await;
    stage.until_quiet().await;
    let before = stage.shared.begun.swap(0, Ordering::SeqCst);
    assert!(before >= 2);
    stage.shared.order.lock().unwrap().clear();
    stage.proxy.lose_answers_to(BIRTH, 1);
    let many = stage.client().enqueue_many([call!(run()), call!(run())]);
    many.await.expect_err("its answer is lost");
    stage.each_ran_once(2).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_loses_no_birth() {
    let stage = Stage::set().await;
    let lock = stage.hold_up_enqueues().await;
    let client = stage.client().clone();
    let caller =
        tokio::spawn(async move { client.enqueue_many([call!(run()), call!(run())]).await });
    stage.until_enqueue_waits().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    drop(lock);
    stage.each_ran_once(2).await;
    stage.end().await;
}

/// The caller's own runtime ends, and with it whoever waits for the answer. The statement is committed after
/// the board has looked for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_birth_that_is_committed_after_it_was_given_up_is_found() {
    // The enqueue waits for less, and the board looks again a little later.
    let limit = Duration::from_secs(8);
    let stage = Stage::with(seldom(), |database| database.statement_timeout(limit)).await;
    let lock = stage.hold_up_enqueues().await;
    let client = stage.client().clone();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.spawn(async move { client.enqueue(call!(run())).await });
    stage.until_enqueue_waits().await;
    let before = stage.proxy.statements("(id, attempt) not in");
    runtime.shutdown_background();
    eventually("the board has looked", || async {
        (stage.proxy.statements("(id, attempt) not in") > before).then_some(())
    })
    .await;
    drop(lock);
    stage.each_ran_once(1).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_birth_outlives_the_fetcher_that_lent_the_ask() {
    let stage = Stage::set().await;
    let lock = stage.hold_up_enqueues().await;
    let client = stage.client().clone();
    let caller = tokio::spawn(async move { client.enqueue(call!(run())).await });
    stage.until_enqueue_waits().await;
    kill(&stage.board, &["queues", "default", "fetcher"]).await;
    drop(lock);
    let id = caller.await.unwrap().unwrap();
    assert!(stage.is_born(id).await);
    stage.each_ran_once(1).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closing_board_waits_for_births_and_gives_them_back() {
    let stage = Stage::set().await;
    let lock = stage.hold_up_enqueues().await;
    let client = stage.client().clone();
    let caller = tokio::spawn(async move { client.enqueue(call!(run())).await });
    stage.until_enqueue_waits().await;
    let board = stage.board.clone();
    let closing = tokio::spawn(async move { board.shutdown().await });
    eventually("the board closes", || async {
        let tree = stage.board.supervisor().snapshot();
        let status = tree.find(&["gate"])?.info.status;
        (status == ChildStatus::Stopping).then_some(())
    })
    .await;
    drop(lock);
    let id = caller.await.unwrap().unwrap();
    closing.await.unwrap().unwrap();
    // It may have begun to stop, and not to close.
    let expected = match stage.shared.begun.load(Ordering::SeqCst) {
        0 => JobState::Available,
        _ => JobState::Completed,
    };
    assert_eq!(stage.state(id).await, expected);
    let nodes = "select count(*) from callboard.nodes";
    assert_eq!(number(&stage.rows, nodes).await, 0, "it has said goodbye");
}

#[tokio::test]
async fn who_waits_is_found_by_the_index_whatever_the_planner_believes() {
    let rows = sql::connect(&server::fresh_database().await).await;
    rows.batch_execute("analyze callboard.jobs").await.unwrap();
    let first = "select coalesce(callboard.first_waiting('default', '{kind}'), -1)::bigint";
    for _ in 0..6 {
        assert_eq!(number(&rows, first).await, -1, "the plan is kept by now");
    }
    let fill = "insert into callboard.jobs (queue, kind, state, priority, args_version, args_fingerprint, args) \
                select 'default', 'kind', 'available', 3, 1, 1, '' \
                  from generate_series(1, 50000) as n";
    rows.batch_execute(fill).await.unwrap();
    assert_eq!(number(&rows, first).await, 3);
    let explain = format!("explain (analyze, buffers, costs off, timing off, summary off) {first}");
    let lines = rows.query(&explain, &[]).await.unwrap();
    let lines: Vec<String> = lines.iter().map(|line| line.get(0)).collect();
    let buffers = lines
        .iter()
        .find_map(|line| line.split_once("shared hit=").map(|(_, n)| n));
    let buffers = buffers.unwrap_or_else(|| panic!("{lines:#?}"));
    let hit: u32 = buffers.split(' ').next().unwrap().parse().unwrap();
    assert!(hit < 50 && !buffers.contains("read="), "{lines:#?}");
}
