//! Cancellation: of waiting jobs at once, of running ones through their token, from any process.

use std::sync::Arc;
use std::time::Duration;

use callboard::handler::CancelReason;
use callboard::store::Cancelled;
use callboard::{Board, BoxError, Client, Context, JobId, JobState, Outcome, Queue};
use callboard::{call, functions};
use tokio::sync::{Notify, Semaphore};

use crate::support::{
    board, board_at, database_at, server, sharing, sql, until_confirmed, until_state,
};

/// How a handler and its test talk.
#[derive(Clone)]
struct Signals {
    begun: Arc<Semaphore>,
    go_on: Arc<Notify>,
}

impl Signals {
    fn new() -> Self {
        Self {
            begun: Arc::new(Semaphore::new(0)),
            go_on: Arc::new(Notify::new()),
        }
    }

    async fn has_begun(&self) {
        self.begun.acquire().await.unwrap().forget();
    }
}

fn begin(cx: &mut Context) -> Result<Signals, BoxError> {
    let signals = cx.state::<Signals>()?.clone();
    signals.begun.add_permits(1);
    Ok(signals)
}

async fn polite(cx: &mut Context) -> Result<Outcome, BoxError> {
    begin(cx)?;
    cx.cancellation().cancelled().await;
    assert_eq!(cx.cancel_reason(), Some(CancelReason::Requested));
    Err("stopped when I was told to".into())
}

async fn deaf(cx: &mut Context) -> Result<Outcome, BoxError> {
    begin(cx)?;
    std::future::pending().await
}

async fn stubborn(cx: &mut Context) -> Result<Outcome, BoxError> {
    let signals = begin(cx)?;
    cx.cancellation().cancelled().await;
    signals.go_on.notified().await;
    Outcome::done_with(&"finished all the same")
}

async fn sleepy(cx: &mut Context) -> Result<Outcome, BoxError> {
    begin(cx)?;
    cx.cancellation().cancelled().await;
    Ok(Outcome::Snooze(Duration::from_secs(1)))
}

async fn digging(cx: &mut Context) -> Result<(), BoxError> {
    begin(cx)?;
    let dug = cx.spawn_blocking(|blocking| {
        while blocking.check().is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
        blocking.check()
    });
    Ok(dug.await??)
}

async fn board_with(signals: &Signals) -> Board {
    board_at(&server::fresh_database().await, |b| configured(b, signals)).await
}

fn configured(builder: callboard::board::Builder, signals: &Signals) -> callboard::board::Builder {
    let queue = Queue::new("default").workers(2);
    builder
        .queue(sharing(queue, signals))
        .functions(functions![polite, deaf, stubborn, sleepy, digging])
}

/// The one error of a job that was cancelled in its first attempt and stays so.
async fn cancelled_message(client: &Client, id: JobId) -> String {
    let job = until_state(client, id, JobState::Cancelled).await;
    assert_eq!((job.attempt.as_i32(), job.errors.len()), (1, 1), "{job:?}");
    assert_eq!(job.errors[0]["kind"], "cancelled");
    job.errors[0]["message"].as_str().unwrap().to_owned()
}

