//! Attempts that meet with a mishap.

use callboard::testing::{Mishap, TestBoard};
use callboard::{Job, JobState};

use crate::jobs::{Mail, application};

#[tokio::test]
async fn the_attempts_that_a_test_chooses_panic_and_fail() {
    let board = TestBoard::start(application).await;
    board.mishap(Mail::KIND, 1, Mishap::panic("out of paper"));
    board.mishap(Mail::KIND, 2, Mishap::fail("out of ink"));
    let job = board.client().enqueue(Mail { user: 1 }).await.unwrap();
    let settled = board.settled(job).await;
    assert_eq!(settled.state, JobState::Completed);
    assert_eq!(settled.attempt.as_i32(), 3);
    let errors: Vec<&str> = settled
        .errors
        .iter()
        .map(|error| error["message"].as_str().unwrap())
        .collect();
    assert!(errors[0].ends_with("out of paper"), "{errors:?}");
    assert_eq!(errors[1], "out of ink");
    assert_eq!(board.counts().panicked, 1);

    board.clear_mishaps();
    let job = board.client().enqueue(Mail { user: 1 }).await.unwrap();
    assert_eq!(board.settled(job).await.attempt.as_i32(), 1);
}

#[tokio::test]
async fn a_hanging_attempt_can_be_cancelled() {
    let board = TestBoard::start(application).await;
    board.mishap(Mail::KIND, 1, Mishap::Hang);
    let job = board.client().enqueue(Mail { user: 1 }).await.unwrap();
    assert_eq!(board.running(job).await.as_i32(), 1);
    board.client().cancel(job).await.unwrap();
    assert_eq!(board.settled(job).await.state, JobState::Cancelled);
}

#[test]
#[ignore = "a process of its own, started by the test below"]
fn process_that_exits() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let board = TestBoard::start(application).await;
        board.mishap(Mail::KIND, 1, Mishap::Exit(42));
        let job = board.client().enqueue(Mail { user: 1 }).await.unwrap();
        board.settled(job).await;
    });
}

#[test]
fn an_attempt_can_end_its_process() {
    let ended = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "mishaps::process_that_exits", "--ignored"])
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert_eq!(ended.code(), Some(42));
}
