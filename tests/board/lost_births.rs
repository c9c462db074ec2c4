//! Jobs that are claimed as they are enqueued are never lost on their way into the node's hands, and never run
//! twice for it: whoever dies or goes away between the commit and the hand-over.

use std::sync::atomic::Ordering;
use std::time::Duration;

use callboard::supervision::ChildStatus;
use callboard::{Database, JobState, call};

use crate::support::births::{BIRTH, Stage, run, seldom};
use crate::support::tree::kill;
use crate::support::{eventually, sql::number, until_state};

#[tokio::test(flavor = "multi_thread")]
async fn births_whose_answer_is_lost_are_found_and_run_once() {
    let stage = Stage::set().await;
    stage.proxy.lose_answers_to(BIRTH, 1);
    let alone = stage.client().enqueue(call!(run())).await;
    alone.expect_err("its answer is lost");
    stage.each_ran_once(1).await;
    let is_born_again = || async {
        let id = stage.client().enqueue(call!(run())).await.unwrap();
        until_state(stage.client(), id, JobState::Completed).await;
        stage.is_born(id).await.then_some(())
    };
    eventually("births go on", is_born_again).await;
    stage.until_quiet().await;
    let before = stage.shared.begun.swap(0, Ordering::SeqCst);
    assert!(before >= 2);
    stage.shared.order.lock().unwrap().clear();
    stage.proxy.lose_answers_to(BIRTH, 1);
    let many = stage.client().enqueue_many([call!(run()), call!(run())]);
    many.await.expect_err("its answer is lost");
    stage.each_ran_once(2).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_loses_no_birth() {
    let stage = Stage::set().await;
    let lock = stage.hold_up_enqueues().await;
    let client = stage.client().clone();
    let caller =
        tokio::spawn(async move { client.enqueue_many([call!(run()), call!(run())]).await });
    stage.until_enqueue_waits().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    drop(lock);
    stage.each_ran_once(2).await;
    stage.end().await;
}

/// The caller's own runtime ends, and with it whoever waits for the answer. The statement is committed after
/// the board has looked for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_birth_that_is_committed_after_it_was_given_up_is_found() {
    // The enqueue waits for less, and the board looks again a little later.
    let limit = Duration::from_secs(8);
    // There is one connection, where the statement is prepared already: to prepare it waits for the lock, too, and
    // what is given up then was never sent.
    let configure = |database: Database| database.statement_timeout(limit).client_connections(1);
    let stage = Stage::with(seldom(), configure).await;
    let sent = stage.proxy.statements(BIRTH);
    let lock = stage.hold_up_enqueues().await;
    let client = stage.client().clone();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.spawn(async move { client.enqueue(call!(run())).await });
    stage.until_enqueue_waits().await;
    assert_eq!(stage.proxy.statements(BIRTH), sent + 1);
    let before = stage.proxy.statements("(id, attempt) not in");
    runtime.shutdown_background();
    eventually("the board has looked", || async {
        (stage.proxy.statements("(id, attempt) not in") > before).then_some(())
    })
    .await;
    drop(lock);
    stage.each_ran_once(1).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_birth_outlives_the_fetcher_that_lent_the_ask() {
    let stage = Stage::set().await;
    let lock = stage.hold_up_enqueues().await;
    let client = stage.client().clone();
    let caller = tokio::spawn(async move { client.enqueue(call!(run())).await });
    stage.until_enqueue_waits().await;
    kill(&stage.board, &["queues", "default", "fetcher"]).await;
    drop(lock);
    let id = caller.await.unwrap().unwrap();
    assert!(stage.is_born(id).await);
    stage.each_ran_once(1).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closing_board_waits_for_births_and_gives_them_back() {
    let stage = Stage::set().await;
    let lock = stage.hold_up_enqueues().await;
    let client = stage.client().clone();
    let caller = tokio::spawn(async move { client.enqueue(call!(run())).await });
    stage.until_enqueue_waits().await;
    let board = stage.board.clone();
    let closing = tokio::spawn(async move { board.shutdown().await });
    eventually("the board closes", || async {
        let tree = stage.board.supervisor().snapshot();
        let status = tree.find(&["gate"])?.info.status;
        (status == ChildStatus::Stopping).then_some(())
    })
    .await;
    drop(lock);
    let id = caller.await.unwrap().unwrap();
    closing.await.unwrap().unwrap();
    // It may have begun to stop, and not to close.
    let expected = match stage.shared.begun.load(Ordering::SeqCst) {
        0 => JobState::Available,
        _ => JobState::Completed,
    };
    assert_eq!(stage.state(id).await, expected);
    let nodes = "select count(*) from callboard.nodes";
    assert_eq!(number(&stage.rows, nodes).await, 0, "it has said goodbye");
}
