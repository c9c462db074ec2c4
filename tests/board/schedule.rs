//! Jobs that start later: after a delay, or at a time.

use std::time::Duration;

use callboard::{Board, Client, JobId, JobState, Queue, call, functions};
use chrono::{DateTime, Utc};

use crate::support::{board_at, database_at, server, sql, until_state};

async fn tick() {}

/// A board that hears of due jobs from its scheduler alone: it polls hardly ever.
async fn punctual_board(url: &str) -> Board {
    let queue = Queue::new("default").poll_every(Duration::from_secs(600));
    board_at(url, |b| b.queue(queue).functions(functions![tick])).await
}

async fn due_at(client: &Client, id: JobId) -> DateTime<Utc> {
    let job = client.job(id).await.unwrap().unwrap();
    assert_eq!(job.state, JobState::Scheduled);
    job.due_at.expect("a scheduled job is due at a time")
}

/// How late a job was claimed, by the database's clock.
async fn lateness(client: &Client, id: JobId, due: DateTime<Utc>) -> Duration {
    let job = until_state(client, id, JobState::Completed).await;
    let late = job.attempted_at.expect("it was claimed") - due;
    late.to_std().expect("no job starts before it is due")
}

#[tokio::test(flavor = "multi_thread")]
async fn delayed_jobs_start_when_they_are_due_and_not_before() {
    let url = server::fresh_database().await;
    let board = punctual_board(&url).await;
    let client = board.client();
    let mut due = Vec::new();
    for number in 0..10 {
        let delay = Duration::from_millis(2_000 + 70 * number);
        let id = client.enqueue(call!(tick()).run_in(delay)).await.unwrap();
        let job = client.job(id).await.unwrap().unwrap();
        let due_at = due_at(client, id).await;
        let waits = (due_at - job.enqueued_at).to_std().unwrap();
        assert!(delay.abs_diff(waits) < Duration::from_secs(1), "{waits:?}");
        due.push((id, due_at));
    }
    let mut late = Vec::new();
    for (id, due_at) in due {
        late.push(lateness(client, id, due_at).await);
    }
    late.sort_unstable();
    // An idle machine does it in a few milliseconds; polling would take half a second.
    assert!(late[5] < Duration::from_millis(250), "{late:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_starts_at_its_time_by_the_clock_of_the_database() {
    let url = server::fresh_database().await;
    let board = punctual_board(&url).await;
    let rows = sql::connect(&url).await;
    let now = "select (extract(epoch from clock_timestamp()) * 1e6)::bigint";
    let now = DateTime::from_timestamp_micros(sql::number(&rows, now).await).unwrap();
    let at = now + Duration::from_secs(2);
    let id = board
        .client()
        .enqueue(call!(tick()).run_at(at))
        .await
        .unwrap();
    assert_eq!(due_at(board.client(), id).await, at);
    lateness(board.client(), id, at).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_has_passed_means_now() {
    let url = server::fresh_database().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let past = Utc::now() - Duration::from_secs(3600);
    let calls = [
        call!(tick()).run_at(past),
        call!(tick()).run_in(Duration::ZERO),
    ];
    for id in client.enqueue_many(calls).await.unwrap() {
        let job = client.job(id).await.unwrap().unwrap();
        assert_eq!((job.state, job.due_at), (JobState::Available, None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_scheduled_is_run_when_it_is_due() {
    let url = server::fresh_database().await;
    let _board = punctual_board(&url).await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let call = call!(tick()).run_in(Duration::from_secs(2));
    let id = client.enqueue(call).await.unwrap();
    let due_at = due_at(&client, id).await;
    lateness(&client, id, due_at).await;
}
