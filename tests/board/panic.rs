//! A panic is the job's failure: it is recorded, and the worker is replaced with clean state.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use callboard::supervision::{EventKind, Snapshot};
use callboard::{Board, BoxError, Context, Job, JobState, Queue, call, functions};
use serde_json::json;

use crate::support::script::{Script, Step};
use crate::support::{board, eventually, until_state};

/// A board whose workers count their jobs.
async fn counting_board(workers: u32) -> Board {
    let queue = Queue::new("default")
        .workers(workers)
        .worker_state(|| async { Ok::<_, BoxError>(0_u32) });
    board(|b| b.queue(queue).job::<Script>()).await
}

fn panics(text: &str) -> Script {
    Script(vec![Step::Panic(text.to_owned())])
}

fn workers(board: &Board) -> Vec<Snapshot> {
    let tree = board.supervisor().snapshot();
    let workers = tree.find(&["queues", "default", "workers"]).unwrap();
    workers.children.clone()
}

fn restarts(board: &Board) -> u32 {
    workers(board)
        .iter()
        .map(|worker| worker.info.restarts)
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_recorded_with_its_message_place_and_backtrace() {
    let board = counting_board(1).await;
    let call = panics("the boiler is empty").call().max_attempts(1);
    let id = board.client().enqueue(call).await.unwrap();
    let job = until_state(board.client(), id, JobState::Dead).await;
    let [error] = job.errors.as_slice() else {
        panic!("one attempt, one error: {:?}", job.errors);
    };
    assert_eq!(
        (&error["kind"], &error["attempt"]),
        (&json!("panic"), &json!(1))
    );
    let message = error["message"].as_str().unwrap();
    assert!(message.ends_with(": the boiler is empty"), "{message}");
    assert!(message.contains("support/script.rs:"), "{message}");
    let backtrace = error["backtrace"].as_str().unwrap();
    assert!(backtrace.contains("script"), "{backtrace}");
    assert_eq!(board.counts().panicked, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicked_job_is_retried_by_its_policy() {
    let board = counting_board(1).await;
    let script = Script(vec![Step::Panic("once".into()), Step::Complete]);
    let id = board.client().enqueue(script).await.unwrap();
    let job = until_state(board.client(), id, JobState::Completed).await;
    assert_eq!((job.attempt.as_i32(), job.errors.len()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_keeps_its_state_across_jobs_and_loses_it_with_a_panic() {
    let board = counting_board(1).await;
    let client = board.client();
    let count = async || {
        let id = client.enqueue(Script(vec![Step::Count])).await.unwrap();
        until_state(client, id, JobState::Completed).await.output
    };
    assert_eq!(count().await, Some(json!(1)));
    assert_eq!(count().await, Some(json!(2)));
    let failing = Script(vec![Step::Fail("an error is no crash".into())]);
    let id = client
        .enqueue(failing.call().max_attempts(1))
        .await
        .unwrap();
    until_state(client, id, JobState::Dead).await;
    assert_eq!(count().await, Some(json!(3)));
    assert_eq!(restarts(&board), 0);

    let id = client
        .enqueue(panics("a crash").call().max_attempts(1))
        .await
        .unwrap();
    until_state(client, id, JobState::Dead).await;
    assert_eq!(count().await, Some(json!(1)));
    assert_eq!(restarts(&board), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn panics_never_spend_the_restart_budget() {
    let board = counting_board(2).await;
    let mut events = board.supervisor().events();
    let calls = (0..500).map(|_| panics("again").call().max_attempts(1));
    board.client().enqueue_many(calls).await.unwrap();
    eventually("every job has panicked", || async {
        (board.counts().buried == 500).then_some(())
    })
    .await;
    let id = board
        .client()
        .enqueue(Script(vec![Step::Count]))
        .await
        .unwrap();
    until_state(board.client(), id, JobState::Completed).await;
    assert_eq!(board.counts().panicked, 500);
    assert!(board.health().is_working(), "{}", board.health());
    eventually("every panic has led to a restart", || async {
        (restarts(&board) == 500).then_some(())
    })
    .await;
    while let Some(event) = events.try_next() {
        // The stream keeps the last thousand or so.
        let Ok(event) = event else { continue };
        let is_bad = matches!(
            event.kind,
            EventKind::GaveUp { .. } | EventKind::BackingOff { .. }
        );
        assert!(!is_bad, "{event:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_takes_no_other_job_along() {
    async fn patient(cx: &mut Context) -> Result<(), BoxError> {
        let arrived = cx.state::<Arc<AtomicU32>>()?.clone();
        arrived.fetch_add(1, Ordering::SeqCst);
        eventually("the other has panicked", || async {
            (arrived.load(Ordering::SeqCst) == 10).then_some(())
        })
        .await;
        Ok(())
    }
    async fn rash(cx: &mut Context) -> Result<(), BoxError> {
        let arrived = cx.state::<Arc<AtomicU32>>()?.clone();
        eventually("the other runs", || async {
            (arrived.load(Ordering::SeqCst) >= 1).then_some(())
        })
        .await;
        arrived.fetch_add(9, Ordering::SeqCst);
        panic!(
            "with a value that is no text: {}",
            arrived.load(Ordering::SeqCst)
        );
    }
    let arrived = Arc::new(AtomicU32::new(0));
    let queue = crate::support::sharing(Queue::new("default").workers(2), &arrived);
    let board = board(|b| b.queue(queue).functions(functions![patient, rash])).await;
    let patient = board.client().enqueue(call!(patient())).await.unwrap();
    let rash = board
        .client()
        .enqueue(call!(rash()).max_attempts(1))
        .await
        .unwrap();
    until_state(board.client(), rash, JobState::Dead).await;
    let job = until_state(board.client(), patient, JobState::Completed).await;
    assert_eq!(job.attempt.as_i32(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_blocking_work_is_recorded_with_its_place() {
    async fn dig(cx: &mut Context) -> Result<(), BoxError> {
        cx.spawn_blocking(|_| panic!("hit a pipe")).await
    }
    let board = board(|b| b.queue(Queue::new("default")).functions(functions![dig])).await;
    let id = board
        .client()
        .enqueue(call!(dig()).max_attempts(1))
        .await
        .unwrap();
    let job = until_state(board.client(), id, JobState::Dead).await;
    let error = &job.errors[0];
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("panic.rs:") && message.ends_with(": hit a pipe"),
        "{message}"
    );
    assert!(
        error["backtrace"].as_str().unwrap().contains("dig"),
        "{error}"
    );
}
