//! How attempts end when the handler decides or fails: done, retried, snoozed, cancelled, buried.

use std::time::Duration;

use callboard::job::{Backoff, BuryReason};
use callboard::store::{DeadFilter, DeadLetter, JobInfo};
use callboard::{Board, Call, Job, JobId, JobState, Outcome, Queue, call, function, functions};
use serde_json::{Value, json};

use crate::support::script::{Script, Step};
use crate::support::{board, until_confirmed, until_state};

async fn scripted_board() -> Board {
    board(|b| b.queue(Queue::new("default").workers(2)).job::<Script>()).await
}

async fn enqueue(board: &Board, steps: &[Step]) -> JobId {
    let script = Script(steps.to_vec());
    board.client().enqueue(script).await.unwrap()
}

async fn ends(board: &Board, id: JobId, state: JobState) -> JobInfo {
    until_state(board.client(), id, state).await
}

async fn dead_letter(board: &Board, id: JobId) -> DeadLetter {
    ends(board, id, JobState::Dead).await;
    let filter = DeadFilter::all().ids([id]);
    let letters = board.client().dead_letters(filter, 2).await.unwrap();
    assert_eq!(letters.len(), 1);
    letters.into_iter().next().unwrap()
}

fn fail(text: &str) -> Step {
    Step::Fail(text.to_owned())
}

