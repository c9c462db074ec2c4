//! The largest values, and waits without end.

use std::time::Duration;

use callboard::{Backoff, BoxError, JobState, Outcome, Queue, call, functions};

use crate::support::{board, until_state};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_values_work() {
    async fn quick() {}
    let queue = Queue::new("default")
        .max_demand(10_000)
        .look_ahead(10_000)
        .poll_every(DAY)
        .cancel_grace(CENTURY);
    let board = board(|b| {
        b.queue(queue)
            .lease(DAY)
            .shutdown_grace(CENTURY)
            .max_deaths(u32::MAX)
            .history(CENTURY)
            .functions(functions![quick])
    })
    .await;
    let endless = Backoff::constant(Duration::MAX);
    let call = call!(quick()).backoff(endless);
    let id = board.client().enqueue(call).await.unwrap();
    until_state(board.client(), id, JobState::Completed).await;
    assert!(board.health().is_working(), "{}", board.health());
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_wait_hangs_nothing() {
    async fn patient() -> Result<Outcome, BoxError> {
        Ok(Outcome::Snooze(Duration::MAX))
    }
    async fn failing() -> Result<(), &'static str> {
        Err("as ever")
    }
    let board = board(|b| {
        b.queue(Queue::new("default"))
            .functions(functions![patient, failing])
    })
    .await;
    let client = board.client();
    let snoozed = client.enqueue(call!(patient())).await.unwrap();
    let job = until_state(client, snoozed, JobState::Scheduled).await;
    let years = (job.due_at.unwrap() - job.enqueued_at).num_days() / 366;
    assert_eq!(years, 100);
    let endless = Backoff::exponential(Duration::MAX, Duration::MAX);
    let failed = client
        .enqueue(call!(failing()).backoff(endless))
        .await
        .unwrap();
    until_state(client, failed, JobState::Retryable).await;
}
