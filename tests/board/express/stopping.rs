//! Cancellations, pauses and shutdowns.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_job_is_cancelled_at_once_and_one_that_runs_when_its_batch_ends() {
    let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| queue.workers(1)).await;
    let client = scene.client();
    let later = scene
        .enqueue(call!(run()).run_in(Duration::from_secs(3600)))
        .await;
    assert_eq!(client.cancel(later).await.unwrap(), Cancelled::AtOnce);

    // One that is done when the cancellation gets to it, and one that is to be tried again.
    for (call, expected) in [
        (call!(hold()), Cancelled::NotFound),
        (call!(fail()), Cancelled::AtOnce),
    ] {
        let id = scene.enqueue(call).await;
        scene.desk.until_begun(1).await;
        scene.until_held(1).await;
        let cancelling = tokio::spawn({
            let client = client.clone();
            async move { client.cancel(id).await.unwrap() }
        });
        let waiting = "select count(*) from pg_stat_activity \
                       where datname = current_database() and wait_event_type = 'Lock'";
        eventually("the cancellation waits", || async {
            (scene.number(waiting).await == 1).then_some(())
        })
        .await;
        scene.desk.gate.add_permits(1);
        assert_eq!(cancelling.await.unwrap(), expected);
    }
    until_confirmed(&scene.board).await;
    let cancelled = "select count(*) from callboard.finished_jobs where state = 'cancelled'";
    assert_eq!(scene.number(cancelled).await, 2);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_reaches_a_handler_that_has_come_to_the_bound() {
    let scene = Scene::with(Duration::from_millis(20), |queue| queue).await;
    let id = scene.enqueue(call!(obey())).await;
    scene.desk.until_begun(1).await;
    // Whether it finds the job in the lane and waits, or finds it executing.
    assert_eq!(scene.client().cancel(id).await.unwrap(), Cancelled::Asked);
    let job = until_state(scene.client(), id, JobState::Cancelled).await;
    assert_eq!(job.errors[0]["message"], "stopped when I was told to");
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_begun_is_free_when_its_queue_is_paused() {
    // Enough that three are asked for although one was before.
    let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| queue.workers(1).max_demand(8)).await;
    let client = scene.client();
    let ids = client.enqueue_many((0..3).map(|_| call!(hold())));
    let ids = ids.await.unwrap();
    scene.desk.until_begun(1).await;
    scene.until_held(3).await;
    scene.board.queue("default").pause().await.unwrap();
    scene.desk.gate.add_permits(1);
    until_state(client, ids[0], JobState::Completed).await;
    until_confirmed(&scene.board).await;
    let free = "select count(*) from callboard.jobs where state = 'available' and attempt = 0";
    assert_eq!(scene.number(free).await, 2);
    assert_eq!(scene.desk.runs(), 2);
    assert_eq!(scene.board.counts().released, 2);
    scene.board.queue("default").resume().await.unwrap();
    scene.desk.gate.add_permits(2);
    for id in ids {
        let job = until_state(client, id, JobState::Completed).await;
        assert_eq!(job.attempt.as_i32(), 1);
    }
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_lets_what_has_begun_finish() {
    let scene = Scene::set().await;
    let id = scene.enqueue(call!(hold())).await;
    scene.desk.until_begun(1).await;
    scene.until_held(1).await;
    let gate = Arc::clone(&scene.desk.gate);
    let (shut_down, ()) = tokio::join!(scene.board.shutdown(), async { gate.add_permits(1) });
    shut_down.unwrap();
    let client = Client::connect(database_at(&scene.desk.url)).await.unwrap();
    let job = client.job(id).await.unwrap().unwrap();
    assert_eq!((job.state, job.attempt.as_i32()), (JobState::Completed, 1));
    assert_eq!(scene.number(LEFT).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_outlasts_the_grace_is_interrupted_and_not_charged() {
    let url = server::fresh_database().await;
    let desk = Desk::new(&url);
    let queue = Queue::new("default").express(Express::new().bound(MAX_EXPRESS_BOUND));
    let board = board_on(database_at(&url), |board| {
        board
            .queue(sharing(queue, &desk))
            .shutdown_grace(Duration::ZERO)
            .functions(functions![obey])
    })
    .await;
    let id = board.client().enqueue(call!(obey())).await.unwrap();
    desk.until_begun(1).await;
    board.shutdown().await.unwrap();
    let client = Client::connect(database_at(&url)).await.unwrap();
    let job = client.job(id).await.unwrap().unwrap();
    assert_eq!((job.state, job.failures), (JobState::Available, Some(0)));
    assert_eq!(job.errors[0]["kind"], "interrupted");
}
