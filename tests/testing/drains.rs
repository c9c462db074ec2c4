//! Draining queues and moving time.

use std::time::Duration;

use callboard::supervision::ChildStatus;
use callboard::testing::TestBoard;
use callboard::{Job, JobId, JobState, call};

use crate::jobs::{Mail, Newsletter, application, look};

/// Nobody is there who could claim the job.
async fn assert_paused(board: &TestBoard, job: JobId) {
    let tree = board.supervisor().snapshot();
    let queue = tree.find(&["queues", "mail"]).unwrap();
    assert_eq!(queue.info.status, ChildStatus::Stopped);
    assert!(board.health().is_working(), "{}", board.health());
    let waiting = board.client().job(job).await.unwrap().unwrap();
    assert_eq!(waiting.state, JobState::Available);
}

#[tokio::test]
async fn a_paused_board_runs_nothing_until_it_is_drained() {
    let board = TestBoard::paused(application).await;
    let job = board.client().enqueue(Mail { user: 1 }).await.unwrap();
    assert_paused(&board, job).await;

    let drained = board.drain("mail").await;
    assert_eq!((drained.completed, drained.attempts.len()), (1, 1));
    assert_eq!(board.settled(job).await.state, JobState::Completed);

    let later = board.client().enqueue(Mail { user: 2 }).await.unwrap();
    assert_paused(&board, later).await;
}

#[tokio::test]
async fn a_drain_runs_what_its_jobs_enqueue_and_counts_every_attempt() {
    let board = TestBoard::paused(application).await;
    let client = board.client();
    client.enqueue(Newsletter { users: 250 }).await.unwrap();
    client.enqueue(Mail { user: -1 }).await.unwrap();
    client.enqueue(call!(look(2)).queue("mail")).await.unwrap();
    client.enqueue(call!(look(1))).await.unwrap();
    let drained = board.drain("mail").await;
    assert_eq!(drained.completed, 251);
    assert_eq!(drained.snoozed, 1);
    // A failed mail waits for 10 ms, so it may or may not have been due again.
    assert_eq!(
        drained.attempts.len() as u32,
        drained.completed + drained.snoozed + drained.retried + drained.buried + drained.released
    );
    assert!(
        drained
            .attempts
            .iter()
            .all(|attempt| *attempt.queue == *"mail")
    );
    callboard::assert_enqueued!(board, queue = "default");
}

#[tokio::test]
async fn time_moves_to_the_next_due_job() {
    let board = TestBoard::start(application).await;
    let client = board.client();
    let job = client.enqueue(call!(look(3))).await.unwrap();
    let tomorrow = Mail { user: 5 };
    let day = Duration::from_secs(24 * 3600);
    let mail = client
        .enqueue(callboard::Call::from(tomorrow).run_in(day))
        .await
        .unwrap();
    board.idle().await;
    for _ in 0..2 {
        let moved = board.advance_to_next().await.expect("it snoozes");
        let hour = Duration::from_secs(3600);
        assert!(
            moved <= hour && moved > hour - Duration::from_secs(60),
            "{moved:?}"
        );
        board.idle().await;
    }
    assert_eq!(board.settled(job).await.state, JobState::Completed);
    let waiting = client.job(mail).await.unwrap().unwrap();
    assert_eq!(waiting.state, JobState::Scheduled);
    board.advance(day).await;
    assert_eq!(board.settled(mail).await.state, JobState::Completed);
    assert_eq!(board.advance_to_next().await, None);
}

#[tokio::test]
#[should_panic(
    expected = "cannot drain \"post\": this board has the queues [\"mail\", \"default\"]"
)]
async fn draining_an_unknown_queue_names_the_known_ones() {
    TestBoard::paused(application).await.drain("post").await;
}

#[tokio::test]
async fn a_drain_leaves_those_alone_that_are_behind_a_job_that_waits() {
    let board = TestBoard::paused(application).await;
    let client = board.client();
    let mail = |user| Mail { user }.call().ordering_key("one-by-one");
    let head = client
        .enqueue(mail(1).run_in(Duration::from_secs(60)))
        .await
        .unwrap();
    let behind = client.enqueue(mail(2)).await.unwrap();
    assert_eq!(board.drain("mail").await.completed, 0);
    board.advance(Duration::from_secs(60)).await;
    assert_eq!(board.drain("mail").await.completed, 2);
    for job in [head, behind] {
        assert_eq!(board.settled(job).await.state, JobState::Completed);
    }
}
