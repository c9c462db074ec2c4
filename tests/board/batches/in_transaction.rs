//! Batches that complete in a transaction of their own.

use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::*;
use crate::support::{database_at, until_confirmed};

/// Writes its rows and completes them in one transaction, the first time in vain.
#[derive(Serialize, Deserialize)]
struct Written(i32);

#[derive(Debug, thiserror::Error)]
#[error("rolled back")]
struct RolledBack;

impl BatchJob for Written {
    const KIND: &'static str = "test.written";
    const SIZE: u32 = 3;
    const WAIT: Duration = Duration::from_millis(LONG);

    fn backoff() -> Backoff {
        Backoff::constant(Duration::from_millis(10))
    }

    async fn perform_batch(
        batch: &mut Batch<Self>,
        cx: &mut BatchContext<'_>,
    ) -> Result<Outcome, BoxError> {
        let rows: Vec<i32> = batch.iter().map(|row| row.0).collect();
        let is_first = batch.iter().all(|row| row.attempt().is_first());
        let connection = cx.state::<AsyncPgConnection>()?;
        connection
            .transaction(async |tx| -> Result<(), BoxError> {
                let insert = "insert into written select unnest($1)";
                diesel::sql_query(insert)
                    .bind::<diesel::sql_types::Array<diesel::sql_types::Integer>, _>(rows)
                    .execute(tx)
                    .await?;
                batch.complete_in(tx).await?;
                if is_first {
                    return Err(RolledBack.into());
                }
                Ok(())
            })
            .await?;
        Ok(Outcome::Done)
    }
}

#[tokio::test]
async fn a_batch_can_complete_in_a_transaction_of_its_own() {
    let url = server::fresh_database().await;
    server::sql(&url, "create table written (n int)").await;
    let at = url.clone();
    let queue = Queue::new("default").workers(1).max_demand(6);
    let queue = queue.worker_state(move || {
        let database = database_at(&at);
        async move { database.connect().await }
    });
    let board = board_at(&url, |board| board.queue(queue).job::<Written>()).await;
    let calls = (1..=3).map(|n| Written(n).call());
    let jobs = enqueue(&board, calls).await;
    all_complete(&board, &jobs, 2).await;
    let rows = sql::connect(&url).await;
    let sum = number(&rows, "select sum(n) from written").await;
    assert_eq!(sum, 6, "each once, with its completion");
    until_confirmed(&board).await;
    let counts = board.counts();
    assert_eq!(
        (counts.completed, counts.retried, counts.refused),
        (3, 3, 0)
    );
}
