//! Jobs that are claimed as they are enqueued, since workers of this process wait for them: without a claim,
//! and in order.

use std::sync::atomic::Ordering;
use std::time::Duration;

use callboard::job::Limits;
use callboard::queue::AtBirth;
use callboard::{Backoff, Call, JobId, JobState, call};

use crate::support::births::{BIRTH, NOTIFY, Stage, WORKERS, run, seldom, wait};
use crate::support::{eventually, server, sql, sql::number, until_state};

const CLAIM: &str = "set state = 'executing'";

#[tokio::test(flavor = "multi_thread")]
async fn a_job_for_a_waiting_worker_takes_no_claim_and_no_notification() {
    let stage = Stage::set().await;
    let sent = || [BIRTH, CLAIM, NOTIFY].map(|text| stage.proxy.statements(text));
    let before = sent();
    let alone = stage.client().enqueue(call!(run())).await.unwrap();
    let many = stage.client().enqueue_many([call!(run())]).await.unwrap();
    stage.each_ran_once(2).await;
    assert_eq!(stage.born(&[alone, many[0]]).await, [true, true]);
    let after = sent();
    let [births, claims, notices] = [0, 1, 2].map(|n| after[n] - before[n]);
    assert_eq!((births, claims, notices), (2, 0, 0));
    stage.end().await;
}

