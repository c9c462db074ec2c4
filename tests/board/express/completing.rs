//! Jobs that come to an end while their transaction is open.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_completed_without_a_claim_by_its_row() {
    let scene = Scene::set().await;
    let before = scene.proxy.statements(SPILL);
    let job = scene.completed(call!(run())).await;
    assert_eq!(
        (job.attempt.as_i32(), job.node),
        (1, Some(scene.board.node()))
    );
    assert!(job.attempted_at.is_some_and(|at| at >= job.enqueued_at));
    until_confirmed(&scene.board).await;
    assert_eq!(scene.proxy.statements(SPILL), before);
    assert_eq!(scene.board.counts().completed, 2);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_jobs_take_a_handful_of_statements() {
    const JOBS: u32 = 1_000;
    let seldom = Duration::from_secs(60);
    let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| {
        queue.workers(1).max_demand(JOBS).poll_every(seldom)
    })
    .await;
    let sent = || {
        ["as given", FORETELL, FINISH, SPILL, "as answer (id"]
            .map(|text| scene.proxy.statements(text))
    };
    let before = sent();
    let calls = (0..JOBS).map(|_| call!(run()));
    scene.client().enqueue_many(calls).await.unwrap();
    eventually("all are completed", || async {
        (scene.board.counts().completed == 1 + u64::from(JOBS)).then_some(())
    })
    .await;
    until_confirmed(&scene.board).await;
    let after = sent();
    let [enqueues, notes, ends, spills, settles] = [0, 1, 2, 3, 4].map(|n| after[n] - before[n]);
    assert_eq!((enqueues, spills, settles), (1, 0, 0));
    assert!(notes <= 8 && ends == notes, "{notes} batches, {ends} ends");
    assert_eq!(scene.desk.runs(), 1 + JOBS);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_an_attempt_comes_to_is_written_with_its_batch() {
    let scene = Scene::set().await;
    let soon = Duration::from_millis(1);
    let again = scene
        .enqueue(plays([Step::Fail("no".into()), Step::Complete]))
        .await;
    let panics = scene
        .enqueue(plays([Step::Panic("oh".into()), Step::Complete]))
        .await;
    let snoozes = scene
        .enqueue(plays([Step::Snooze(soon), Step::Complete]))
        .await;
    let says = scene
        .enqueue(plays([Step::CompleteWith("so".into())]))
        .await;
    let gives_up = scene.enqueue(plays([Step::Cancel("why".into())])).await;
    let buried = scene.enqueue(plays([Step::Bury("no use".into())])).await;
    let spent = plays([Step::Fail("no".into())]).max_attempts(2);
    let spent = scene.enqueue(spent).await;

    let client = scene.client();
    for (id, kind) in [(again, "error"), (panics, "panic")] {
        let job = until_state(client, id, JobState::Completed).await;
        assert_eq!((job.attempt.as_i32(), job.errors.len()), (2, 1));
        assert_eq!(job.errors[0]["kind"], kind);
        assert_eq!(job.errors[0]["attempt"], 1);
    }
    let job = until_state(client, snoozes, JobState::Completed).await;
    assert_eq!((job.attempt.as_i32(), job.errors.len()), (2, 0));
    let job = until_state(client, says, JobState::Completed).await;
    assert_eq!(job.output, Some("so".into()));
    let job = until_state(client, gives_up, JobState::Cancelled).await;
    assert_eq!(job.errors[0]["message"], "why");
    let job = until_state(client, buried, JobState::Dead).await;
    assert_eq!(job.errors[0]["message"], "no use");
    let job = until_state(client, spent, JobState::Dead).await;
    assert_eq!((job.attempt.as_i32(), job.failures), (2, Some(2)));
    until_confirmed(&scene.board).await;
    let counts = scene.board.counts();
    assert_eq!(
        (counts.completed, counts.retried, counts.snoozed),
        (5, 3, 1)
    );
    assert_eq!((counts.cancelled, counts.buried, counts.refused), (1, 2, 0));
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_the_database_refuses_takes_no_other_along() {
    let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| queue.workers(2)).await;
    // As any text that no character set of the server has.
    let refuse = "alter table callboard.jobs add constraint no_retry check (state <> 'retryable')";
    scene.rows.batch_execute(refuse).await.unwrap();
    let ids = scene
        .client()
        .enqueue_many([call!(fail()), call!(hold())])
        .await
        .unwrap();
    scene.desk.until_begun(2).await;
    scene.until_held(2).await;
    scene.desk.gate.add_permits(2);
    until_state(scene.client(), ids[1], JobState::Completed).await;
    let executing = until_state(scene.client(), ids[0], JobState::Executing).await;
    assert_eq!(executing.attempt.as_i32(), 1);
    let may = "alter table callboard.jobs drop constraint no_retry";
    scene.rows.batch_execute(may).await.unwrap();
    scene.desk.gate.add_permits(10);
    eventually("it is retried after all", || async {
        let job = scene.client().job(ids[0]).await.unwrap().unwrap();
        (job.failures > Some(0)).then_some(())
    })
    .await;
    scene.client().cancel(ids[0]).await.unwrap();
    assert_eq!(scene.board.counts().refused, 0);
    scene.board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_urgent_and_oldest_come_first() {
    let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| queue.workers(1)).await;
    let client = scene.client();
    scene.board.queue("default").pause().await.unwrap();
    let priorities = [1, 0, 1, -5, 0];
    let calls = priorities.map(|priority| call!(run()).priority(priority));
    let ids = client.enqueue_many(calls).await.unwrap();
    scene.board.queue("default").resume().await.unwrap();
    for id in &ids {
        until_state(client, *id, JobState::Completed).await;
    }
    assert_eq!(scene.desk.order()[1..], [3, 1, 4, 0, 2].map(|n| ids[n]));
    scene.ends_well().await;
}

