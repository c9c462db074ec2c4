//! When a fetcher looks for jobs.

use std::time::Duration;

use callboard::{Client, JobState, Queue, call, functions};

use crate::support::{board_on, database_at, eventually, server, sql, sql::number, until_state};

async fn work() {}

/// Each announcement would have it walk over all that it may not have, one claim after the other.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_announced_after_long_looks_in_vain_is_found_when_there_was_some_rest() {
    let url = server::fresh_database().await;
    let rows = sql::connect(&url).await;
    let seldom = Duration::from_secs(3_600);
    let queue = Queue::new("default").workers(1).poll_every(seldom);
    let database = database_at(&url).statement_timeout(Duration::from_secs(60));
    let board = board_on(database, |b| b.queue(queue).functions(functions![work])).await;
    // Another process: what it enqueues is announced, and is not claimed at birth.
    let client = Client::connect(database_at(&url)).await.unwrap();
    let first = client.enqueue(call!(work())).await.unwrap();
    until_state(&client, first, JobState::Completed).await;

    for _ in 0..2 {
        let held = "begin; lock table callboard.limits in access exclusive mode";
        rows.batch_execute(held).await.unwrap();
        board.client().wake("default");
        // So long that the rest is the longest there is, and the job below comes in it.
        let waiting = "select count(*) from pg_locks where not granted and relation = 'callboard.limits'::regclass \
                       and waitstart < clock_timestamp() - interval '150 ms'";
        eventually("the claim has waited", || async {
            (number(&rows, waiting).await == 1).then_some(())
        })
        .await;
        rows.batch_execute("commit").await.unwrap();
        eventually("the claim has come back", || async {
            let under_way = "select count(*) from pg_stat_activity where state = 'active' \
                             and datname = current_database() and query like '%set state = ''executing''%' \
                             and pid <> pg_backend_pid()";
            (number(&rows, under_way).await == 0).then_some(())
        })
        .await;
    }
    let second = client.enqueue(call!(work())).await.unwrap();
    until_state(&client, second, JobState::Completed).await;
    board.shutdown().await.unwrap();
}
