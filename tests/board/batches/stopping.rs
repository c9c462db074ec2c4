//! Batches that are told to stop: by a cancellation, a time limit, a pause or a shutdown.

use super::*;

#[tokio::test]
async fn the_cancellation_of_one_job_tells_the_handler_which() {
    let stage = Stage::new();
    let board = board::<Full<3>>(&stage).await;
    let plays = [Play::Nothing, Play::UntilTold, Play::Nothing];
    let calls = (0..).zip(plays).map(|(n, play)| row::<3, LONG>(n, play));
    let jobs = enqueue(&board, calls.collect::<Vec<_>>()).await;
    stage.has_begun().await;
    board.client().cancel(jobs[1]).await.unwrap();
    let cancelled = ended(&board, jobs[1], JobState::Cancelled).await;
    assert_eq!(
        cancelled.errors[0]["message"],
        "stopped when it was told to"
    );
    all_complete(&board, &[jobs[0], jobs[2]], 1).await;
}

#[tokio::test]
async fn a_batch_whose_jobs_are_all_cancelled_is_cut_off() {
    let stage = Stage::new();
    let board = board::<Full<2>>(&stage).await;
    let plays = [Play::Batch(Step::Hang), Play::Nothing];
    let calls = (0..).zip(plays).map(|(n, play)| row::<2, LONG>(n, play));
    let jobs = enqueue(&board, calls.collect::<Vec<_>>()).await;
    stage.has_begun().await;
    for job in &jobs {
        board.client().cancel(*job).await.unwrap();
    }
    for job in jobs {
        ended(&board, job, JobState::Cancelled).await;
    }
    let more = (2..4).map(|n| row::<2, LONG>(n, Play::Nothing));
    let more = enqueue(&board, more).await;
    all_complete(&board, &more, 1).await;
}

#[tokio::test]
async fn a_cancelled_job_that_waits_in_a_batch_never_begins() {
    let stage = Stage::new();
    let board = board::<Full<3>>(&stage).await;
    let calls = (1..=2).map(|n| row::<3, LONG>(n, Play::Nothing));
    let jobs = enqueue(&board, calls).await;
    ended(&board, jobs[0], JobState::Executing).await;
    board.client().cancel(jobs[0]).await.unwrap();
    let last = enqueue(&board, [row::<3, LONG>(3, Play::Nothing)]).await;
    all_complete(&board, &[jobs[1], last[0]], 1).await;
    ended(&board, jobs[0], JobState::Cancelled).await;
    assert_eq!(stage.batches(), [[2, 3]]);
}

#[tokio::test]
async fn a_batch_ends_at_the_shortest_time_limit_of_its_jobs() {
    let stage = Stage::new();
    let board = board::<Full<2>>(&stage).await;
    let calls = [
        row::<2, LONG>(1, Play::Batch(Step::Hang)).time_limit(Duration::from_millis(100)),
        row::<2, LONG>(2, Play::Nothing),
    ];
    let jobs = enqueue(&board, calls.map(|call| call.max_attempts(1))).await;
    for job in jobs {
        let dead = ended(&board, job, JobState::Dead).await;
        assert_eq!(dead.errors[0]["kind"], "timed_out");
    }
}

#[tokio::test]
async fn a_pause_releases_a_batch_that_gathers() {
    let stage = Stage::new();
    let board = board::<Full<4>>(&stage).await;
    let calls = (1..=3).map(|n| row::<4, LONG>(n, Play::Nothing));
    let mut jobs = enqueue(&board, calls).await;
    for job in &jobs {
        ended(&board, *job, JobState::Executing).await;
    }
    board.queue("default").pause().await.unwrap();
    for job in &jobs {
        let released = ended(&board, *job, JobState::Available).await;
        assert_eq!(released.failures, Some(0));
    }
    board.queue("default").resume().await.unwrap();
    jobs.extend(enqueue(&board, [row::<4, LONG>(4, Play::Nothing)]).await);
    for job in jobs {
        ended(&board, job, JobState::Completed).await;
    }
    assert_eq!(stage.batches().len(), 1);
}

#[tokio::test]
async fn a_shutdown_releases_a_batch_that_gathers_and_waits_for_one_that_runs() {
    let (url, stage) = (server::fresh_database().await, Stage::new());
    let board = board_at(&url, |board| {
        board
            .shutdown_grace(Duration::from_secs(600))
            .queue(stage.queue(20))
            .job::<Full<3>>()
    })
    .await;
    let calls = (1..=2).map(|n| row::<3, LONG>(n, Play::Nothing));
    let jobs = enqueue(&board, calls).await;
    ended(&board, jobs[1], JobState::Executing).await;
    board.shutdown().await.unwrap();
    assert_eq!((board.counts().released, board.counts().in_hand), (2, 0));
    assert!(stage.batches().is_empty());
    let rows = sql::connect(&url).await;
    let free = "select count(*) from callboard.jobs where state = 'available' and failures = 0";
    assert_eq!(number(&rows, free).await, 2);
}
