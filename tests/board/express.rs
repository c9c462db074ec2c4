//! The express lane: short jobs, held by an open transaction while they run.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use callboard::handler::CancelReason;
use callboard::job::Limits;
use callboard::queue::{Express, MAX_EXPRESS_BOUND};
use callboard::store::Cancelled;
use callboard::testing::Proxy;
use callboard::{
    Board, BoxError, Call, Client, Context, Job as _, JobId, JobState, Queue, call, functions,
};
use tokio::sync::{Notify, Semaphore};
use tokio_postgres::Client as Rows;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_completed_without_a_claim_by_its_row() {
    let scene = Scene::set().await;
    let before = scene.proxy.statements(SPILL);
    let job = scene.completed(call!(run())).await;
    assert_eq!(
        (job.attempt.as_i32(), job.node),
        (1, Some(scene.board.node()))
    );
    assert!(job.attempted_at.is_some_and(|at| at >= job.enqueued_at));
    until_confirmed(&scene.board).await;
    assert_eq!(scene.proxy.statements(SPILL), before);
    assert_eq!(scene.board.counts().completed, 2);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_jobs_take_a_handful_of_statements() {
    const JOBS: u32 = 1_000;
    let seldom = Duration::from_secs(60);
    let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| {
        queue.workers(1).max_demand(JOBS).poll_every(seldom)
    })
    .await;
    let sent = || {
        ["as given)", FORETELL, FINISH, SPILL, "as answer (id"]
            .map(|text| scene.proxy.statements(text))
    };
    let before = sent();
    let calls = (0..JOBS).map(|_| call!(run()));
    scene.client().enqueue_many(calls).await.unwrap();
    eventually("all are completed", || async {
        (scene.board.counts().completed == 1 + u64::from(JOBS)).then_some(())
    })
    .await;
    until_confirmed(&scene.board).await;
    let after = sent();
    let [enqueues, notes, ends, spills, settles] = [0, 1, 2, 3, 4].map(|n| after[n] - before[n]);
    assert_eq!((enqueues, spills, settles), (1, 0, 0));
    assert!(notes <= 8 && ends == notes, "{notes} batches, {ends} ends");
    assert_eq!(scene.desk.runs(), 1 + JOBS);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_an_attempt_comes_to_is_written_with_its_batch() {
    let scene = Scene::set().await;
    let soon = Duration::from_millis(1);
    let again = scene
        .enqueue(plays([Step::Fail("no".into()), Step::Complete]))
        .await;
    let panics = scene
        .enqueue(plays([Step::Panic("oh".into()), Step::Complete]))
        .await;
    let snoozes = scene
        .enqueue(plays([Step::Snooze(soon), Step::Complete]))
        .await;
    let says = scene
        .enqueue(plays([Step::CompleteWith("so".into())]))
        .await;
    let gives_up = scene.enqueue(plays([Step::Cancel("why".into())])).await;
    let buried = scene.enqueue(plays([Step::Bury("no use".into())])).await;
    let spent = plays([Step::Fail("no".into())]).max_attempts(2);
    let spent = scene.enqueue(spent).await;

    let client = scene.client();
    for (id, kind) in [(again, "error"), (panics, "panic")] {
        let job = until_state(client, id, JobState::Completed).await;
        assert_eq!((job.attempt.as_i32(), job.errors.len()), (2, 1));
        assert_eq!(job.errors[0]["kind"], kind);
        assert_eq!(job.errors[0]["attempt"], 1);
    }
    let job = until_state(client, snoozes, JobState::Completed).await;
    assert_eq!((job.attempt.as_i32(), job.errors.len()), (2, 0));
    let job = until_state(client, says, JobState::Completed).await;
    assert_eq!(job.output, Some("so".into()));
    let job = until_state(client, gives_up, JobState::Cancelled).await;
    assert_eq!(job.errors[0]["message"], "why");
    let job = until_state(client, buried, JobState::Dead).await;
    assert_eq!(job.errors[0]["message"], "no use");
    let job = until_state(client, spent, JobState::Dead).await;
    assert_eq!((job.attempt.as_i32(), job.failures), (2, Some(2)));
    until_confirmed(&scene.board).await;
    let counts = scene.board.counts();
    assert_eq!(
        (counts.completed, counts.retried, counts.snoozed),
        (5, 3, 1)
    );
    assert_eq!((counts.cancelled, counts.buried, counts.refused), (1, 2, 0));
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_the_database_refuses_takes_no_other_along() {
    let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| queue.workers(2)).await;
    // As any text that no character set of the server has.
    let refuse = "alter table callboard.jobs add constraint no_retry check (state <> 'retryable')";
    scene.rows.batch_execute(refuse).await.unwrap();
    let ids = scene
        .client()
        .enqueue_many([call!(fail()), call!(hold())])
        .await
        .unwrap();
    scene.desk.until_begun(2).await;
    scene.until_held(2).await;
    scene.desk.gate.add_permits(2);
    until_state(scene.client(), ids[1], JobState::Completed).await;
    let executing = until_state(scene.client(), ids[0], JobState::Executing).await;
    assert_eq!(executing.attempt.as_i32(), 1);
    let may = "alter table callboard.jobs drop constraint no_retry";
    scene.rows.batch_execute(may).await.unwrap();
    scene.desk.gate.add_permits(10);
    eventually("it is retried after all", || async {
        let job = scene.client().job(ids[0]).await.unwrap().unwrap();
        (job.failures > Some(0)).then_some(())
    })
    .await;
    scene.client().cancel(ids[0]).await.unwrap();
    assert_eq!(scene.board.counts().refused, 0);
    scene.board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_ended_at_the_bound_goes_on_as_an_ordinary_job() {
    let scene = Scene::with(Duration::from_millis(20), |queue| queue.workers(2)).await;
    let ids = scene.client().enqueue_many([call!(hold()), call!(run())]);
    let ids = ids.await.unwrap();
    let job = until_state(scene.client(), ids[0], JobState::Executing).await;
    assert_eq!(
        (job.attempt.as_i32(), job.node),
        (1, Some(scene.board.node()))
    );
    until_state(scene.client(), ids[1], JobState::Completed).await;
    // Nothing is held open any more.
    let open = "select count(*) from pg_stat_activity \
                where datname = current_database() and state = 'idle in transaction'";
    eventually("no transaction is open", || async {
        (scene.number(open).await == 0).then_some(())
    })
    .await;
    scene.desk.gate.add_permits(1);
    let job = until_state(scene.client(), ids[0], JobState::Completed).await;
    assert_eq!(job.attempt.as_i32(), 1);
    assert_eq!(scene.desk.runs(), 3);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_job_is_cancelled_at_once_and_one_that_runs_when_its_batch_ends() {
    let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| queue.workers(1)).await;
    let client = scene.client();
    let later = scene
        .enqueue(call!(run()).run_in(Duration::from_secs(3600)))
        .await;
    assert_eq!(client.cancel(later).await.unwrap(), Cancelled::AtOnce);

    // One that is done when the cancellation gets to it, and one that is to be tried again.
    for (call, expected) in [
        (call!(hold()), Cancelled::NotFound),
        (call!(fail()), Cancelled::AtOnce),
    ] {
        let id = scene.enqueue(call).await;
        scene.desk.until_begun(1).await;
        scene.until_held(1).await;
        let cancelling = tokio::spawn({
            let client = client.clone();
            async move { client.cancel(id).await.unwrap() }
        });
        let waiting = "select count(*) from pg_stat_activity \
                       where datname = current_database() and wait_event_type = 'Lock'";
        eventually("the cancellation waits", || async {
            (scene.number(waiting).await == 1).then_some(())
        })
        .await;
        scene.desk.gate.add_permits(1);
        assert_eq!(cancelling.await.unwrap(), expected);
    }
    until_confirmed(&scene.board).await;
    let cancelled = "select count(*) from callboard.finished_jobs where state = 'cancelled'";
    assert_eq!(scene.number(cancelled).await, 2);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_reaches_a_handler_that_has_come_to_the_bound() {
    let scene = Scene::with(Duration::from_millis(20), |queue| queue).await;
    let id = scene.enqueue(call!(obey())).await;
    scene.desk.until_begun(1).await;
    // Whether it finds the job in the lane and waits, or finds it executing.
    assert_eq!(scene.client().cancel(id).await.unwrap(), Cancelled::Asked);
    let job = until_state(scene.client(), id, JobState::Cancelled).await;
    assert_eq!(job.errors[0]["message"], "stopped when I was told to");
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_needs_its_row_leaves_the_lane() {
    for call in [call!(complete()), call!(keep())] {
        let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| queue.workers(1)).await;
        let before = scene.proxy.statements(SPILL);
        let job = scene.completed(call).await;
        assert_eq!(job.attempt.as_i32(), 1);
        assert_eq!(scene.proxy.statements(SPILL), before + 1);
        until_confirmed(&scene.board).await;
        let kept = "select count(*) from callboard.checkpoints";
        assert_eq!(scene.number(kept).await, 0);
        assert_eq!(scene.board.counts().refused, 0);
        scene.ends_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_with_an_ordering_key_run_one_at_a_time_by_their_rows() {
    let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| queue.workers(4)).await;
    let of_key = |call: Call| call.ordering_key("k");
    let calls = [of_key(call!(hold())), of_key(call!(hold())), call!(run())];
    let ids = scene.client().enqueue_many(calls).await.unwrap();
    until_state(scene.client(), ids[0], JobState::Executing).await;
    until_state(scene.client(), ids[2], JobState::Completed).await;
    let next = scene.client().job(ids[1]).await.unwrap().unwrap();
    assert_eq!(next.state, JobState::Available);
    scene.desk.gate.add_permits(1);
    until_state(scene.client(), ids[0], JobState::Completed).await;
    until_state(scene.client(), ids[1], JobState::Executing).await;
    scene.desk.gate.add_permits(1);
    until_state(scene.client(), ids[1], JobState::Completed).await;
    assert_eq!(scene.desk.runs(), 4);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_in_a_queue_of_the_lane() {
    let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| queue.workers(4)).await;
    let client = scene.client();
    client
        .queue("default")
        .limit(Limits::new().running(1))
        .await
        .unwrap();
    let calls = (0..3).map(|_| call!(hold()));
    let ids = client.enqueue_many(calls).await.unwrap();
    for done in 0..3 {
        scene.desk.until_begun(1).await;
        let executing = "select count(*) from callboard.jobs where state = 'executing'";
        assert_eq!(scene.number(executing).await, 1);
        assert_eq!(scene.desk.runs(), 2 + done);
        scene.desk.gate.add_permits(1);
    }
    for id in ids {
        until_state(client, id, JobState::Completed).await;
    }
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_urgent_and_oldest_come_first() {
    let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| queue.workers(1)).await;
    let client = scene.client();
    scene.board.queue("default").pause().await.unwrap();
    let priorities = [1, 0, 1, -5, 0];
    let calls = priorities.map(|priority| call!(run()).priority(priority));
    let ids = client.enqueue_many(calls).await.unwrap();
    scene.board.queue("default").resume().await.unwrap();
    for id in &ids {
        until_state(client, *id, JobState::Completed).await;
    }
    assert_eq!(scene.desk.order()[1..], [3, 1, 4, 0, 2].map(|n| ids[n]));
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_begun_is_free_when_its_queue_is_paused() {
    // Enough that three are asked for although one was before.
    let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| queue.workers(1).max_demand(8)).await;
    let client = scene.client();
    let ids = client.enqueue_many((0..3).map(|_| call!(hold())));
    let ids = ids.await.unwrap();
    scene.desk.until_begun(1).await;
    scene.until_held(3).await;
    scene.board.queue("default").pause().await.unwrap();
    scene.desk.gate.add_permits(1);
    until_state(client, ids[0], JobState::Completed).await;
    until_confirmed(&scene.board).await;
    let free = "select count(*) from callboard.jobs where state = 'available' and attempt = 0";
    assert_eq!(scene.number(free).await, 2);
    assert_eq!(scene.desk.runs(), 2);
    assert_eq!(scene.board.counts().released, 2);
    scene.board.queue("default").resume().await.unwrap();
    scene.desk.gate.add_permits(2);
    for id in ids {
        let job = until_state(client, id, JobState::Completed).await;
        assert_eq!(job.attempt.as_i32(), 1);
    }
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_lets_what_has_begun_finish() {
    let scene = Scene::set().await;
    let id = scene.enqueue(call!(hold())).await;
    scene.desk.until_begun(1).await;
    scene.until_held(1).await;
    let gate = Arc::clone(&scene.desk.gate);
    let (shut_down, ()) = tokio::join!(scene.board.shutdown(), async { gate.add_permits(1) });
    shut_down.unwrap();
    let client = Client::connect(database_at(&scene.desk.url)).await.unwrap();
    let job = client.job(id).await.unwrap().unwrap();
    assert_eq!((job.state, job.attempt.as_i32()), (JobState::Completed, 1));
    assert_eq!(scene.number(LEFT).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_outlasts_the_grace_is_interrupted_and_not_charged() {
    let url = server::fresh_database().await;
    let desk = Desk::new(&url);
    let queue = Queue::new("default").express(Express::new().bound(MAX_EXPRESS_BOUND));
    let board = board_on(database_at(&url), |board| {
        board
            .queue(sharing(queue, &desk))
            .shutdown_grace(Duration::ZERO)
            .functions(functions![obey])
    })
    .await;
    let id = board.client().enqueue(call!(obey())).await.unwrap();
    desk.until_begun(1).await;
    board.shutdown().await.unwrap();
    let client = Client::connect(database_at(&url)).await.unwrap();
    let job = client.job(id).await.unwrap().unwrap();
    assert_eq!((job.state, job.failures), (JobState::Available, Some(0)));
    assert_eq!(job.errors[0]["kind"], "interrupted");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_lost_transaction_run_again_uncharged_and_their_first_answers_are_refused() {
    let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| queue.workers(2)).await;
    let calls = (0..2).map(|_| call!(hold()));
    let ids = scene.client().enqueue_many(calls).await.unwrap();
    scene.desk.until_begun(2).await;
    scene.until_held(2).await;
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
               where datname = current_database() and state = 'idle in transaction'";
    let cut = scene.number(cut).await;
    assert!((1..=2).contains(&cut), "{cut}");
    scene.desk.gate.add_permits(4);
    for id in ids {
        let job = until_state(scene.client(), id, JobState::Completed).await;
        assert_eq!((job.attempt.as_i32(), job.errors.len()), (1, 0));
    }
    until_confirmed(&scene.board).await;
    let counts = scene.board.counts();
    assert_eq!(
        (counts.completed, counts.refused, counts.rescued),
        (3, 2, 0)
    );
    assert_eq!(scene.desk.runs(), 5);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_are_told_when_their_transaction_was_lost() {
    let scene = Scene::with(Duration::from_secs(3), |queue| queue.workers(1)).await;
    let id = scene.enqueue(call!(obey())).await;
    scene.desk.until_begun(1).await;
    scene.until_held(1).await;
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
               where datname = current_database() and state = 'idle in transaction'";
    assert!(scene.number(cut).await >= 1);
    let told = tokio::time::timeout(Duration::from_secs(20), scene.desk.told.notified());
    told.await.expect("the handler is told");
    // It runs again, and is not told then.
    scene.desk.until_begun(1).await;
    assert_eq!(scene.client().cancel(id).await.unwrap(), Cancelled::Asked);
    let job = until_state(scene.client(), id, JobState::Cancelled).await;
    assert_eq!(job.attempt.as_i32(), 1);
    assert_eq!(scene.board.counts().refused, 1);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_commit_is_not_answered_has_ended_and_nothing_runs_twice() {
    let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| queue.workers(2)).await;
    let calls = (0..2).map(|_| call!(hold()));
    scene.client().enqueue_many(calls).await.unwrap();
    scene.desk.until_begun(2).await;
    scene.until_held(2).await;
    scene.proxy.lose_answers_to("commit", 1);
    scene.desk.gate.add_permits(2);
    eventually("the answer is lost", || async {
        (scene.proxy.lost_answers() == 1).then_some(())
    })
    .await;
    eventually("both are completed", || async {
        (scene.board.counts().completed == 3).then_some(())
    })
    .await;
    scene.proxy.keep_answers();
    until_confirmed(&scene.board).await;
    assert_eq!(scene.board.counts().refused, 0);
    assert_eq!(scene.desk.runs(), 3);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_whose_note_is_not_answered_are_not_begun_then_and_run_once() {
    let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| queue.workers(2)).await;
    scene.proxy.lose_answers_to(FORETELL, 1);
    let job = scene.completed(call!(run())).await;
    assert_eq!((job.attempt.as_i32(), job.errors.len()), (1, 0));
    assert_eq!(scene.proxy.lost_answers(), 1);
    assert_eq!(scene.desk.runs(), 2);
    assert_eq!(scene.board.counts().rescued, 0);
    scene.ends_well().await;
}

#[tokio::test]
async fn a_bound_out_of_its_range_is_refused_at_the_start() {
    for bound in [Duration::ZERO, MAX_EXPRESS_BOUND + Duration::from_millis(1)] {
        let database = database_at("postgres://nobody@localhost:1/nowhere");
        let queue = Queue::new("clicks").express(Express::new().bound(bound));
        let refused = Board::builder(database).queue(queue).start().await;
        let refused = refused.unwrap_err();
        assert!(refused.is_config());
        let text = format!("Queue::express: bound of \"clicks\" is {bound:?}; expected 1ms to 10s");
        assert!(refused.to_string().contains(&text), "{refused}");
    }
}
