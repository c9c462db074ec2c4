//! What the tests share: a server, a database for each test, waiting for facts.

pub mod acts;
pub mod births;
pub mod child;
pub mod script;
pub mod server;
pub mod sql;
pub mod tree;

use std::time::Duration;

use callboard::board::Builder;
use callboard::job::{JobId, JobState};
use callboard::store::JobInfo;
use callboard::{Board, BoxError, Client, Database, Queue};

/// How long a fact may take to come true before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A fresh, migrated database of its own.
pub async fn database() -> Database {
    database_at(&server::fresh_database().await)
}

/// A board over a fresh database.
pub async fn board(configure: impl FnOnce(Builder) -> Builder) -> Board {
    board_on(database().await, configure).await
}

/// A board over the database at `url`.
pub async fn board_at(url: &str, configure: impl FnOnce(Builder) -> Builder) -> Board {
    board_on(database_at(url), configure).await
}

/// The database at `url`.
pub fn database_at(url: &str) -> Database {
    Database::from_url(url).expect("the server's URL is valid")
}

/// A queue whose jobs find `shared` as their worker's state: how a test and its handlers talk.
pub fn sharing<S>(queue: Queue, shared: &S) -> Queue
where
    S: Clone + Send + Sync + 'static,
{
    let shared = shared.clone();
    queue.worker_state(move || {
        let shared = shared.clone();
        async move { Ok::<_, BoxError>(shared) }
    })
}

/// A board over this database.
pub async fn board_on(database: Database, configure: impl FnOnce(Builder) -> Builder) -> Board {
    configure(Board::builder(database))
        .start()
        .await
        .expect("the board starts")
}

/// Waits until `fact` gives a value.
pub async fn eventually<T, F, Fut>(what: &str, mut fact: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let waiting = async {
        loop {
            if let Some(value) = fact().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, waiting).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} in vain: {what}"),
    }
}

/// Waits until the board has confirmed, and counted, all it was answered for.
pub async fn until_confirmed(board: &Board) {
    eventually("all answers are confirmed", || async {
        (board.counts().in_hand == 0).then_some(())
    })
    .await;
}

/// Waits until a job stands so.
pub async fn until_state(client: &Client, id: JobId, state: JobState) -> JobInfo {
    let mut seen = None;
    let waiting = async {
        loop {
            seen = client.job(id).await.expect("the job can be read");
            if let Some(job) = seen.take_if(|job| job.state == state) {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.unwrap_or_else(|_| {
        panic!("waited {PATIENCE:?} in vain: job {id} is {state}; it is {seen:?}")
    })
}
