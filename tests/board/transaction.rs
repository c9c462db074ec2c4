//! Enqueues inside a transaction of the application's own, by either client.

use callboard::{Board, BoxError, Client, JobId, JobState, Outcome, Queue, call, functions};
use diesel_async::{AsyncConnection, AsyncPgConnection};
use serde_json::json;

use crate::support::{board_at, database_at, server, sql, sql::number, until_state};

async fn double(number: i64) -> Result<Outcome, BoxError> {
    Outcome::done_with(&(number * 2))
}

async fn doubling_board() -> (String, Board) {
    let url = server::fresh_database().await;
    let board = board_at(&url, |b| {
        b.queue(Queue::new("default")).functions(functions![double])
    })
    .await;
    (url, board)
}

async fn was_completed(client: &Client, id: JobId) {
    let job = until_state(client, id, JobState::Completed).await;
    assert_eq!(job.output, Some(json!(42)));
}

/// The job is not there, and a later one has run meanwhile.
async fn never_was(client: &Client, id: JobId) {
    let later = client.enqueue(call!(double(21))).await.unwrap();
    was_completed(client, later).await;
    assert!(client.job(id).await.unwrap().is_none());
}

#[derive(Debug)]
enum Undone {
    RolledBack(JobId),
    Failed(#[allow(dead_code, reason = "shown when a test fails")] BoxError),
}

impl From<diesel::result::Error> for Undone {
    fn from(error: diesel::result::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<callboard::Error> for Undone {
    fn from(error: callboard::Error) -> Self {
        Self::Failed(error.into())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_committed_diesel_transaction_runs() {
    let (url, board) = doubling_board().await;
    let client = board.client();
    let mut connection = AsyncPgConnection::establish(&url).await.unwrap();
    let enqueued = connection.transaction(async |tx| {
        let id = client.enqueue_in(&mut *tx, call!(double(21))).await?;
        // Others do not see it before the commit.
        assert!(client.job(id).await?.is_none());
        Ok::<_, Undone>(id)
    });
    was_completed(client, enqueued.await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_diesel_transaction_that_rolls_back_never_exists() {
    let (url, board) = doubling_board().await;
    let client = board.client();
    let mut connection = AsyncPgConnection::establish(&url).await.unwrap();
    let undone = connection.transaction(async |tx| {
        let id = client.enqueue_in(&mut *tx, call!(double(21))).await?;
        Err::<(), _>(Undone::RolledBack(id))
    });
    let Err(Undone::RolledBack(id)) = undone.await else {
        panic!("the transaction rolls back");
    };
    never_was(client, id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_committed_tokio_postgres_transaction_runs() {
    let (url, board) = doubling_board().await;
    let client = board.client();
    let mut connection = sql::connect(&url).await;
    let transaction = connection.transaction().await.unwrap();
    transaction
        .batch_execute("create table orders (job bigint)")
        .await
        .unwrap();
    let id = client
        .enqueue_in(&transaction, call!(double(21)))
        .await
        .unwrap();
    // An id is a value of this client too.
    transaction
        .execute("insert into orders values ($1)", &[&id])
        .await
        .unwrap();
    assert!(client.job(id).await.unwrap().is_none());
    transaction.commit().await.unwrap();
    was_completed(client, id).await;
    assert_eq!(
        number(&connection, "select job from orders").await,
        id.as_i64()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_tokio_postgres_transaction_that_rolls_back_never_exists() {
    let (url, board) = doubling_board().await;
    let mut connection = sql::connect(&url).await;
    let transaction = connection.transaction().await.unwrap();
    let call = call!(double(21));
    let id = board.client().enqueue_in(&transaction, call).await.unwrap();
    transaction.rollback().await.unwrap();
    never_was(board.client(), id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uncommitted_job_is_not_run_and_blocks_nobody() {
    let (url, board) = doubling_board().await;
    let client = board.client();
    let mut connection = sql::connect(&url).await;
    let transaction = connection.transaction().await.unwrap();
    let calls = [call!(double(1)), call!(double(21))];
    let ids = client.enqueue_many_in(&transaction, calls).await.unwrap();
    client.wake("default");
    let later = client.enqueue(call!(double(21))).await.unwrap();
    was_completed(client, later).await;
    assert!(client.job(ids[1]).await.unwrap().is_none());
    assert_eq!(board.counts().claimed, 1);
    transaction.commit().await.unwrap();
    client.wake("default");
    was_completed(client, ids[1]).await;
}

#[tokio::test]
async fn a_client_of_names_enqueues_in_a_transaction_too() {
    let url = server::fresh_database().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let connection = sql::connect(&url).await;
    // Without a transaction, the connection itself.
    let id = client
        .enqueue_in(&connection, call!(double(21)))
        .await
        .unwrap();
    let job = client.job(id).await.unwrap().unwrap();
    assert_eq!(job.state, JobState::Available);
}
