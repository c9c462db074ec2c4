//! What becomes of the jobs of a batch, each by its own answer.

use callboard::job::BuryReason;

use super::*;
use crate::support::{eventually, tree::kill};

#[tokio::test]
async fn every_job_of_a_batch_can_have_an_answer_of_its_own() {
    let stage = Stage::new();
    let board = board::<Full<7>>(&stage).await;
    let plays = [
        Play::Nothing,
        Play::Own(Step::Complete),
        Play::Own(Step::CompleteWith("mine".into())),
        Play::Own(Step::Cancel("not me".into())),
        Play::Own(Step::Bury("never".into())),
        Play::Own(Step::Fail("not yet".into())),
        Play::Own(Step::Snooze(Duration::from_secs(3600))),
    ];
    let calls = (0..).zip(plays).map(|(n, play)| row::<7, LONG>(n, play));
    let jobs = enqueue(&board, calls.collect::<Vec<_>>()).await;
    for job in &jobs[..3] {
        ended(&board, *job, JobState::Completed).await;
    }
    let output = ended(&board, jobs[2], JobState::Completed).await.output;
    assert_eq!(output, Some("mine".into()));
    ended(&board, jobs[3], JobState::Cancelled).await;
    let buried = ended(&board, jobs[4], JobState::Dead).await;
    assert_eq!(buried.reason, Some(BuryReason::Discarded));
    let failed = eventually("the failure is written", || async {
        let job = board.client().job(jobs[5]).await.unwrap().unwrap();
        (job.failures == Some(1)).then_some(job)
    })
    .await;
    assert_eq!(failed.errors[0]["message"], "not yet");
    let snoozed = ended(&board, jobs[6], JobState::Scheduled).await;
    assert_eq!(snoozed.failures, Some(0));
}

#[tokio::test]
async fn an_error_fails_those_without_an_answer_each_by_its_own_budget() {
    let stage = Stage::new();
    let board = board::<Full<4>>(&stage).await;
    let calls = [
        row::<4, LONG>(1, Play::Own(Step::Complete)),
        row::<4, LONG>(2, Play::Batch(Step::Fail("no disk".into()))).max_attempts(1),
        row::<4, LONG>(3, Play::Nothing).backoff(Backoff::constant(Duration::from_secs(3600))),
        row::<4, LONG>(4, Play::Nothing).max_attempts(1),
    ];
    let jobs = enqueue(&board, calls).await;
    ended(&board, jobs[0], JobState::Completed).await;
    for job in [jobs[1], jobs[3]] {
        let dead = ended(&board, job, JobState::Dead).await;
        assert_eq!(dead.reason, Some(BuryReason::Exhausted));
        assert_eq!(dead.errors[0]["message"], "no disk");
    }
    let retried = ended(&board, jobs[2], JobState::Retryable).await;
    assert_eq!((retried.failures, retried.attempt.as_i32()), (Some(1), 1));
    assert_eq!(retried.errors[0]["kind"], "error");
}

#[tokio::test]
async fn a_panic_fails_those_without_an_answer_and_they_run_again_in_a_new_worker() {
    let stage = Stage::new();
    let board = board::<Quick>(&stage).await;
    let calls = [
        row::<10, 0>(1, Play::Own(Step::Complete)),
        row::<10, 0>(2, Play::Batch(Step::Panic("out of rows".into()))),
        row::<10, 0>(3, Play::Nothing),
    ];
    let jobs = enqueue(&board, calls).await;
    let answered = ended(&board, jobs[0], JobState::Completed).await;
    assert_eq!((answered.attempt.as_i32(), answered.errors.len()), (1, 0));
    for job in &jobs[1..] {
        let job = ended(&board, *job, JobState::Completed).await;
        assert_eq!(job.attempt.as_i32(), 2);
        let error = &job.errors[0];
        assert_eq!(error["kind"], "panic");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("out of rows"), "{message}");
        let backtrace = error["backtrace"].as_str().unwrap();
        assert!(backtrace.contains("perform_batch"), "{backtrace}");
    }
    assert_eq!(board.counts().panicked, 1);
    assert_eq!(stage.batches()[0], [1, 2, 3]);
}

#[tokio::test]
async fn a_killed_worker_gives_its_batch_back_except_what_was_answered() {
    let stage = Stage::new();
    let board = board::<Quick>(&stage).await;
    let calls = [
        row::<10, 0>(1, Play::Own(Step::CompleteWith("before".into()))),
        row::<10, 0>(2, Play::Batch(Step::Hang)),
        row::<10, 0>(3, Play::Nothing),
    ];
    let jobs = enqueue(&board, calls).await;
    stage.has_begun().await;
    ended(&board, jobs[0], JobState::Completed).await;
    kill(&board, &["queues", "default", "workers", "worker-1"]).await;
    for job in &jobs[1..] {
        let job = ended(&board, *job, JobState::Completed).await;
        assert_eq!(job.attempt.as_i32(), 2);
        assert_eq!(job.errors[0]["kind"], "crashed");
    }
    let answered = ended(&board, jobs[0], JobState::Completed).await;
    assert_eq!(answered.output, Some("before".into()));
    assert_eq!(board.counts().refused, 0);
}

#[tokio::test]
async fn a_killed_worker_releases_a_batch_that_had_not_begun() {
    let stage = Stage::new();
    let board = board::<Full<3>>(&stage).await;
    let calls = (1..=2).map(|n| row::<3, LONG>(n, Play::Nothing));
    let mut jobs = enqueue(&board, calls).await;
    ended(&board, jobs[1], JobState::Executing).await;
    kill(&board, &["queues", "default", "workers", "worker-1"]).await;
    jobs.extend(enqueue(&board, [row::<3, LONG>(3, Play::Nothing)]).await);
    for job in jobs {
        let job = ended(&board, job, JobState::Completed).await;
        assert!(job.errors.is_empty(), "{job:?}");
    }
    // The third may be claimed while the release of the others is being written.
    let batches = stage.batches().into_iter().map(|mut rows| {
        rows.sort_unstable();
        rows
    });
    assert_eq!(batches.collect::<Vec<_>>(), [[1, 2, 3]]);
}

#[tokio::test]
async fn arguments_that_do_not_decode_bury_their_job_alone() {
    let stage = Stage::new();
    let board = board::<Full<3>>(&stage).await;
    let calls = [
        row::<3, LONG>(1, Play::Nothing),
        Call::named("test.row", &("of another shape".to_owned(), 7)),
        row::<3, LONG>(3, Play::Nothing),
    ];
    let jobs = enqueue(&board, calls).await;
    let dead = ended(&board, jobs[1], JobState::Dead).await;
    assert_eq!(dead.reason, Some(BuryReason::Undecodable));
    all_complete(&board, &[jobs[0], jobs[2]], 1).await;
    assert_eq!(stage.batches(), [[1, 3]]);
}
