//! What leaves the lane, or does not enter it.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_ended_at_the_bound_goes_on_as_an_ordinary_job() {
    let scene = Scene::with(Duration::from_millis(20), |queue| queue.workers(2)).await;
    let ids = scene.client().enqueue_many([call!(hold()), call!(run())]);
    let ids = ids.await.unwrap();
    let job = until_state(scene.client(), ids[0], JobState::Executing).await;
    assert_eq!(
        (job.attempt.as_i32(), job.node),
        (1, Some(scene.board.node()))
    );
    until_state(scene.client(), ids[1], JobState::Completed).await;
    // Nothing is held open any more.
    let open = "select count(*) from pg_stat_activity \
                where datname = current_database() and state = 'idle in transaction'";
    eventually("no transaction is open", || async {
        (scene.number(open).await == 0).then_some(())
    })
    .await;
    scene.desk.gate.add_permits(1);
    let job = until_state(scene.client(), ids[0], JobState::Completed).await;
    assert_eq!(job.attempt.as_i32(), 1);
    assert_eq!(scene.desk.runs(), 3);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_needs_its_row_leaves_the_lane() {
    for call in [call!(complete()), call!(keep())] {
        let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| queue.workers(1)).await;
        let before = scene.proxy.statements(SPILL);
        let job = scene.completed(call).await;
        assert_eq!(job.attempt.as_i32(), 1);
        assert_eq!(scene.proxy.statements(SPILL), before + 1);
        until_confirmed(&scene.board).await;
        let kept = "select count(*) from callboard.checkpoints";
        assert_eq!(scene.number(kept).await, 0);
        assert_eq!(scene.board.counts().refused, 0);
        scene.ends_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_with_an_ordering_key_run_one_at_a_time_by_their_rows() {
    let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| queue.workers(4)).await;
    let of_key = |call: Call| call.ordering_key("k");
    let calls = [of_key(call!(hold())), of_key(call!(hold())), call!(run())];
    let ids = scene.client().enqueue_many(calls).await.unwrap();
    until_state(scene.client(), ids[0], JobState::Executing).await;
    until_state(scene.client(), ids[2], JobState::Completed).await;
    let next = scene.client().job(ids[1]).await.unwrap().unwrap();
    assert_eq!(next.state, JobState::Available);
    scene.desk.gate.add_permits(1);
    until_state(scene.client(), ids[0], JobState::Completed).await;
    until_state(scene.client(), ids[1], JobState::Executing).await;
    scene.desk.gate.add_permits(1);
    until_state(scene.client(), ids[1], JobState::Completed).await;
    assert_eq!(scene.desk.runs(), 4);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_in_a_queue_of_the_lane() {
    let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| queue.workers(4)).await;
    let client = scene.client();
    client
        .queue("default")
        .limit(Limits::new().running(1))
        .await
        .unwrap();
    let calls = (0..3).map(|_| call!(hold()));
    let ids = client.enqueue_many(calls).await.unwrap();
    for done in 0..3 {
        scene.desk.until_begun(1).await;
        let executing = "select count(*) from callboard.jobs where state = 'executing'";
        assert_eq!(scene.number(executing).await, 1);
        assert_eq!(scene.desk.runs(), 2 + done);
        scene.desk.gate.add_permits(1);
    }
    for id in ids {
        until_state(client, id, JobState::Completed).await;
    }
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_an_isolated_kind_run_by_their_rows() {
    let url = server::fresh_database().await;
    let queue = Queue::new("default").workers(2);
    let queue = queue.express(Express::new().bound(MAX_EXPRESS_BOUND));
    let proxy = Proxy::start(&url).unwrap();
    let script = Handler::of::<Script>().isolated(isolation());
    let board = board_at(proxy.url(), |board| board.queue(queue).handler(script)).await;
    let again = plays([Step::Fail("no".into()), Step::Complete]);
    let ids = board
        .client()
        .enqueue_many([again, plays([Step::Complete])]);
    for (id, attempts) in ids.await.unwrap().into_iter().zip([2, 1]) {
        let job = until_state(board.client(), id, JobState::Completed).await;
        assert_eq!(job.attempt.as_i32(), attempts);
    }
    until_confirmed(&board).await;
    assert!(proxy.statements(SPILL) > 0);
    assert_eq!(board.counts().refused, 0);
    board.shutdown().await.unwrap();
}

/// Completes its jobs in a transaction of their own.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Together;

impl BatchJob for Together {
    const KIND: &'static str = "test.together";
    const SIZE: u32 = 3;
    const WAIT: Duration = Duration::from_secs(3600);

    async fn perform_batch(
        batch: &mut Batch<Self>,
        cx: &mut BatchContext<'_>,
    ) -> Result<Outcome, BoxError> {
        let desk = cx.state::<Desk>()?.clone();
        desk.begun.add_permits(batch.len());
        let mut connection = sql::connect(&desk.url).await;
        let transaction = connection.transaction().await?;
        batch.complete_in(&transaction).await?;
        transaction.commit().await?;
        Ok(Outcome::Done)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_jobs_that_completes_itself_leaves_the_lane() {
    let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| queue.workers(1).max_demand(6)).await;
    let before = scene.proxy.statements(SPILL);
    let ids = scene.client().enqueue_many((0..3).map(|_| Together.call()));
    for id in ids.await.unwrap() {
        let job = until_state(scene.client(), id, JobState::Completed).await;
        assert_eq!((job.attempt.as_i32(), job.errors.len()), (1, 0));
    }
    scene.desk.until_begun(3).await;
    assert!(scene.proxy.statements(SPILL) > before);
    until_confirmed(&scene.board).await;
    assert_eq!(scene.board.counts().refused, 0);
    scene.ends_well().await;
}
