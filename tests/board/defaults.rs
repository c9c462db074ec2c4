//! What holds for every job of a kind, and what one enqueue says differently.

use std::time::Duration;

use callboard::job::Backoff;
use callboard::{Board, BoxError, Call, Context, Job, JobState, Outcome, Queue, call, function};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::support::{board, until_state};

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Serialize, Deserialize)]
struct Picky;

impl Job for Picky {
    const KIND: &'static str = "test.picky";
    const QUEUE: &'static str = "side";
    const PRIORITY: i16 = 7;
    const MAX_ATTEMPTS: u16 = 2;
    const TIME_LIMIT: Duration = Duration::from_secs(90);

    fn backoff() -> Backoff {
        Backoff::constant(10 * MINUTE)
    }

    async fn perform(self, cx: &mut Context) -> Result<Outcome, BoxError> {
        tell(cx).await
    }
}

/// Tells what holds for this attempt, in an error the first time.
async fn tell(cx: &mut Context) -> Result<Outcome, BoxError> {
    let limit = cx.time_left().as_secs_f64().ceil();
    let told = json!({ "queue": cx.queue(), "limit": limit, "last": cx.is_last_attempt() });
    Err(told.to_string().into())
}

async fn board_of_both() -> Board {
    let function = function!(tell)
        .queue("side")
        .priority(7)
        .max_attempts(2)
        .time_limit(Duration::from_secs(90))
        .backoff(Backoff::constant(10 * MINUTE));
    board(|b| {
        b.queue(Queue::new("side"))
            .queue(Queue::new("default"))
            .job::<Picky>()
            .handler(function)
    })
    .await
}

/// After one attempt: queue, priority, the limit it had, whether it was its last, its wait.
async fn after_one(board: &Board, call: Call, state: JobState) -> (String, i16, f64, bool, i64) {
    let id = board.client().enqueue(call).await.unwrap();
    let waiting = until_state(board.client(), id, state).await;
    let told = waiting.errors[0]["message"].as_str().unwrap();
    let told: serde_json::Value = serde_json::from_str(told).unwrap();
    assert_eq!(told["queue"], waiting.queue);
    let wait = waiting
        .due_at
        .map_or(0, |due| (due - waiting.attempted_at.unwrap()).num_minutes());
    (
        waiting.queue,
        waiting.priority.unwrap_or_default(),
        told["limit"].as_f64().unwrap(),
        told["last"].as_bool().unwrap(),
        wait,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_defaults_of_a_kind_hold_for_its_jobs() {
    let board = board_of_both().await;
    for call in [Picky.call(), call!(tell())] {
        let (queue, priority, limit, is_last, wait) =
            after_one(&board, call, JobState::Retryable).await;
        assert_eq!((queue.as_str(), priority), ("side", 7));
        assert_eq!((limit, is_last), (90.0, false));
        assert!((10..=13).contains(&wait), "{wait} minutes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enqueue_overrides_the_defaults_of_its_kind() {
    let board = board_of_both().await;
    for call in [Picky.call(), call!(tell())] {
        let call = call
            .queue("default")
            .priority(-7)
            .max_attempts(9)
            .time_limit(Duration::from_secs(30))
            .backoff(Backoff::constant(100 * MINUTE));
        let (queue, priority, limit, is_last, wait) =
            after_one(&board, call, JobState::Retryable).await;
        assert_eq!((queue.as_str(), priority), ("default", -7));
        assert_eq!((limit, is_last), (30.0, false));
        assert!((100..=126).contains(&wait), "{wait} minutes");
    }
    let once = Picky.call().max_attempts(1);
    let (_, _, _, is_last, _) = after_one(&board, once, JobState::Dead).await;
    assert!(is_last);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_says_nothing_gets_the_defaults_of_the_crate() {
    async fn plain(cx: &mut Context) -> Result<Outcome, BoxError> {
        tell(cx).await
    }
    let board = board(|b| {
        b.queue(Queue::new("default"))
            .functions(callboard::functions![plain])
    })
    .await;
    let (queue, priority, limit, is_last, _) =
        after_one(&board, call!(plain()), JobState::Retryable).await;
    assert_eq!((queue.as_str(), priority), ("default", 0));
    assert_eq!((limit, is_last), (300.0, false));
}
