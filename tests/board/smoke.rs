use callboard::job::JobState;
use callboard::{BoxError, Context, Queue, call, functions};

use crate::support::{board, until_state};

async fn add(cx: &mut Context, a: i64, b: i64) -> Result<callboard::Outcome, BoxError> {
    let _ = cx;
    callboard::Outcome::done_with(&(a + b))
}

async fn boom() {
    panic!("boom");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_runs() {
    tracing_subscriber::fmt()
        .with_env_filter("callboard=debug")
        .init();
    let board = board(|b| {
        b.queue(Queue::new("default").workers(2))
            .functions(functions![add, boom])
    })
    .await;
    let client = board.client();
    let id = client.enqueue(call!(add(1, 2))).await.unwrap();
    let job = until_state(client, id, JobState::Completed).await;
    assert_eq!(job.output, Some(serde_json::json!(3)));
    let id = client.enqueue(call!(boom()).max_attempts(1)).await.unwrap();
    let job = until_state(client, id, JobState::Dead).await;
    println!("{job:#?}");
    let start = std::time::Instant::now();
    let ids = client
        .enqueue_many((0..100_000).map(|i| call!(add(i, 1))))
        .await
        .unwrap();
    println!("enqueued {} in {:?}", ids.len(), start.elapsed());
    let start = std::time::Instant::now();
    crate::support::eventually("all done", || async {
        (board.counts().completed >= 100_001).then_some(())
    })
    .await;
    println!("drained in {:?} {:?}", start.elapsed(), board.counts());
    println!("{}", board.health());
    board.shutdown().await.unwrap();
}
