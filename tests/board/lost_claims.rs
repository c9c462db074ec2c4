//! Claims whose answers are lost after they were made: what they took is found again.

use std::sync::Arc;
use std::time::Duration;

use callboard::testing::Proxy;
use callboard::{BoxError, Client, Context, Event, JobState, Outcome, Queue, call, functions};

use crate::support::births::seldom;
use crate::support::{
    board_at, board_on, database_at, eventually, server, sharing, sql, sql::number, until_state,
};

async fn snooze_once(cx: &mut Context) -> Result<Outcome, BoxError> {
    if cx.attempt().as_i32() > 1 {
        return Ok(Outcome::Done);
    }
    let proxy = cx.state::<Arc<Proxy>>()?;
    proxy.lose_answers_to("set state = 'executing'", 1);
    Ok(Outcome::Snooze(Duration::from_millis(1)))
}

async fn other() {}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_claim_is_found_while_the_attempt_before_it_is_unconfirmed() {
    let url = server::fresh_database().await;
    let rows = sql::connect(&url).await;
    let proxy = Arc::new(Proxy::start(&url).unwrap());
    let board = board_at(proxy.url(), |b| {
        // Claims are made when something is announced, and so none comes between.
        let seldom = Duration::from_secs(60);
        b.queue(sharing(
            Queue::new("default").workers(2).poll_every(seldom),
            &proxy,
        ))
        .functions(functions![snooze_once, other])
    })
    .await;
    let working = || async { board.health().is_working().then_some(()) };
    eventually("the board works", working).await;
    let client = board.client();
    // Answers are written on the server, and not confirmed here.
    proxy.lose_answers_to("after_ms, failure", 1_000);
    let job = client.enqueue(call!(snooze_once())).await.unwrap();
    eventually("its second attempt is claimed", || async {
        let claimed = "select count(*) from callboard.jobs where attempt = 2";
        (number(&rows, claimed).await == 1).then_some(())
    })
    .await;
    // Claimed after the board has looked for what the lost answer gave it.
    let later = client.enqueue(call!(other())).await.unwrap();
    until_state(client, later, JobState::Completed).await;
    proxy.keep_answers();
    let job = until_state(client, job, JobState::Completed).await;
    assert_eq!(job.attempt.as_i32(), 2);
    board.shutdown().await.unwrap();
}

async fn through_the_gate(cx: &mut Context) -> Result<(), BoxError> {
    let gate = cx.state::<Arc<tokio::sync::Semaphore>>()?;
    gate.acquire().await?.forget();
    Ok(())
}

/// A crash of the server takes a claim back. The attempt's answer is refused, and before that is known
/// here, the job is claimed again, at the same attempt.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_claimed_again_between_its_answer_and_the_refusal_is_found() {
    let url = server::fresh_database().await;
    let (rows, lock) = (sql::connect(&url).await, sql::connect(&url).await);
    let proxy = Proxy::start(&url).unwrap();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let seldom = Duration::from_secs(60);
    let queue = Queue::new("default").workers(2).poll_every(seldom);
    let board = board_at(proxy.url(), |b| {
        b.queue(sharing(queue, &gate))
            .functions(functions![through_the_gate, other])
    })
    .await;
    let client = board.client();
    let job = client.enqueue(call!(through_the_gate())).await.unwrap();
    until_state(client, job, JobState::Executing).await;
    let taken_back =
        "update callboard.jobs set state = 'available', is_ready = true, attempt = 0, node = null";
    rows.batch_execute(taken_back).await.unwrap();
    // The answer is refused; that is not heard, and refused again; then it is asked whether it had been
    // accepted before, which takes a while here.
    proxy.lose_answers_to("is true", 1);
    let wait = "begin; lock table callboard.dead_letters in access exclusive mode";
    lock.batch_execute(wait).await.unwrap();
    gate.add_permits(2);
    eventually("the ledger asks", || async {
        let asks = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' \
                    and datname = current_database()";
        (number(&rows, asks).await == 1).then_some(())
    })
    .await;
    client.enqueue(call!(other())).await.unwrap();
    eventually("the next claim is here", || async {
        (board.counts().claimed == 2).then_some(())
    })
    .await;
    let claimed = "select count(*) from callboard.jobs where state = 'executing' and attempt = 1";
    assert_eq!(number(&rows, claimed).await, 2, "both were claimed");
    lock.batch_execute("commit").await.unwrap();
    let job = until_state(client, job, JobState::Completed).await;
    assert_eq!(job.attempt.as_i32(), 1);
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_ends_waits_for_the_claim_that_is_under_way_and_gives_back_what_it_brings() {
    let url = server::fresh_database().await;
    let rows = sql::connect(&url).await;
    // Nothing here gives up before the test does.
    let database = database_at(&url).statement_timeout(Duration::from_secs(60));
    let board = board_on(database, |b| b.queue(seldom()).functions(functions![other])).await;
    // Claims look at the limits, and enqueues by others do not. While the queue is paused there are none.
    board.queue("default").pause().await.unwrap();
    let held = "begin; lock table callboard.limits in access exclusive mode";
    rows.batch_execute(held).await.unwrap();
    let client = Client::connect(database_at(&url)).await.unwrap();
    let job = client.enqueue(call!(other())).await.unwrap();
    board.queue("default").resume().await.unwrap();
    let waiting = "select count(*) from pg_locks where not granted and relation = 'callboard.limits'::regclass";
    eventually("the claim waits", || async {
        (number(&rows, waiting).await == 1).then_some(())
    })
    .await;

    let mut events = board.events();
    let ending = tokio::spawn({
        let board = board.clone();
        async move { board.shutdown().await }
    });
    while !matches!(events.next().await, Some(Ok(Event::Closing { .. }))) {}
    // A board that does not wait is gone before these are answered.
    for _ in 0..100 {
        assert_eq!(number(&rows, waiting).await, 1);
    }
    assert!(!ending.is_finished());
    rows.batch_execute("commit").await.unwrap();
    ending.await.unwrap().unwrap();
    let job = client.job(job).await.unwrap().unwrap();
    assert_eq!(job.state, JobState::Available);
    assert!(job.errors.is_empty(), "{job:?}");
    assert_eq!((board.counts().claimed, board.counts().released), (1, 1));
    let nodes = number(&rows, "select count(*) from callboard.nodes").await;
    assert_eq!(nodes, 0, "it has said goodbye, with nothing left");
}
