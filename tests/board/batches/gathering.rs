//! What becomes a batch, and when it begins.

use super::*;

#[tokio::test]
async fn jobs_that_come_one_by_one_run_as_one_batch_as_soon_as_it_is_full() {
    let stage = Stage::new();
    let board = board::<Full<4>>(&stage).await;
    let mut jobs = Vec::new();
    for n in 1..=4 {
        let call = row::<4, LONG>(n, Play::Nothing);
        jobs.push(board.client().enqueue(call).await.unwrap());
    }
    all_complete(&board, &jobs, 1).await;
    assert_eq!(stage.batches(), [[1, 2, 3, 4]]);
}

#[tokio::test]
async fn a_batch_takes_no_more_than_its_size() {
    let stage = Stage::new();
    let board = board::<Full<5>>(&stage).await;
    let jobs = enqueue(&board, (0..40).map(|n| row::<5, LONG>(n, Play::Nothing))).await;
    all_complete(&board, &jobs, 1).await;
    let sizes: Vec<_> = stage.batches().iter().map(Vec::len).collect();
    assert_eq!(sizes, [5; 8]);
}

#[tokio::test]
async fn a_batch_that_is_not_full_begins_when_its_first_job_has_waited() {
    let stage = Stage::new();
    let board = board::<Row<10, 300>>(&stage).await;
    let jobs = enqueue(&board, (1..=3).map(|n| row::<10, 300>(n, Play::Nothing))).await;
    all_complete(&board, &jobs, 1).await;
    assert_eq!(stage.batches(), [[1, 2, 3]]);
    for job in jobs {
        let job = ended(&board, job, JobState::Completed).await;
        let took = job.finished_at.unwrap() - job.attempted_at.unwrap();
        assert!(took.num_milliseconds() >= 250, "{took}");
    }
}

#[tokio::test]
async fn a_worker_that_asks_for_one_job_at_a_time_waits_for_no_other() {
    let stage = Stage::new();
    let board = board_on(database().await, |board| {
        board.queue(stage.queue(1)).job::<Full<9>>()
    })
    .await;
    let jobs = enqueue(&board, (1..=2).map(|n| row::<9, LONG>(n, Play::Nothing))).await;
    all_complete(&board, &jobs, 1).await;
    assert_eq!(stage.batches(), [[1], [2]]);
}

#[tokio::test]
async fn other_kinds_run_on_while_a_batch_gathers() {
    let stage = Stage::new();
    let board = board::<Full<3>>(&stage).await;
    let first = enqueue(&board, [row::<3, LONG>(1, Play::Nothing)]).await;
    ended(&board, first[0], JobState::Executing).await;
    let others = enqueue(&board, (0..20).map(|_| call!(alone()))).await;
    all_complete(&board, &others, 1).await;
    assert!(stage.batches().is_empty());
    let rest = (2..=3).map(|n| row::<3, LONG>(n, Play::Nothing));
    let rest = enqueue(&board, rest).await;
    all_complete(&board, &[first, rest].concat(), 1).await;
    assert_eq!(stage.batches(), [[1, 2, 3]]);
}

#[tokio::test]
async fn a_batch_holds_one_job_of_each_ordering_key() {
    let stage = Stage::new();
    let board = board::<Quick>(&stage).await;
    let key = |n: u32| (n % 3).to_string();
    let calls = (0..12).map(|n| row::<10, 0>(n, Play::Nothing).ordering_key(key(n)));
    let jobs = enqueue(&board, calls).await;
    all_complete(&board, &jobs, 1).await;
    let batches = stage.batches();
    for batch in &batches {
        let mut keys: Vec<_> = batch.iter().map(|n| n % 3).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), batch.len(), "{batches:?}");
    }
    for key in 0..3 {
        let of_key = batches.iter().flatten().filter(|n| *n % 3 == key);
        assert!(of_key.is_sorted(), "{batches:?}");
    }
}
