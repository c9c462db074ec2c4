//! A handler completes its job in its own transaction: effect and completion, both or neither.

use std::sync::Arc;
use std::time::Duration;

use callboard::{Backoff, Board, BoxError, Context, JobState, Outcome, Queue, call, functions};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use tokio::sync::Notify;

use crate::support::{board_at, eventually, server, sharing, sql, sql::number, until_state};

const EFFECT: &str = "insert into effects values (1)";
const EFFECTS: &str = "select count(*) from effects";

/// What a handler needs: the way to the application's database, and signals to and from the test.
#[derive(Clone)]
struct Desk {
    url: Arc<str>,
    begun: Arc<Notify>,
    go_on: Arc<Notify>,
}

async fn desk_and_board() -> (Desk, Board, tokio_postgres::Client) {
    let url = server::fresh_database().await;
    let rows = sql::connect(&url).await;
    rows.batch_execute("create table effects (n int)")
        .await
        .unwrap();
    let desk = Desk {
        url: url.as_str().into(),
        begun: Arc::new(Notify::new()),
        go_on: Arc::new(Notify::new()),
    };
    let queue = sharing(Queue::new("default"), &desk);
    let board = board_at(&url, |b| {
        b.queue(queue)
            .functions(functions![once, with_diesel, second_time_lucky, overtaken])
    })
    .await;
    (desk, board, rows)
}

async fn once(cx: &mut Context) -> Result<(), BoxError> {
    let desk = cx.state::<Desk>()?.clone();
    let mut connection = sql::connect(&desk.url).await;
    let transaction = connection.transaction().await?;
    transaction.execute(EFFECT, &[]).await?;
    cx.complete_in(&transaction).await?;
    transaction.commit().await?;
    Ok(())
}

async fn with_diesel(cx: &mut Context) -> Result<(), BoxError> {
    let desk = cx.state::<Desk>()?.clone();
    let mut connection = AsyncPgConnection::establish(&desk.url).await?;
    let transaction = connection.transaction(async |tx| {
        tx.batch_execute(EFFECT).await?;
        cx.complete_in(tx).await?;
        Ok::<_, BoxError>(())
    });
    transaction.await
}

async fn second_time_lucky(cx: &mut Context) -> Result<(), BoxError> {
    let desk = cx.state::<Desk>()?.clone();
    let mut connection = sql::connect(&desk.url).await;
    let transaction = connection.transaction().await?;
    transaction.execute(EFFECT, &[]).await?;
    cx.complete_in(&transaction).await?;
    if cx.attempt().is_first() {
        transaction.rollback().await?;
        return Err("the transaction rolled back".into());
    }
    transaction.commit().await?;
    Ok(())
}

async fn overtaken(cx: &mut Context) -> Result<Outcome, BoxError> {
    let desk = cx.state::<Desk>()?.clone();
    if !cx.attempt().is_first() {
        return Outcome::done_with(&"the one that counts");
    }
    let mut connection = sql::connect(&desk.url).await;
    let transaction = connection.transaction().await?;
    transaction.execute(EFFECT, &[]).await?;
    desk.begun.notify_one();
    desk.go_on.notified().await;
    let refused = cx.complete_in(&transaction).await.unwrap_err();
    assert!(refused.is_lease_lost(), "{refused}");
    assert!(refused.to_string().contains("must roll back"), "{refused}");
    transaction.rollback().await?;
    desk.begun.notify_one();
    Err(refused.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn effect_and_completion_commit_together() {
    let (_desk, board, rows) = desk_and_board().await;
    for (index, call) in [call!(once()), call!(with_diesel())]
        .into_iter()
        .enumerate()
    {
        let id = board.client().enqueue(call).await.unwrap();
        let job = until_state(board.client(), id, JobState::Completed).await;
        assert_eq!((job.attempt.as_i32(), job.errors.len()), (1, 0));
        assert_eq!(number(&rows, EFFECTS).await, index as i64 + 1);
    }
    eventually("both are counted", || async {
        (board.counts().completed == 2 && board.counts().in_hand == 0).then_some(())
    })
    .await;
    assert_eq!(board.counts().refused, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_that_rolls_back_is_retried_and_its_effect_happens_once() {
    let (_desk, board, rows) = desk_and_board().await;
    let soon = Backoff::constant(Duration::from_millis(10));
    let call = call!(second_time_lucky()).backoff(soon);
    let id = board.client().enqueue(call).await.unwrap();
    let job = until_state(board.client(), id, JobState::Completed).await;
    assert_eq!(job.attempt.as_i32(), 2);
    assert_eq!(job.errors[0]["message"], "the transaction rolled back");
    assert_eq!(number(&rows, EFFECTS).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_lost_its_lease_cannot_complete_its_job() {
    let (desk, board, rows) = desk_and_board().await;
    let client = board.client();
    let id = client.enqueue(call!(overtaken())).await.unwrap();
    desk.begun.notified().await;
    // As if others had taken it back, because this node was silent for too long.
    let take_back = "update callboard.jobs set state = 'available', is_ready = true, node = null";
    rows.batch_execute(take_back).await.unwrap();
    client.wake("default");
    let job = until_state(client, id, JobState::Completed).await;
    assert_eq!(job.attempt.as_i32(), 2);
    desk.go_on.notify_one();
    desk.begun.notified().await;
    eventually("the stale answer is counted", || async {
        (board.counts().refused == 1).then_some(())
    })
    .await;
    assert_eq!(number(&rows, EFFECTS).await, 0);
    let job = client.job(id).await.unwrap().unwrap();
    assert_eq!(job.output, Some("the one that counts".into()));
    assert_eq!(
        number(&rows, "select count(*) from callboard.finished_jobs").await,
        1
    );
}