#[tokio::test]
async fn a_bound_out_of_its_range_is_refused_at_the_start() {
    for bound in [Duration::ZERO, MAX_EXPRESS_BOUND + Duration::from_millis(1)] {
        let database = database_at("postgres://nobody@localhost:1/nowhere");
        let queue = Queue::new("clicks").express(Express::new().bound(bound));
        let refused = Board::builder(database).queue(queue).start().await;
        let refused = refused.unwrap_err();
        assert!(refused.is_config());
        let text = format!("Queue::express: bound of \"clicks\" is {bound:?}; expected 1ms to 10s");
        assert!(refused.to_string().contains(&text), "{refused}");
    }
}

/// Enough jobs that their history is one row, and some with what few jobs have.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_completed_together_is_found_job_by_job() {
    let scene = Scene::with(MAX_EXPRESS_BOUND, |queue| queue.workers(2).max_demand(50)).await;
    let client = scene.client();
    scene.board.queue("default").pause().await.unwrap();
    let again = plays([Step::Fail("no".into()), Step::Complete]);
    let limited = call!(run()).time_limit(Duration::from_secs(7));
    let plain = (0..30).map(|n| match n % 2 {
        0 => call!(run()),
        _ => plays([Step::Complete]),
    });
    let calls = [again, limited].into_iter().chain(plain);
    let ids = client.enqueue_many(calls).await.unwrap();
    scene.board.queue("default").resume().await.unwrap();
    for (n, id) in ids.iter().enumerate() {
        let job = until_state(client, *id, JobState::Completed).await;
        let (attempts, errors) = if n == 0 { (2, 1) } else { (1, 0) };
        assert_eq!((job.attempt.as_i32(), job.errors.len()), (attempts, errors));
        let is_script = n == 0 || n > 1 && n % 2 == 1;
        assert_eq!(&*job.kind == Script::KIND, is_script, "{}", job.kind);
        assert_eq!(job.node, Some(scene.board.node()));
        let (attempted, finished) = (job.attempted_at.unwrap(), job.finished_at.unwrap());
        assert!(job.enqueued_at <= attempted && attempted <= finished);
        let why = client.explain(*id).await.unwrap().to_string();
        assert!(why.contains("completed"), "{why}");
    }
    let together = "select count(*) from callboard.history_batches";
    assert!(scene.number(together).await > 0);
    assert!(
        client
            .job(JobId::from_i64(i64::MAX))
            .await
            .unwrap()
            .is_none()
    );

    let aged = "update callboard.history_batches set finished_at = finished_at - interval '3 days'";
    scene.rows.batch_execute(aged).await.unwrap();
    let prune = "select callboard.history_prune(interval '1 day')";
    let pruned = scene.number(prune).await;
    assert!(pruned > 0);
    assert!(client.job(ids[5]).await.unwrap().is_none());
    assert!(client.job(ids[0]).await.unwrap().is_some());
    scene.ends_well().await;
}
