//! Crashing and killing every part of a board.

use std::time::Duration;

use callboard::testing::{Fault, Role, Schedule, TestBoard};
use callboard::{JobId, JobState};

use crate::jobs::{Mail, Patient, application};

fn roles() -> Vec<Role> {
    vec![
        Role::worker_of("mail"),
        Role::workers_of("mail"),
        Role::fetcher_of("mail"),
        Role::queue("mail"),
        Role::ledger(),
        Role::notifier(),
        Role::scheduler(),
        Role::rescuer(),
        Role::pruner(),
        Role::liveness(),
        Role::queues(),
    ]
}

async fn works(board: &TestBoard) {
    let job = board.client().enqueue(Mail { user: 1 }).await.unwrap();
    assert_eq!(board.settled(job).await.state, JobState::Completed);
}

#[tokio::test]
async fn every_part_can_be_crashed_and_is_back() {
    let board = TestBoard::start(application).await;
    for role in roles() {
        board.crash(role.clone()).await;
        board.restarted(role.clone()).await;
        works(&board).await;
        let report = board.report();
        let crash = report.crashes.last().expect("a crash is reported");
        assert!(
            crash.exit.to_string().contains("crashed by a test"),
            "{crash}"
        );
        assert!(crash.back_after.is_some(), "{crash}");
    }
}

#[tokio::test]
async fn every_part_can_be_killed_and_is_back() {
    let board = TestBoard::start(application).await;
    for role in roles() {
        board.kill(role.clone()).await;
        board.restarted(role).await;
        works(&board).await;
    }
}

#[tokio::test]
async fn the_worker_that_runs_a_job_is_the_one_that_crashes() {
    let board = TestBoard::start(application).await;
    for fault in [
        Fault::Crash(Role::worker_of("mail")),
        Fault::Kill(Role::worker_of("mail")),
    ] {
        let job = board.client().enqueue(Patient).await.unwrap();
        assert_eq!(board.running(job).await.as_i32(), 1);
        board.inject(&fault).await.unwrap();
        let settled = board.settled(job).await;
        assert_eq!(settled.state, JobState::Completed);
        assert_eq!(settled.attempt.as_i32(), 2, "{fault}: {settled:?}");
    }
    assert_eq!(board.counts().panicked, 1);
}

#[tokio::test]
async fn a_fault_without_a_target_says_what_there_is() {
    let board = TestBoard::start(application).await;
    let nobody = Fault::Kill(Role::fetcher_of("post"));
    let error = board.inject(&nobody).await.unwrap_err().to_string();
    assert!(
        error.starts_with("cannot kill the fetcher of \"post\""),
        "{error}"
    );
    assert!(error.contains("queues/post/fetcher"), "{error}");
    assert!(error.contains(r#"["mail", "default"]"#), "{error}");
}

#[tokio::test]
async fn under_a_schedule_of_faults_every_job_ends_once() {
    let board = TestBoard::start(application).await;
    let users = 1..=300;
    // Seldom enough for the restart intensities of a queue and a board.
    let schedule = Schedule::seeded(7)
        .fault(Fault::Crash(Role::worker_of("mail")))
        .fault(Fault::Kill(Role::worker_of("mail")))
        .fault(Fault::Crash(Role::fetcher_of("mail")))
        .fault(Fault::Kill(Role::ledger()))
        .fault(Fault::CutConnections)
        .pauses(Duration::from_millis(100)..Duration::from_millis(400));
    let work = async {
        let mut jobs: Vec<JobId> = Vec::new();
        for user in users {
            // An enqueue whose answer was cut off may be there or not; it is not counted on.
            jobs.extend(board.client().enqueue(Mail { user }).await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for job in &jobs {
            assert_eq!(board.settled(*job).await.state, JobState::Completed);
        }
        jobs.len()
    };
    let (jobs, injected) = board.under(schedule, work).await;
    assert!(jobs > 100, "most were enqueued: {jobs}");
    let struck = injected.iter().filter(|fault| fault.missed.is_none());
    assert!(struck.count() >= 5, "{injected:?}");
    board.idle().await;
    let twice = board
        .client()
        .dead_letters(callboard::DeadFilter::all(), 10);
    assert!(twice.await.unwrap().is_empty());
}
