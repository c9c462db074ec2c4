//! Transactions and confirmations that are lost.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_lost_transaction_run_again_uncharged_and_their_first_answers_are_refused() {
    let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| queue.workers(2)).await;
    let calls = (0..2).map(|_| call!(hold()));
    let ids = scene.client().enqueue_many(calls).await.unwrap();
    scene.desk.until_begun(2).await;
    scene.until_held(2).await;
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
               where datname = current_database() and state = 'idle in transaction'";
    let cut = scene.number(cut).await;
    assert!((1..=2).contains(&cut), "{cut}");
    scene.desk.gate.add_permits(4);
    for id in ids {
        let job = until_state(scene.client(), id, JobState::Completed).await;
        assert_eq!((job.attempt.as_i32(), job.errors.len()), (1, 0));
    }
    until_confirmed(&scene.board).await;
    let counts = scene.board.counts();
    assert_eq!(
        (counts.completed, counts.refused, counts.rescued),
        (3, 2, 0)
    );
    assert_eq!(scene.desk.runs(), 5);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_are_told_when_their_transaction_was_lost() {
    let scene = Scene::with(Duration::from_secs(3), |queue| queue.workers(1)).await;
    let id = scene.enqueue(call!(obey())).await;
    scene.desk.until_begun(1).await;
    scene.until_held(1).await;
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
               where datname = current_database() and state = 'idle in transaction'";
    assert!(scene.number(cut).await >= 1);
    let told = tokio::time::timeout(Duration::from_secs(20), scene.desk.told.notified());
    told.await.expect("the handler is told");
    // It runs again, and is not told then.
    scene.desk.until_begun(1).await;
    assert_eq!(scene.client().cancel(id).await.unwrap(), Cancelled::Asked);
    let job = until_state(scene.client(), id, JobState::Cancelled).await;
    assert_eq!(job.attempt.as_i32(), 1);
    assert_eq!(scene.board.counts().refused, 1);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_commit_is_not_answered_has_ended_and_nothing_runs_twice() {
    let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| queue.workers(2)).await;
    let calls = (0..2).map(|_| call!(hold()));
    scene.client().enqueue_many(calls).await.unwrap();
    scene.desk.until_begun(2).await;
    scene.until_held(2).await;
    scene.proxy.lose_answers_to("commit", 1);
    scene.desk.gate.add_permits(2);
    eventually("the answer is lost", || async {
        (scene.proxy.lost_answers() == 1).then_some(())
    })
    .await;
    eventually("both are completed", || async {
        (scene.board.counts().completed == 3).then_some(())
    })
    .await;
    scene.proxy.keep_answers();
    until_confirmed(&scene.board).await;
    assert_eq!(scene.board.counts().refused, 0);
    assert_eq!(scene.desk.runs(), 3);
    scene.ends_well().await;
}

/// The verdict may come late: what the batch has left to be retried may be elsewhere by then.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_becomes_of_a_job_later_a_batch_that_has_ended_is_not_taken_for_lost() {
    let scene = Scene::set().await;
    let later = call!(run()).run_in(Duration::from_secs(3_600));
    let id = scene.enqueue(later).await.as_i64();
    let ask = include_str!("../../../src/store/sql/finished.sql");
    let (ids, attempts) = (vec![id], vec![2]);
    let has_ended = || async {
        let row = scene.rows.query_one(ask, &[&ids, &attempts]).await;
        row.unwrap().get::<_, bool>(0)
    };
    for (what, expected) in [
        ("attempt = 1", false),
        (
            "attempt = 2, state = 'executing', is_ready = true, node = 7",
            true,
        ),
        (
            "attempt = 2, state = 'retryable', is_ready = false, node = null",
            true,
        ),
        (
            "attempt = 3, state = 'executing', is_ready = true, node = 8",
            true,
        ),
    ] {
        let update = format!("update callboard.jobs set {what} where id = {id}");
        scene.rows.batch_execute(&update).await.unwrap();
        assert_eq!(has_ended().await, expected, "{what}");
    }
    let ends = format!("delete from callboard.jobs where id = {id}");
    scene.rows.batch_execute(&ends).await.unwrap();
    assert!(has_ended().await, "it ended elsewhere");
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_whose_note_is_not_answered_are_not_begun_then_and_run_once() {
    let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| queue.workers(2)).await;
    scene.proxy.lose_answers_to(FORETELL, 1);
    let job = scene.completed(call!(run())).await;
    assert_eq!((job.attempt.as_i32(), job.errors.len()), (1, 0));
    assert_eq!(scene.proxy.lost_answers(), 1);
    assert_eq!(scene.desk.runs(), 2);
    assert_eq!(scene.board.counts().rescued, 0);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_share_the_lane_while_the_sessions_of_one_are_cut_again_and_again() {
    const JOBS: i64 = 2_000;
    let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| queue.workers(4)).await;
    let queue = sharing(Queue::new("default").workers(4), &scene.desk);
    let queue = queue.poll_every(Duration::from_millis(50));
    let other = board_at(&scene.desk.url, |board| {
        board
            .queue(queue.express(Express::new()))
            .sweep_every(Duration::from_millis(100))
            .functions(functions![run, hold])
    })
    .await;
    let calls = (0..JOBS).map(|_| call!(hold()));
    scene.client().enqueue_many(calls).await.unwrap();
    let left = "select count(*) from callboard.jobs";
    for _ in 0..10 {
        let before = scene.number(left).await;
        scene.desk.gate.add_permits(JOBS as usize / 20);
        eventually("it goes on", || async {
            (scene.number(left).await < before).then_some(())
        })
        .await;
        scene.proxy.cut();
    }
    // What a cut has taken back runs again.
    scene.desk.gate.add_permits(2 * JOBS as usize);
    let mut before = JOBS;
    while before > 0 {
        before = eventually("some of them end", || async {
            let now = scene.number(left).await;
            (now < before || now == 0).then_some(now)
        })
        .await;
    }
    until_confirmed(&other).await;
    let completed = "select count(*) from callboard.finished_jobs where state = 'completed'";
    assert_eq!(scene.number(completed).await, JOBS + 1);
    other.shutdown().await.unwrap();
    scene.ends_well().await;
}