/// Of each error: attempt, kind, message.
fn told(errors: &[Value]) -> Vec<(i64, &str, &str)> {
    errors
        .iter()
        .map(|error| {
            assert!(error["at"].is_string(), "{error}");
            (
                error["attempt"].as_i64().unwrap(),
                error["kind"].as_str().unwrap(),
                error["message"].as_str().unwrap(),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_is_kept_in_the_history() {
    let board = scripted_board().await;
    let with = enqueue(&board, &[Step::CompleteWith("the answer".into())]).await;
    let without = enqueue(&board, &[Step::Complete]).await;
    let job = ends(&board, with, JobState::Completed).await;
    assert_eq!(job.output, Some(json!("the answer")));
    let job = ends(&board, without, JobState::Completed).await;
    assert_eq!((job.output, job.errors), (None, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_is_retried_and_every_error_is_kept() {
    let board = scripted_board().await;
    let id = enqueue(
        &board,
        &[fail("no route"), fail("no answer"), Step::Complete],
    )
    .await;
    let job = ends(&board, id, JobState::Completed).await;
    assert_eq!(job.attempt.as_i32(), 3);
    let expected = [(1, "error", "no route"), (2, "error", "no answer")];
    assert_eq!(told(&job.errors), expected);
    until_confirmed(&board).await;
    assert_eq!((board.counts().retried, board.counts().completed), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_budget_makes_a_dead_letter_with_all_attempts_and_how_things_stood() {
    let board = scripted_board().await;
    // Two jobs that wait for a worker that will never come, for the queue's depth.
    let unknown = || Call::named("test.unknown", &());
    board
        .client()
        .enqueue_many([unknown(), unknown()])
        .await
        .unwrap();
    let script = Script(vec![fail("first"), fail("second"), fail("third")]);
    let call = Job::call(&script).max_attempts(3);
    let id = board.client().enqueue(call).await.unwrap();
    let letter = dead_letter(&board, id).await;
    assert_eq!(letter.reason, BuryReason::Exhausted);
    assert_eq!(
        (letter.attempt.as_i32(), letter.failures, letter.deaths),
        (3, 3, 0)
    );
    let expected = [
        (1, "error", "first"),
        (2, "error", "second"),
        (3, "error", "third"),
    ];
    assert_eq!(told(&letter.errors), expected);
    let told = &letter.diagnostics;
    assert_eq!(told["node"], board.node().to_string());
    assert!(
        told["worker"].as_str().unwrap().starts_with("worker-"),
        "{told}"
    );
    assert_eq!(told["queue_depth"], 2);
    assert!(
        told["ran_ms"].is_u64() && told["waited_ms"].is_i64(),
        "{told}"
    );
    let arguments = board.client().arguments(&letter.kind, &letter.arguments);
    assert_eq!(arguments.unwrap()[1], json!({ "Fail": "second" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hopeless_job_is_buried_at_once() {
    let board = scripted_board().await;
    let id = enqueue(&board, &[Step::Bury("the account is gone".into())]).await;
    let letter = dead_letter(&board, id).await;
    assert_eq!(letter.reason, BuryReason::Discarded);
    assert_eq!(
        told(&letter.errors),
        [(1, "discarded", "the account is gone")]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_can_end_its_job_as_cancelled() {
    let board = scripted_board().await;
    let id = enqueue(&board, &[fail("once"), Step::Cancel("not needed".into())]).await;
    let job = ends(&board, id, JobState::Cancelled).await;
    let expected = [(1, "error", "once"), (2, "cancelled", "not needed")];
    assert_eq!(told(&job.errors), expected);
    assert!(job.finished_at.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn snoozes_are_attempts_that_cost_nothing() {
    let board = scripted_board().await;
    let snooze = Step::Snooze(Duration::from_millis(120));
    let script = Script(vec![
        snooze.clone(),
        snooze.clone(),
        snooze,
        fail("at last"),
    ]);
    let call = Job::call(&script).max_attempts(1);
    let id = board.client().enqueue(call).await.unwrap();
    let letter = dead_letter(&board, id).await;
    assert_eq!((letter.attempt.as_i32(), letter.failures), (4, 1));
    assert_eq!(told(&letter.errors), [(4, "error", "at last")]);
    until_confirmed(&board).await;
    assert_eq!(board.counts().snoozed, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snoozed_job_waits_as_long_as_it_said() {
    let board = scripted_board().await;
    let hour = Duration::from_secs(3600);
    let id = enqueue(&board, &[Step::Snooze(hour)]).await;
    let job = ends(&board, id, JobState::Scheduled).await;
    let waits = job.due_at.unwrap() - job.attempted_at.unwrap();
    let waits = waits.to_std().unwrap();
    assert!(
        waits >= hour && waits < hour + Duration::from_secs(60),
        "{waits:?}"
    );
    assert_eq!((job.failures, job.node), (Some(0), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_beyond_its_time_limit_fails() {
    let board = scripted_board().await;
    let script = Script(vec![Step::Hang, Step::Complete]);
    let call = Job::call(&script).time_limit(Duration::from_millis(700));
    let id = board.client().enqueue(call).await.unwrap();
    let job = ends(&board, id, JobState::Completed).await;
    let expected = "took longer than its time limit of 700ms";
    assert_eq!(told(&job.errors), [(1, "timed_out", expected)]);
}

/// How long a job waits after its first failure, without its jitter of up to a quarter.
async fn waits(board: &Board, call: Call, at_least: Duration) {
    let id = board.client().enqueue(call).await.unwrap();
    let job = ends(board, id, JobState::Retryable).await;
    let waits = job.due_at.unwrap() - job.attempted_at.unwrap();
    let waits = waits.to_std().unwrap();
    let at_most = at_least.mul_f64(1.25) + Duration::from_secs(2);
    assert!(
        waits >= at_least && waits <= at_most,
        "{waits:?} for {at_least:?}"
    );
}

async fn failing() -> Result<(), &'static str> {
    Err("as ever")
}

async fn failing_hourly() -> Result<Outcome, &'static str> {
    Err("as ever")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_waits_as_its_call_its_kind_or_the_crate_says() {
    let minute = Duration::from_secs(60);
    let hourly = Backoff::exponential(60 * minute, 120 * minute);
    let board = board(|b| {
        b.queue(Queue::new("default"))
            .functions(functions![failing])
            .handler(function!(failing_hourly).backoff(hourly))
    })
    .await;
    waits(&board, call!(failing()), Duration::from_secs(5)).await;
    waits(&board, call!(failing_hourly()), 60 * minute).await;
    let constant = Backoff::constant(7 * minute);
    waits(
        &board,
        call!(failing_hourly()).backoff(constant),
        7 * minute,
    )
    .await;
    waits(&board, call!(failing()).backoff(hourly), 60 * minute).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_double_with_every_failure() {
    let board = scripted_board().await;
    let backoff = Backoff::exponential(Duration::from_millis(200), Duration::from_millis(400));
    let call = Job::call(&Script(vec![fail("as ever")]));
    let call = call.backoff(backoff).max_attempts(4);
    let id = board.client().enqueue(call).await.unwrap();
    let letter = dead_letter(&board, id).await;
    let at = |index: usize| {
        let at = letter.errors[index]["at"].as_str().unwrap();
        chrono::DateTime::parse_from_rfc3339(at).unwrap()
    };
    let gaps: Vec<_> = (0..3)
        .map(|index| (at(index + 1) - at(index)).num_milliseconds())
        .collect();
    assert!(
        gaps[0] >= 200 && gaps[1] >= 400 && gaps[2] >= 400,
        "{gaps:?}"
    );
}