async fn asks(client: &Client, id: JobId) {
    assert_eq!(client.cancel(id).await.unwrap(), Cancelled::Asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_jobs_are_cancelled_at_once_and_never_run() {
    let board = board(|b| b.functions(functions![deaf])).await;
    let client = board.client();
    let later = call!(deaf()).run_in(Duration::from_secs(3600));
    for call in [call!(deaf()), later] {
        let id = client.enqueue(call).await.unwrap();
        assert_eq!(client.cancel(id).await.unwrap(), Cancelled::AtOnce);
        let job = client.job(id).await.unwrap().unwrap();
        assert_eq!((job.state, job.attempt.as_i32()), (JobState::Cancelled, 0));
        assert!(job.finished_at.is_some());
        assert_eq!(client.cancel(id).await.unwrap(), Cancelled::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_between_two_attempts_is_cancelled_with_its_errors() {
    async fn failing() -> Result<(), &'static str> {
        Err("as ever")
    }
    let board = board(|b| {
        b.queue(Queue::new("default"))
            .functions(functions![failing])
    })
    .await;
    let client = board.client();
    let id = client.enqueue(call!(failing())).await.unwrap();
    until_state(client, id, JobState::Retryable).await;
    assert_eq!(client.cancel(id).await.unwrap(), Cancelled::AtOnce);
    let job = client.job(id).await.unwrap().unwrap();
    assert_eq!((job.state, job.errors.len()), (JobState::Cancelled, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_right_after_it_has_cancelled_has_told_the_node() {
    let (url, signals) = (server::fresh_database().await, Signals::new());
    // Nobody looks by himself for longer than the test waits.
    let lease = Duration::from_secs(3600);
    let board = board_at(&url, |b| configured(b, &signals).lease(lease)).await;
    let id = board.client().enqueue(call!(polite())).await.unwrap();
    signals.has_begun().await;
    let short_lived = std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(async {
            let client = Client::connect(database_at(&url)).await.unwrap();
            asks(&client, id).await;
        });
    });
    assert_eq!(
        cancelled_message(board.client(), id).await,
        "stopped when I was told to"
    );
    short_lived.join().unwrap();
}

#[tokio::test]
async fn a_job_that_never_was_is_not_found() {
    let url = server::fresh_database().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let nobody = JobId::from_i64(4711);
    assert_eq!(client.cancel(nobody).await.unwrap(), Cancelled::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_that_stops_with_an_error_is_cancelled_and_not_retried() {
    let signals = Signals::new();
    let board = board_with(&signals).await;
    let id = board.client().enqueue(call!(polite())).await.unwrap();
    signals.has_begun().await;
    asks(board.client(), id).await;
    let message = cancelled_message(board.client(), id).await;
    assert_eq!(message, "stopped when I was told to");
    until_confirmed(&board).await;
    assert_eq!(board.counts().cancelled, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_cancels_a_running_job() {
    let signals = Signals::new();
    let url = server::fresh_database().await;
    let _board = board_at(&url, |b| configured(b, &signals)).await;
    let other = Client::connect(database_at(&url)).await.unwrap();
    let id = other.enqueue(call!(polite())).await.unwrap();
    signals.has_begun().await;
    asks(&other, id).await;
    let message = cancelled_message(&other, id).await;
    assert_eq!(message, "stopped when I was told to");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_that_nobody_announced_is_noticed_all_the_same() {
    let signals = Signals::new();
    let url = server::fresh_database().await;
    let lease = Duration::from_secs(2);
    let board = board_at(&url, |b| configured(b, &signals).lease(lease)).await;
    let id = board.client().enqueue(call!(polite())).await.unwrap();
    signals.has_begun().await;
    // What the statement of a cancellation writes, without the notification that follows it.
    let wish = "update callboard.jobs set cancel_requested_at = clock_timestamp()";
    sql::connect(&url).await.batch_execute(wish).await.unwrap();
    cancelled_message(board.client(), id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_does_not_listen_is_cut_off_after_the_grace() {
    let signals = Signals::new();
    let queue = Queue::new("default").cancel_grace(Duration::from_millis(300));
    let queue = sharing(queue.workers(1), &signals);
    let board = board(|b| b.queue(queue).functions(functions![deaf])).await;
    let id = board.client().enqueue(call!(deaf())).await.unwrap();
    signals.has_begun().await;
    let asked = tokio::time::Instant::now();
    asks(board.client(), id).await;
    let message = cancelled_message(board.client(), id).await;
    assert!(
        message.contains("did not stop within the grace"),
        "{message}"
    );
    assert!(
        asked.elapsed() >= Duration::from_millis(300),
        "not before the grace"
    );
    // Its worker goes on.
    assert!(board.health().is_working());
    board.client().enqueue(call!(deaf())).await.unwrap();
    signals.has_begun().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocking_work_hears_of_the_cancellation() {
    let signals = Signals::new();
    let board = board_with(&signals).await;
    let id = board.client().enqueue(call!(digging())).await.unwrap();
    signals.has_begun().await;
    asks(board.client(), id).await;
    let message = cancelled_message(board.client(), id).await;
    let expected = "the attempt was cancelled or its time limit has passed";
    assert_eq!(message, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn blocking_work_hears_of_the_time_limit() {
    async fn digging(cx: &mut Context) -> Result<(), BoxError> {
        let ended = cx.state::<Arc<Notify>>()?.clone();
        let dug = cx.spawn_blocking(move |blocking| {
            while !blocking.should_stop() {
                std::thread::sleep(Duration::from_millis(1));
            }
            ended.notify_one();
            blocking.check()
        });
        Ok(dug.await??)
    }
    let ended = Arc::new(Notify::new());
    let queue = sharing(Queue::new("default"), &ended);
    let board = board(|b| b.queue(queue).functions(functions![digging])).await;
    let call = call!(digging())
        .time_limit(Duration::from_secs(1))
        .max_attempts(1);
    let id = board.client().enqueue(call).await.unwrap();
    let job = until_state(board.client(), id, JobState::Dead).await;
    assert_eq!(job.errors[0]["kind"], "timed_out");
    ended.notified().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_completes_although_it_was_told_to_stop_is_completed() {
    let signals = Signals::new();
    let board = board_with(&signals).await;
    let client = board.client();
    let id = client.enqueue(call!(stubborn())).await.unwrap();
    signals.has_begun().await;
    asks(client, id).await;
    signals.go_on.notify_one();
    let job = until_state(client, id, JobState::Completed).await;
    assert_eq!(job.output, Some("finished all the same".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_snoozes_when_it_is_told_to_stop_is_cancelled() {
    let signals = Signals::new();
    let board = board_with(&signals).await;
    let id = board.client().enqueue(call!(sleepy())).await.unwrap();
    signals.has_begun().await;
    asks(board.client(), id).await;
    until_state(board.client(), id, JobState::Cancelled).await;
    until_confirmed(&board).await;
}