/// Calls that are alike are claimed at birth by a statement of their own.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_born_among_its_like_has_all_that_its_call_says() {
    let stage = Stage::set().await;
    let call = || {
        call!(wait())
            .priority(-7)
            .max_attempts(9)
            .time_limit(Duration::from_secs(77))
            .backoff(Backoff::Constant {
                every: Duration::from_secs(5),
            })
            .limit_key("tenant")
            .traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    };
    let client = stage.client();
    let alone = client.enqueue(call()).await.unwrap();
    let alike = client.enqueue_many([call(), call()]).await.unwrap()[1];
    // One worker is left, for the more urgent of these.
    let beside_another = [call!(run()), call()];
    let beside_another = client.enqueue_many(beside_another).await.unwrap()[1];
    let ids = [alone, alike, beside_another];
    stage.until_begun(WORKERS).await;
    assert_eq!(stage.born(&ids).await, [true, true, true]);
    // All columns but those that differ between any two jobs.
    let row = |id: JobId| {
        format!(
            "select (to_jsonb(jobs) - '{{id,enqueued_at,attempted_at}}'::text[])::text from callboard.jobs \
              where id = {id} and attempted_at = enqueued_at and limit_key = 'tenant' and time_limit_ms = 77000"
        )
    };
    let rows = |id: JobId| {
        let (rows, row) = (&stage.rows, row(id));
        async move { rows.query_one(&row, &[]).await.unwrap().get::<_, String>(0) }
    };
    let expected = rows(beside_another).await;
    assert_eq!(
        [rows(alone).await, rows(alike).await],
        [&*expected, &*expected]
    );
    stage.shared.gate.add_permits(4);
    stage.each_ran_once(5).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_jobs_that_are_asked_for_take_no_claim() {
    let stage = Stage::with(seldom().workers(2).max_demand(1_000), |it| it).await;
    let before = stage.proxy.statements(CLAIM);
    let calls = (0..1_000).map(|_| call!(run()));
    let ids = stage.client().enqueue_many(calls).await.unwrap();
    stage.each_ran_once(1_000).await;
    assert_eq!(stage.proxy.statements(CLAIM), before);
    assert!(
        stage
            .born(&[ids[0], ids[999]])
            .await
            .iter()
            .all(|born| *born)
    );
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_claimed_at_birth_from_a_pause_on() {
    let stage = Stage::set().await;
    let queue = stage.board.queue("default");
    for _ in 0..20 {
        queue.pause().await.unwrap();
        let job = stage.client().enqueue(call!(run())).await.unwrap();
        let waits = stage.client().job(job).await.unwrap().unwrap();
        assert_eq!(
            (waits.state, waits.attempt.as_i32()),
            (JobState::Available, 0)
        );
        queue.resume().await.unwrap();
        until_state(stage.client(), job, JobState::Completed).await;
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_in_effect_when_no_birth_is_under_way_any_more() {
    let stage = Stage::set().await;
    let lock = stage.hold_up_enqueues().await;
    let client = stage.client().clone();
    let enqueue = tokio::spawn(async move { client.enqueue(call!(run())).await });
    stage.until_enqueue_waits().await;
    let queue = stage.board.queue("default");
    let mut pause = tokio::spawn(async move { queue.pause().await });
    let early = tokio::time::timeout(Duration::from_millis(300), &mut pause);
    assert!(early.await.is_err(), "a birth is under way");
    drop(lock);
    pause.await.unwrap().unwrap();
    let job = enqueue.await.unwrap().unwrap();
    until_state(stage.client(), job, JobState::Available).await;
    assert_eq!(stage.shared.begun.load(Ordering::SeqCst), 0);
    stage.board.queue("default").resume().await.unwrap();
    stage.each_ran_once(1).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_are_claimed_at_birth_than_workers_wait_for() {
    let stage = Stage::set().await;
    let calls = (0..10).map(|_| call!(wait()));
    let ids = stage.client().enqueue_many(calls).await.unwrap();
    stage.until_begun(WORKERS).await;
    let expected: Vec<bool> = (0..10).map(|n| n < WORKERS as usize).collect();
    assert_eq!(stage.born(&ids).await, expected);
    for id in &ids[WORKERS as usize..] {
        assert_eq!(stage.state(*id).await, JobState::Available);
    }
    stage.shared.gate.add_permits(10);
    stage.each_ran_once(10).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_urgent_of_a_batch_are_claimed_at_birth() {
    let stage = Stage::set().await;
    let calls = (0..10).map(|n| call!(wait()).priority(-n));
    let ids = stage.client().enqueue_many(calls).await.unwrap();
    stage.until_begun(WORKERS).await;
    let expected: Vec<bool> = (0..10).map(|n| n >= 10 - WORKERS as usize).collect();
    assert_eq!(stage.born(&ids).await, expected);
    stage.shared.gate.add_permits(10);
    stage.each_ran_once(10).await;
    stage.end().await;
}

/// A job as another process enqueues it, of which nobody here has heard.
async fn unheard_of(stage: &Stage, kind: &str, priority: i16) -> JobId {
    let insert = "insert into callboard.jobs (queue, kind, state, priority, args_version, args_fingerprint, args) \
                  select 'default', $1::text, 'available', $2, args_version, args_fingerprint, args from callboard.jobs \
                   limit 1 returning id";
    // What its arguments look like, a job of ours shows.
    let later = call!(run()).run_in(Duration::from_secs(3_600));
    let shown = stage.client().enqueue(later).await.unwrap();
    let row = stage.rows.query_one(insert, &[&kind, &priority]).await;
    stage.client().cancel(shown).await.unwrap();
    JobId::from_i64(row.unwrap().get(0))
}

fn kind_of(call: Call) -> String {
    call.kind().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_claimed_at_birth_before_a_job_that_waits() {
    let stage = Stage::set().await;
    let client = stage.client();
    let waiting = unheard_of(&stage, &kind_of(call!(run())), 0).await;
    let urgent = client.enqueue(call!(run()).priority(-1)).await.unwrap();
    until_state(client, urgent, JobState::Completed).await;
    assert!(stage.is_born(urgent).await, "it comes before who waits");
    assert_eq!(stage.state(waiting).await, JobState::Available);
    let as_urgent = client.enqueue(call!(run())).await.unwrap();
    for id in [waiting, as_urgent] {
        until_state(client, id, JobState::Completed).await;
    }
    assert!(!stage.is_born(as_urgent).await);
    assert_eq!(stage.shared.order.lock().unwrap()[0], urgent);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_for_another_node_keeps_nobody() {
    let stage = Stage::set().await;
    let waiting = unheard_of(&stage, "of.another.node", -5).await;
    let ours = stage.client().enqueue(call!(run())).await.unwrap();
    until_state(stage.client(), ours, JobState::Completed).await;
    assert!(stage.is_born(ours).await);
    assert_eq!(stage.state(waiting).await, JobState::Available);
    stage.end().await;
}

/// They are counted by claims.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_queue_with_limits_nobody_is_claimed_at_birth() {
    let stage = Stage::set().await;
    let client = stage.client();
    let limits = Limits::new().running(100);
    client.queue("default").limit(limits).await.unwrap();
    let alike = || vec![call!(run()), call!(run())];
    let others = || vec![call!(run()), call!(run()).priority(1)];
    for calls in [&alike as &(dyn Fn() -> Vec<Call> + Sync), &others] {
        let asked = stage.proxy.statements(BIRTH);
        // A claim may be under way now and then, and nothing is lent.
        let ids = eventually("an enqueue has borrowed", || async {
            let ids = client.enqueue_many(calls()).await.unwrap();
            for id in &ids {
                until_state(client, *id, JobState::Completed).await;
            }
            (stage.proxy.statements(BIRTH) > asked).then_some(ids)
        });
        assert_eq!(stage.born(&ids.await).await, [false, false]);
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_kinds_later_jobs_and_ordering_keys_take_the_ordinary_way() {
    let stage = Stage::set().await;
    let client = stage.client();
    let calls = [
        Call::named("of.another.node", &()).queue("default"),
        call!(run()).run_in(Duration::from_secs(3_600)),
        call!(run()),
        call!(run()).ordering_key("user"),
        call!(run()),
    ];
    let ids = client.enqueue_many(calls).await.unwrap();
    for id in &ids[2..] {
        until_state(client, *id, JobState::Completed).await;
    }
    let expected = [false, false, true, false, false];
    assert_eq!(stage.born(&ids).await, expected);
    assert_eq!(stage.state(ids[0]).await, JobState::Available);
    assert_eq!(stage.state(ids[1]).await, JobState::Scheduled);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_may_leave_its_jobs_to_all_nodes() {
    let queue = seldom().at_birth(AtBirth::Available);
    let stage = Stage::unready(queue, |database| database).await;
    for _ in 0..5 {
        let id = stage.client().enqueue(call!(run())).await.unwrap();
        until_state(stage.client(), id, JobState::Completed).await;
        stage.until_quiet().await;
    }
    assert_eq!(stage.proxy.statements(BIRTH), 0);
    stage.end().await;
}

#[tokio::test]
async fn who_waits_is_found_by_the_index_whatever_the_planner_believes() {
    let rows = sql::connect(&server::fresh_database().await).await;
    rows.batch_execute("analyze callboard.jobs").await.unwrap();
    let first = "select coalesce(callboard.first_waiting('default', '{kind}', '{1}'), -1)::bigint";
    for _ in 0..6 {
        assert_eq!(number(&rows, first).await, -1, "the plan is kept by now");
    }
    let fill = "insert into callboard.jobs (queue, kind, state, priority, args_version, args_fingerprint, args) \
                select 'default', 'kind', 'available', 3, 1, 1, '' \
                  from generate_series(1, 50000) as n";
    rows.batch_execute(fill).await.unwrap();
    assert_eq!(number(&rows, first).await, 3);
    let explain = format!("explain (analyze, buffers, costs off, timing off, summary off) {first}");
    let lines = rows.query(&explain, &[]).await.unwrap();
    let lines: Vec<String> = lines.iter().map(|line| line.get(0)).collect();
    let buffers = lines
        .iter()
        .find_map(|line| line.split_once("shared hit=").map(|(_, n)| n));
    let buffers = buffers.unwrap_or_else(|| panic!("{lines:#?}"));
    let hit: u32 = buffers.split(' ').next().unwrap().parse().unwrap();
    assert!(hit < 50 && !buffers.contains("read="), "{lines:#?}");
}
