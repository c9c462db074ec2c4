//! How jobs run: never more at once than there are workers, nothing claimed that nobody asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use callboard::{Board, BoxError, Context, JobState, Outcome, Queue, call, functions};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::{board, board_at, eventually, server, sharing, sql, until_state};

/// How many jobs run now, and the most that ever did.
#[derive(Clone, Default)]
struct Gauge(Arc<(AtomicU32, AtomicU32)>);

impl Gauge {
    fn enter(&self) {
        let now = self.0.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.1.fetch_max(now, Ordering::SeqCst);
    }

    fn leave(&self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }

    fn most(&self) -> u32 {
        self.0.1.load(Ordering::SeqCst)
    }
}

async fn measured(cx: &mut Context) -> Result<(), BoxError> {
    let gauge = cx.state::<Gauge>()?.clone();
    gauge.enter();
    tokio::time::sleep(Duration::from_millis(3)).await;
    gauge.leave();
    Ok(())
}

/// Runs until the test gives a permit.
async fn held(cx: &mut Context) -> Result<(), BoxError> {
    let permits = cx.state::<Arc<Semaphore>>()?.clone();
    permits.acquire().await?.forget();
    Ok(())
}

async fn completes(board: &Board, jobs: u64) {
    eventually("all are completed", || async {
        (board.counts().completed == jobs).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_jobs_run_at_once_than_a_queue_has_workers() {
    let gauges: [Gauge; 3] = Default::default();
    let sizes = [1, 3, 7];
    let queue = |index: usize| {
        let queue = Queue::new(format!("queue-{index}")).workers(sizes[index]);
        // Larger steps must not lead to more at once.
        sharing(queue.max_demand(1 + index as u32 * 5), &gauges[index])
    };
    let board = board(|b| {
        b.queue(queue(0))
            .queue(queue(1))
            .queue(queue(2))
            .functions(functions![measured])
    })
    .await;
    let calls = (0..600).map(|number| call!(measured()).queue(format!("queue-{}", number % 3)));
    board.client().enqueue_many(calls).await.unwrap();
    completes(&board, 600).await;
    assert_eq!(gauges.each_ref().map(Gauge::most), sizes);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_jobs_are_claimed_only_when_a_worker_asks() {
    let url = server::fresh_database().await;
    let permits = Arc::new(Semaphore::new(0));
    let queue = sharing(Queue::new("default").workers(2), &permits);
    let board = board_at(&url, |b| b.queue(queue).functions(functions![held])).await;
    let calls = (0..10).map(|_| call!(held()));
    board.client().enqueue_many(calls).await.unwrap();
    let rows = sql::connect(&url).await;
    let executing = "select count(*) from callboard.jobs where state = 'executing'";
    eventually("two are claimed", || async {
        (sql::number(&rows, executing).await == 2).then_some(())
    })
    .await;
    // Neither wake-ups nor polls are asks.
    for _ in 0..20 {
        board.client().wake("default");
        board.client().enqueue(call!(held())).await.unwrap();
        assert_eq!(sql::number(&rows, executing).await, 2);
    }
    assert_eq!(board.counts().claimed, 2);
    permits.add_permits(30);
    completes(&board, 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_look_ahead_every_claim_is_for_a_worker_that_asks() {
    let permits = Arc::new(Semaphore::new(0));
    let queue = sharing(Queue::new("default").workers(2).look_ahead(0), &permits);
    let board = board(|b| b.queue(queue).functions(functions![held])).await;
    let calls = (0..10).map(|_| call!(held()));
    board.client().enqueue_many(calls).await.unwrap();
    for done in 0..=8 {
        eventually("two are claimed", || async {
            (board.counts().claimed == done + 2).then_some(())
        })
        .await;
        assert!(board.counts().in_hand <= 2, "{:?}", board.counts());
        permits.add_permits(1);
        completes(&board, done + 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_asks_in_steps_holds_at_most_its_steps() {
    let url = server::fresh_database().await;
    let permits = Arc::new(Semaphore::new(0));
    let queue = Queue::new("default")
        .workers(2)
        .max_demand(10)
        .look_ahead(0);
    let queue = sharing(queue, &permits);
    let board = board_at(&url, |b| b.queue(queue).functions(functions![held])).await;
    let calls = (0..100).map(|_| call!(held()));
    board.client().enqueue_many(calls).await.unwrap();
    eventually("both workers have their fill", || async {
        (board.counts().claimed == 20).then_some(())
    })
    .await;
    let rows = sql::connect(&url).await;
    let executing = "select count(*) from callboard.jobs where state = 'executing'";
    for done in 1..=30 {
        permits.add_permits(1);
        completes(&board, done).await;
        assert!(sql::number(&rows, executing).await <= 20);
    }
    permits.add_permits(70);
    completes(&board, 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quick_jobs_are_all_done_once_with_any_step() {
    for (max_demand, look_ahead) in [(1, 0), (1, 1_000), (100, 0), (100, 1_000)] {
        let gauge = Gauge::default();
        let queue = Queue::new("default").workers(4);
        let queue = queue.max_demand(max_demand).look_ahead(look_ahead);
        let queue = sharing(queue, &gauge);
        async fn quick(cx: &mut Context) -> Result<(), BoxError> {
            cx.state::<Gauge>()?.enter();
            Ok(())
        }
        let board = board(|b| b.queue(queue).functions(functions![quick])).await;
        let calls = (0..2_000).map(|_| call!(quick()));
        board.client().enqueue_many(calls).await.unwrap();
        completes(&board, 2_000).await;
        assert_eq!(gauge.most(), 2_000, "runs, since none leaves");
        board.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_knows_its_attempt() {
    async fn introspect(cx: &mut Context) -> Result<Outcome, BoxError> {
        if cx.attempt().is_first() {
            return Err("the first fails".into());
        }
        let left = cx
            .deadline()
            .saturating_duration_since(std::time::Instant::now());
        assert!(left <= Duration::from_secs(30) && left > Duration::from_secs(10));
        assert!(cx.time_left() <= left);
        assert_eq!(
            (cx.cancel_reason(), cx.cancellation().is_cancelled()),
            (None, false)
        );
        Outcome::done_with(&json!({
            "id": cx.job_id(), "attempt": cx.attempt(), "failures": cx.failures(),
            "last": cx.is_last_attempt(), "kind": cx.kind(), "queue": cx.queue(),
            "node": cx.node().to_string(), "enqueued_at": cx.enqueued_at(),
        }))
    }
    let board = board(|b| {
        b.queue(Queue::new("side"))
            .functions(functions![introspect])
    })
    .await;
    let soon = callboard::Backoff::constant(Duration::from_millis(10));
    let call = call!(introspect())
        .queue("side")
        .backoff(soon)
        .max_attempts(2);
    let call = call.time_limit(Duration::from_secs(30));
    let id = board.client().enqueue(call).await.unwrap();
    let job = until_state(board.client(), id, JobState::Completed).await;
    let expected = json!({
        "id": id, "attempt": 2, "failures": 1, "last": true, "kind": job.kind, "queue": "side",
        "node": board.node().to_string(), "enqueued_at": job.enqueued_at,
    });
    assert_eq!(job.output, Some(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_enqueues_more_jobs() {
    async fn countdown(cx: &mut Context, number: u32) -> Result<Outcome, BoxError> {
        let child = match number {
            0 => None,
            _ => Some(cx.client().enqueue(call!(countdown(number - 1))).await?),
        };
        Outcome::done_with(&child)
    }
    let board = board(|b| {
        b.queue(Queue::new("default"))
            .functions(functions![countdown])
    })
    .await;
    let mut id = board.client().enqueue(call!(countdown(5))).await.unwrap();
    for _ in 0..5 {
        let job = until_state(board.client(), id, JobState::Completed).await;
        id = serde_json::from_value(job.output.unwrap()).unwrap();
    }
    let last = until_state(board.client(), id, JobState::Completed).await;
    assert_eq!(last.output, Some(json!(null)));
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_for_another_state_than_the_queue_builds_names_both() {
    async fn wrong(cx: &mut Context) -> Result<(), BoxError> {
        cx.state::<String>()?;
        Ok(())
    }
    let queue = sharing(Queue::new("default"), &5_u64);
    let board = board(|b| b.queue(queue).functions(functions![wrong])).await;
    let id = board
        .client()
        .enqueue(call!(wrong()).max_attempts(1))
        .await
        .unwrap();
    let job = until_state(board.client(), id, JobState::Dead).await;
    let message = job.errors[0]["message"].as_str().unwrap();
    for part in ["String", "u64", "\"default\"", "Queue::worker_state"] {
        assert!(message.contains(part), "{message}");
    }
}
