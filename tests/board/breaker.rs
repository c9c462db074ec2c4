//! Breakers: while what a kind calls is out of order its jobs wait, spend nothing, and go on when it is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use callboard::board::Builder;
use callboard::job::{Backoff, BreakerState};
use callboard::queue::Condition;
use callboard::testing::Proxy;
use callboard::{
    Batch, BatchContext, BatchJob, Board, BoxError, Breaker, BreakerInfo, Call, Client, Context,
    Job, JobId, JobState, Outcome, Queue, call, function, functions,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::support::tree::kill;
use crate::support::{
    board_at, database_at, eventually, server, sharing, sql, sql::number, until_confirmed,
    until_state,
};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// What the jobs call, and the tests hold in hand.
#[derive(Clone)]
struct Service {
    is_down: Arc<AtomicBool>,
    calls: Arc<AtomicU32>,
    /// Calls wait here before they end.
    gate: Arc<Semaphore>,
}

impl Service {
    fn new() -> Self {
        Self {
            is_down: Arc::default(),
            calls: Arc::default(),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }

    fn down() -> Self {
        let service = Self::new();
        service.set_down();
        service
    }

    /// Calls begin and do not end.
    fn gated() -> Self {
        Self {
            gate: Arc::new(Semaphore::new(0)),
            ..Self::new()
        }
    }

    fn set_down(&self) {
        self.is_down.store(true, Ordering::SeqCst);
    }

    fn set_up(&self) {
        self.is_down.store(false, Ordering::SeqCst);
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }

    async fn call(&self) -> Result<(), BoxError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await?.forget();
        // As a service does.
        tokio::time::sleep(2 * MS).await;
        match self.is_down.load(Ordering::SeqCst) {
            true => Err("connection refused".into()),
            false => Ok(()),
        }
    }

    async fn until_called(&self, calls: u32) {
        eventually(&format!("{calls} calls have begun"), || async {
            (self.calls() >= calls).then_some(())
        })
        .await;
    }
}

async fn send(cx: &mut Context) -> Result<(), BoxError> {
    let service = cx.state::<Service>()?.clone();
    service.call().await
}

/// Another kind that needs the same service.
async fn receive(cx: &mut Context) -> Result<(), BoxError> {
    send(cx).await
}

/// Shares the breaker, and calls nobody.
async fn ping() -> Result<(), BoxError> {
    Ok(())
}

/// Needs nobody.
async fn other() -> Result<(), BoxError> {
    Ok(())
}

/// Opens after four calls, and stays open.
fn breaker() -> Breaker {
    Breaker::named("smtp")
        .minimum_calls(4)
        .over_calls(10)
        .open_for(HOUR)
        .longest_open(HOUR)
        .probes(2)
        .ramp(Duration::ZERO)
}

fn queue(service: &Service) -> Queue {
    sharing(
        Queue::new("default").workers(4).poll_every(100 * MS),
        service,
    )
}

fn with(queue: Queue, breaker: Breaker) -> impl FnOnce(Builder) -> Builder {
    let patient = Backoff::constant(10 * MS);
    let send = function!(send).breaker(breaker.clone()).backoff(patient);
    let receive = function!(receive).breaker(breaker.clone()).backoff(patient);
    let ping = function!(ping).breaker(breaker);
    move |board| {
        let board = board
            .queue(queue)
            .handler(send)
            .handler(receive)
            .handler(ping);
        board.functions(functions![other])
    }
}

async fn standing(client: &Client) -> BreakerInfo {
    let breakers = client.breakers().await.unwrap();
    breakers
        .into_iter()
        .find(|breaker| breaker.name == "smtp")
        .expect("it is declared")
}

async fn until(client: &Client, state: BreakerState) -> BreakerInfo {
    eventually(&format!("the breaker is {state}"), || async {
        let breakers = client.breakers().await.unwrap();
        breakers.into_iter().find(|breaker| breaker.state == state)
    })
    .await
}

async fn enqueue(client: &Client, jobs: usize) -> Vec<JobId> {
    client
        .enqueue_many((0..jobs).map(|_| call!(send()).max_attempts(1000)))
        .await
        .unwrap()
}

async fn until_completed(client: &Client, jobs: &[JobId]) {
    for job in jobs {
        until_state(client, *job, JobState::Completed).await;
    }
}

/// Jobs that nothing holds back have run since, so what could have been claimed was.
async fn others_run(board: &Board) {
    for _ in 0..3 {
        let job = board.client().enqueue(call!(other())).await.unwrap();
        until_state(board.client(), job, JobState::Completed).await;
    }
}

/// Opens the breaker by failures.
async fn opened(url: &str, service: &Service, breaker: Breaker) -> (Board, Vec<JobId>) {
    service.set_down();
    let board = board_at(url, with(queue(service), breaker)).await;
    let jobs = enqueue(board.client(), 20).await;
    until(board.client(), BreakerState::Open).await;
    until_confirmed(&board).await;
    (board, jobs)
}

const FAILURES: &str = "select coalesce(sum(failures), 0)::bigint from callboard.jobs";

#[tokio::test(flavor = "multi_thread")]
async fn jobs_wait_without_a_charge_while_the_breaker_is_open_and_run_when_it_closes() {
    let (url, service) = (server::fresh_database().await, Service::new());
    let (board, mut jobs) = opened(&url, &service, breaker()).await;
    let client = board.client();
    let rows = sql::connect(&url).await;
    let (calls, failures) = (service.calls(), number(&rows, FAILURES).await);
    assert_eq!(i64::from(calls), failures);

    jobs.extend(enqueue(client, 5).await);
    others_run(&board).await;
    assert_eq!(service.calls(), calls);
    assert_eq!(number(&rows, FAILURES).await, failures);
    let breaker = client
        .breaker_of(call!(send()).kind())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((breaker.state, breaker.openings), (BreakerState::Open, 1));
    let text = breaker.to_string();
    assert!(text.starts_with("breaker smtp is open since "), "{text}");
    assert!(
        text.contains(", next probe at ") && text.contains("calls failed, at or above 0.5"),
        "{text}"
    );
    assert!(text.ends_with("the last: connection refused"), "{text}");
    let waiting = *jobs.last().unwrap();
    let why = client.explain(waiting).await.unwrap().to_string();
    assert!(why.ends_with(&format!(": the {breaker}")), "{why}");

    service.set_up();
    client.breaker("smtp").close("it is back").await.unwrap();
    until_completed(client, &jobs).await;
    assert_eq!(
        number(&rows, "select count(*) from callboard.dead_letters").await,
        0
    );
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_claimed_ahead_is_returned_free_of_charge() {
    let (url, service) = (server::fresh_database().await, Service::down());
    let many = queue(&service).workers(1).max_demand(50);
    let board = board_at(&url, with(many, breaker())).await;
    let once = || call!(send()).max_attempts(1);
    let jobs = board
        .client()
        .enqueue_many((0..50).map(|_| once()))
        .await
        .unwrap();
    until(board.client(), BreakerState::Open).await;
    until_confirmed(&board).await;
    let rows = sql::connect(&url).await;
    // Those that ended while it was decided come on top of the four that are needed.
    let spent = i64::from(service.calls());
    assert!((4..50).contains(&spent), "{spent}");
    assert_eq!(
        number(&rows, "select count(*) from callboard.dead_letters").await,
        spent
    );
    let waiting = "select count(*) from callboard.jobs where state = 'available' and failures = 0 and errors is null";
    assert_eq!(number(&rows, waiting).await, jobs.len() as i64 - spent);
    assert!(board.counts().released > 0);
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_lets_as_many_probes_through_as_it_says_over_all_nodes_and_closes_on_their_success()
 {
    let (url, service) = (server::fresh_database().await, Service::new());
    let quick = breaker().open_for(200 * MS);
    let (board, jobs) = opened(&url, &service, quick.clone()).await;
    let probed = Service::gated();
    // Nobody is called any more by the board that has opened it.
    board.shutdown().await.unwrap();
    let (one, two) = (
        board_at(&url, with(queue(&probed), quick.clone())).await,
        board_at(&url, with(queue(&probed), quick)).await,
    );
    probed.until_called(2).await;
    let half_open = standing(one.client()).await;
    assert_eq!(half_open.state, BreakerState::HalfOpen);
    assert!([one.node(), two.node()].contains(&half_open.prober.unwrap()));
    others_run(&one).await;
    others_run(&two).await;
    assert_eq!(probed.calls(), 2);

    probed.gate.add_permits(1);
    eventually("a probe has succeeded", || async {
        (standing(one.client()).await.succeeded_probes == 1).then_some(())
    })
    .await;
    others_run(&one).await;
    others_run(&two).await;
    assert_eq!(probed.calls(), 2);
    probed.gate.add_permits(100);
    until_completed(one.client(), &jobs).await;
    let closed = standing(one.client()).await;
    assert_eq!(closed.state, BreakerState::Closed);
    assert_eq!(closed.reason.as_deref(), Some("its probes succeeded"));
    one.shutdown().await.unwrap();
    two.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_fails_opens_it_again_for_longer() {
    let (url, service) = (server::fresh_database().await, Service::new());
    let (board, _jobs) = opened(
        &url,
        &service,
        breaker().open_for(50 * MS).longest_open(200 * MS).probes(1),
    )
    .await;
    let calls = service.calls();
    let again = eventually("three probes have failed", || async {
        let breaker = standing(board.client()).await;
        (breaker.state == BreakerState::Open && breaker.openings >= 4).then_some(breaker)
    })
    .await;
    let waits = again.next_probe_at.unwrap() - again.since;
    assert_eq!(waits.num_milliseconds(), 200, "50, 100, 200, and no longer");
    let failed = again.reason.unwrap();
    assert_eq!(failed, "a probe failed; the last: connection refused");
    // Each opening cost the attempt of one probe.
    assert!(service.calls() - calls <= again.openings, "{calls}");
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verdict_of_one_node_keeps_the_jobs_of_another_waiting() {
    let (url, service) = (server::fresh_database().await, Service::new());
    let elsewhere = sharing(
        Queue::new("elsewhere").workers(4).poll_every(HOUR),
        &service,
    );
    let other_node = board_at(&url, with(elsewhere, breaker())).await;
    let (board, _jobs) = opened(&url, &service, breaker()).await;
    let seen = || async {
        let job = other_node
            .client()
            .enqueue(call!(receive()).queue("elsewhere").max_attempts(1));
        let job = job.await.unwrap();
        let free = other_node
            .client()
            .enqueue(call!(other()).queue("elsewhere"))
            .await
            .unwrap();
        until_state(other_node.client(), free, JobState::Completed).await;
        let job = other_node.client().job(job).await.unwrap().unwrap();
        (job.state == JobState::Available).then_some(())
    };
    eventually("the other node waits too", seen).await;
    let calls = service.calls();
    for _ in 0..5 {
        seen().await.expect("it waits");
    }
    assert_eq!(service.calls(), calls);
    other_node.shutdown().await.unwrap();
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_changes_nothing_about_an_open_breaker() {
    let (url, service) = (server::fresh_database().await, Service::new());
    let (board, jobs) = opened(&url, &service, breaker()).await;
    let (before, calls) = (standing(board.client()).await, service.calls());
    board.shutdown().await.unwrap();
    service.set_up();
    let board = board_at(&url, with(queue(&service), breaker())).await;
    others_run(&board).await;
    assert_eq!(standing(board.client()).await, before);
    assert_eq!(service.calls(), calls);
    board
        .client()
        .breaker("smtp")
        .close("it is back")
        .await
        .unwrap();
    until_completed(board.client(), &jobs).await;
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_death_of_who_judges_changes_nothing_and_its_successor_hears_what_comes() {
    let (url, service) = (server::fresh_database().await, Service::new());
    let (board, jobs) = opened(&url, &service, breaker()).await;
    let (before, calls) = (standing(board.client()).await, service.calls());
    kill(&board, &["breakers"]).await;
    others_run(&board).await;
    assert_eq!(standing(board.client()).await, before);
    assert_eq!(service.calls(), calls);
    service.set_up();
    board
        .client()
        .breaker("smtp")
        .close("it is back")
        .await
        .unwrap();
    until_completed(board.client(), &jobs).await;
    // And it judges: what fails from now on opens it again.
    service.set_down();
    enqueue(board.client(), 8).await;
    until(board.client(), BreakerState::Open).await;
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probes_of_a_node_that_is_gone_go_to_another() {
    let (url, service) = (server::fresh_database().await, Service::new());
    let (board, jobs) = opened(&url, &service, breaker()).await;
    service.set_up();
    let rows = sql::connect(&url).await;
    let taken = "update callboard.breakers set state = 'half_open', epoch = epoch + 1, prober = 17, succeeded = 1, \
                 probing_until = clock_timestamp() + interval '1 second' * $1";
    rows.execute(taken, &[&3600.0]).await.unwrap();
    let calls = service.calls();
    others_run(&board).await;
    assert_eq!(service.calls(), calls);
    rows.execute(taken, &[&0.0]).await.unwrap();
    until_completed(board.client(), &jobs).await;
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_opened_and_closed_by_hand() {
    let (url, service) = (server::fresh_database().await, Service::new());
    let board = board_at(&url, with(queue(&service), breaker())).await;
    // From a process that runs no jobs.
    let client = Client::connect(database_at(&url)).await.unwrap();
    eventually("it is declared", || async {
        (!client.breakers().await.unwrap().is_empty()).then_some(())
    })
    .await;
    let held = client
        .breaker("smtp")
        .hold_open("no mail today")
        .await
        .unwrap();
    assert_eq!(
        (held.state, held.next_probe_at),
        (BreakerState::HeldOpen, None)
    );
    assert_eq!(held.changed_by, "by hand");
    assert!(held.to_string().ends_with(": no mail today"), "{held}");
    until_obeyed(&board, BreakerState::HeldOpen).await;
    let jobs = enqueue(&client, 3).await;
    others_run(&board).await;
    assert_eq!(service.calls(), 0);

    // With probes, as if it had opened by itself.
    client
        .breaker("smtp")
        .open(50 * MS, "try again soon")
        .await
        .unwrap();
    until_completed(&client, &jobs).await;
    until(&client, BreakerState::Closed).await;
    board.shutdown().await.unwrap();
}

/// Waits until the node does what the board says.
async fn until_obeyed(board: &Board, state: BreakerState) {
    until(board.client(), state).await;
    eventually("the node obeys", || async {
        let job = board.client().enqueue(call!(ping())).await.unwrap();
        others_run(board).await;
        let cancelled = board.client().cancel(job).await.unwrap();
        (cancelled == callboard::store::Cancelled::AtOnce).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_closed_stays_so_whatever_fails() {
    let (url, service) = (server::fresh_database().await, Service::down());
    let board = board_at(&url, with(queue(&service), breaker())).await;
    let client = board.client();
    eventually("it is declared", || async {
        (!client.breakers().await.unwrap().is_empty()).then_some(())
    })
    .await;
    client
        .breaker("smtp")
        .hold_closed("we must try")
        .await
        .unwrap();
    let jobs = enqueue(client, 4).await;
    service.until_called(60).await;
    assert_eq!(standing(client).await.state, BreakerState::HeldClosed);
    // Released, it judges again.
    client.breaker("smtp").close("enough").await.unwrap();
    until(client, BreakerState::Open).await;
    service.set_up();
    client
        .breaker("smtp")
        .hold_closed("it is back")
        .await
        .unwrap();
    until_completed(client, &jobs).await;
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_that_nobody_has_declared_cannot_be_opened_by_hand() {
    let url = server::fresh_database().await;
    let board = board_at(&url, with(queue(&Service::new()), breaker())).await;
    eventually("it is declared", || async {
        (!board.client().breakers().await.unwrap().is_empty()).then_some(())
    })
    .await;
    let refused = board
        .client()
        .breaker("smpt")
        .open(HOUR, "a slip")
        .await
        .unwrap_err();
    assert!(refused.is_refused_call());
    let text = refused.to_string();
    assert!(
        text.contains("\"smpt\"") && text.contains("declared are [\"smtp\"]"),
        "{text}"
    );
    let refused = board
        .client()
        .breaker("smtp")
        .open(Duration::MAX, "for ever")
        .await;
    assert!(refused.unwrap_err().is_refused_call());
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_jobs_that_waited_do_not_all_start_in_one_moment() {
    let (url, service) = (server::fresh_database().await, Service::gated());
    let board = board_at(&url, with(queue(&service), breaker().ramp(HOUR))).await;
    let client = board.client();
    eventually("it is declared", || async {
        (!client.breakers().await.unwrap().is_empty()).then_some(())
    })
    .await;
    client.breaker("smtp").hold_open("wait").await.unwrap();
    until_obeyed(&board, BreakerState::HeldOpen).await;
    let jobs = enqueue(client, 12).await;
    client.breaker("smtp").close("go on").await.unwrap();
    for ended in 0..4 {
        service.until_called(ended + 1).await;
        others_run(&board).await;
        assert_eq!(
            service.calls(),
            ended + 1,
            "one of four workers runs them at first"
        );
        service.gate.add_permits(1);
    }
    // When the time is over all may run.
    let rows = sql::connect(&url).await;
    let later = "update callboard.breakers set epoch = epoch + 1, changed_at = changed_at - interval '2 hours'";
    rows.execute(later, &[]).await.unwrap();
    service.until_called(4 + 4).await;
    service.gate.add_permits(100);
    until_completed(client, &jobs).await;
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_opens_when_calls_are_slow() {
    let (url, service) = (server::fresh_database().await, Service::gated());
    let slow = breaker().slow_calls(20 * MS, 1.0);
    let board = board_at(&url, with(queue(&service), slow)).await;
    let jobs = enqueue(board.client(), 4).await;
    service.until_called(4).await;
    // However loaded the machine is, they have taken longer than that by then.
    tokio::time::sleep(30 * MS).await;
    service.gate.add_permits(4);
    let open = until(board.client(), BreakerState::Open).await;
    assert_eq!(
        open.reason.as_deref(),
        Some("4 of 4 calls were slow, at or above 1")
    );
    until_completed(board.client(), &jobs).await;
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_nothing_about_the_service_does_not_count() {
    #[derive(Serialize, Deserialize)]
    struct Undecided(u8);

    impl Job for Undecided {
        const KIND: &'static str = "test.undecided";

        fn breaker() -> Option<Breaker> {
            Some(breaker())
        }

        async fn perform(self, _: &mut Context) -> Result<Outcome, BoxError> {
            Ok(match self.0 % 3 {
                0 => Outcome::Cancel("no more".into()),
                1 => Outcome::Snooze(HOUR),
                _ => Outcome::Bury("never".into()),
            })
        }
    }
    let (url, service) = (server::fresh_database().await, Service::new());
    let configure = with(queue(&service), breaker());
    let board = board_at(&url, |board| configure(board).job::<Undecided>()).await;
    let client = board.client();
    let jobs = client.enqueue_many((0..30).map(Undecided)).await.unwrap();
    until_state(client, jobs[29], JobState::Dead).await;
    until_confirmed(&board).await;
    // Four failures among them are all calls that count.
    service.set_down();
    enqueue(client, 4).await;
    let open = until(client, BreakerState::Open).await;
    assert!(open.reason.unwrap().starts_with("4 of 4 calls failed"));
    let kinds = [call!(ping()), call!(receive()), call!(send())].map(|call| call.kind().to_owned());
    assert_eq!(
        open.kinds,
        [&kinds[..], &["test.undecided".to_owned()]].concat()
    );
    board.shutdown().await.unwrap();
}

#[derive(Serialize, Deserialize)]
struct Row(u32);

impl BatchJob for Row {
    const KIND: &'static str = "test.row";
    const SIZE: u32 = 5;

    fn breaker() -> Option<Breaker> {
        Some(breaker())
    }

    fn backoff() -> Backoff {
        Backoff::constant(10 * MS)
    }

    async fn perform_batch(
        _: &mut Batch<Self>,
        cx: &mut BatchContext<'_>,
    ) -> Result<Outcome, BoxError> {
        let service = cx.state::<Service>()?.clone();
        service.call().await?;
        Ok(Outcome::Done)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_job_of_a_batch_is_a_call() {
    let (url, service) = (server::fresh_database().await, Service::down());
    let one = queue(&service).workers(1).max_demand(10);
    let board = board_at(&url, |board| {
        board.queue(one).job::<Row>().functions(functions![other])
    })
    .await;
    let client = board.client();
    let jobs = client.enqueue_many((0..10).map(Row)).await.unwrap();
    until(client, BreakerState::Open).await;
    until_confirmed(&board).await;
    let calls = service.calls();
    others_run(&board).await;
    assert_eq!(service.calls(), calls);
    assert!(calls <= 2, "{calls} batches ran");
    service.set_up();
    client.breaker("smtp").open(10 * MS, "try").await.unwrap();
    until_completed(client, &jobs).await;
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_that_cannot_be_written_is_obeyed_here_and_written_when_the_database_is_back() {
    let url = server::fresh_database().await;
    let (proxy, service) = (Proxy::start(&url).unwrap(), Service::gated());
    let board = board_at(proxy.url(), with(queue(&service).look_ahead(0), breaker())).await;
    let jobs = enqueue(board.client(), 20).await;
    service.until_called(4).await;
    proxy.refuse();
    proxy.cut();
    eventually("the breakers are degraded", || async {
        let health = board.health();
        matches!(
            health.parts.get("breakers"),
            Some(Condition::Degraded { .. })
        )
        .then_some(())
    })
    .await;
    service.set_down();
    service.gate.add_permits(1000);
    let rows = sql::connect(&url).await;
    eventually("the calls have ended", || async {
        (service.gate.available_permits() <= 996).then_some(())
    })
    .await;
    assert_eq!(
        number(
            &rows,
            "select count(*) from callboard.breakers where state <> 'closed'"
        )
        .await,
        0
    );
    proxy.accept();
    let open = until(board.client(), BreakerState::Open).await;
    assert!(open.reason.unwrap().starts_with("4 of 4 calls failed"));
    until_confirmed(&board).await;
    assert_eq!(service.calls(), 4, "none was tried after the verdict");
    service.set_up();
    board
        .client()
        .breaker("smtp")
        .close("it is back")
        .await
        .unwrap();
    until_completed(board.client(), &jobs).await;
    board.shutdown().await.unwrap();
}

#[tokio::test]
async fn options_that_cannot_work_are_refused_at_the_start() {
    let nowhere = || database_at("postgres://nobody@127.0.0.1:1/nothing");
    let cases: Vec<(Breaker, &str)> = vec![
        (
            breaker().failure_rate(0.0),
            "failure_rate 0; expected above 0, at most 1",
        ),
        (
            breaker().failure_rate(1.5),
            "failure_rate 1.5; expected above 0",
        ),
        (
            breaker().failure_rate(f64::NAN),
            "failure_rate NaN; expected above 0",
        ),
        (
            breaker().slow_calls(Duration::ZERO, 0.5),
            "slow_calls (0ns, 0.5); expected a time above zero",
        ),
        (
            breaker().slow_calls(HOUR, 0.0),
            "slow_calls (3600s, 0); expected a time above zero",
        ),
        (
            breaker().minimum_calls(0),
            "minimum_calls 0; expected 1 to 100000",
        ),
        (
            breaker().over_calls(3),
            "over_calls 3; expected minimum_calls (4) to 100000",
        ),
        (
            breaker().over_calls(100_001),
            "over_calls 100001; expected minimum_calls",
        ),
        (
            breaker().over_time(MS),
            "over_time 1ms; expected 100ms to a day",
        ),
        (breaker().over_time(Duration::MAX), "over_time 1844"),
        (
            breaker().open_for(MS),
            "open_for 1ms; expected 10ms to a hundred years",
        ),
        (
            breaker().longest_open(MS),
            "longest_open 1ms; expected open_for (3600s) to",
        ),
        (breaker().probes(0), "probes 0; expected 1 to 1000"),
        (breaker().probes(1001), "probes 1001; expected 1 to 1000"),
        (
            breaker().ramp(25 * HOUR),
            "ramp 90000s; expected at most a day",
        ),
        (
            Breaker::named("with space"),
            "the breaker \"with space\" contains ' '",
        ),
        (Breaker::named(""), "the breaker \"\" is empty"),
    ];
    for (breaker, expected) in cases {
        let board = Board::builder(nowhere()).handler(function!(send).breaker(breaker));
        let refused = board.start().await.unwrap_err();
        assert!(refused.is_config(), "{refused}");
        assert!(
            refused.to_string().contains(expected),
            "{expected:?} is not in: {refused}"
        );
    }
    let board = Board::builder(nowhere())
        .handler(function!(send).breaker(breaker()))
        .handler(function!(receive).breaker(breaker().probes(9)));
    let refused = board.start().await.unwrap_err();
    assert!(refused.is_config(), "{refused}");
    let text = refused.to_string();
    assert!(
        text.contains("the breaker \"smtp\" has different options") && text.contains("receive"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_without_a_name_is_of_its_kind_alone() {
    let (url, service) = (server::fresh_database().await, Service::down());
    let alone = Breaker::new()
        .minimum_calls(4)
        .over_time(HOUR)
        .open_for(HOUR)
        .longest_open(HOUR);
    let board = board_at(&url, |board| {
        let send = function!(send)
            .breaker(alone.clone())
            .backoff(Backoff::constant(10 * MS));
        let receive = function!(receive)
            .breaker(alone)
            .backoff(Backoff::constant(HOUR));
        board.queue(queue(&service)).handler(send).handler(receive)
    })
    .await;
    let client = board.client();
    let kind = |call: Call| call.kind().to_owned();
    enqueue(client, 4).await;
    let open = until(client, BreakerState::Open).await;
    assert_eq!(
        (&open.name, &open.kinds),
        (&kind(call!(send())), &vec![kind(call!(send()))])
    );
    until_confirmed(&board).await;
    let calls = service.calls();
    client.enqueue(call!(receive())).await.unwrap();
    service.until_called(calls + 1).await;
    let other = client
        .breaker_of(&kind(call!(receive())))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(other.state, BreakerState::Closed);
    board.shutdown().await.unwrap();
}
