//! The ledger under answers that cannot be written, and under writes whose answer it never hears.

use std::time::Duration;

use callboard::queue::Condition;
use callboard::{Board, JobState, Queue, call, functions};

use crate::support::acts::{hold, note, open_gate, stage, until_ran};
use crate::support::child::Plan;
use crate::support::tree::kill;
use crate::support::{board_at, eventually, server, sql, sql::number, until_state};

async fn fine() {}
async fn cursed() {}

/// Waits until so many statements wait for a lock.
async fn until_waiting(observer: &tokio_postgres::Client, statements: i64) {
    let waiting = "select count(*) from pg_stat_activity \
                   where datname = current_database() and wait_event_type = 'Lock'";
    eventually("statements wait", || async {
        (number(observer, waiting).await == statements).then_some(())
    })
    .await;
}

async fn until_completed(board: &Board, jobs: u64) {
    eventually(&format!("{jobs} jobs count as completed"), || async {
        (board.counts().completed == jobs).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_the_database_refuses_in_any_form_holds_up_no_other_and_is_written_later() {
    let url = server::fresh_database().await;
    let call = call!(cursed());
    let kind = call.kind();
    let curse =
        format!("alter table callboard.history add constraint curse check (kind <> '{kind}')");
    server::sql(&url, &curse).await;
    let board = board_at(&url, |b| {
        b.queue(Queue::new("default").workers(4))
            .functions(functions![fine, cursed])
    })
    .await;
    let client = board.client();
    let bad = client.enqueue(call!(cursed())).await.unwrap();
    for batch in 1..=3 {
        let calls = (0..50).map(|_| call!(fine()));
        client.enqueue_many(calls).await.unwrap();
        until_completed(&board, 50 * batch).await;
    }
    assert_eq!(board.counts().in_hand, 1);
    let health = board.health();
    let Some(Condition::Degraded { reason, .. }) = health.parts.get("ledger") else {
        panic!("{health}");
    };
    assert!(reason.contains("1 answers are set aside"), "{reason}");
    assert!(reason.contains("curse"), "{reason}");

    let lift = "alter table callboard.history drop constraint curse";
    server::sql(&url, lift).await;
    let job = until_state(client, bad, JobState::Completed).await;
    assert_eq!(job.attempt.as_i32(), 1);
    eventually("the ledger works", || async {
        (board.counts().in_hand == 0 && board.health().is_working()).then_some(())
    })
    .await;
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_ledger_had_sent_counts_as_what_it_did() {
    let (url, mut rows) = stage().await;
    let plan = Plan {
        workers: 5,
        ..Plan::new(&url)
    };
    let board = plan.start().await;
    let calls = (0..5).map(|_| call!(hold()));
    board.client().enqueue_many(calls).await.unwrap();
    until_ran(&rows, 5).await;
    let observer = sql::connect(&url).await;
    let stopper = rows.transaction().await.unwrap();
    // Who comes first to wait for this row goes on first.
    let lock =
        "select from callboard.jobs where id = (select min(id) from callboard.jobs) for update";
    stopper.batch_execute(lock).await.unwrap();
    open_gate(&observer, 1).await;
    until_waiting(&observer, 1).await;
    kill(&board, &["ledger"]).await;
    until_waiting(&observer, 2).await;
    stopper.commit().await.unwrap();
    // Both statements end: that of the killed ledger, and its successor's.
    until_completed(&board, 5).await;
    assert_eq!(board.counts().refused, 0);
    let later = board.client().enqueue(call!(note())).await.unwrap();
    until_state(board.client(), later, JobState::Completed).await;
    until_completed(&board, 6).await;
    let history = "select count(*) from callboard.finished_jobs where state = 'completed'";
    assert_eq!(number(&rows, history).await, 6);
    board.shutdown().await.unwrap();
}

/// While a handler runs, its job is taken back from this node; the answer is sent twice.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_back_counts_as_refused_however_often_its_answer_is_sent() {
    let (url, mut rows) = stage().await;
    let board = Plan::new(&url).start().await;
    let id = board.client().enqueue(call!(hold())).await.unwrap();
    until_ran(&rows, 1).await;
    let observer = sql::connect(&url).await;
    let stopper = rows.transaction().await.unwrap();
    let lock = format!(
        "update callboard.jobs set state = 'scheduled', is_ready = false, node = null, due_at = now() + interval '1 hour', \
         errors = '[{{\"kind\": \"process_died\", \"attempt\": 1}}]' where id = {}",
        id.as_i64()
    );
    stopper.batch_execute(&lock).await.unwrap();
    open_gate(&observer, 1).await;
    until_waiting(&observer, 1).await;
    kill(&board, &["ledger"]).await;
    until_waiting(&observer, 2).await;
    stopper.commit().await.unwrap();
    eventually("its answer is refused", || async {
        (board.counts().refused == 1).then_some(())
    })
    .await;
    assert_eq!(board.counts().completed, 0);
    tokio::time::timeout(Duration::from_secs(60), board.shutdown())
        .await
        .expect("it ends")
        .unwrap();
}
