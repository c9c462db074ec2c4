//! Nodes that agree on a breaker, whoever of them dies, restarts or loses the database.

use callboard::queue::Condition;
use callboard::testing::Proxy;

use super::*;
use crate::support::tree::kill;
use crate::support::{sql, sql::number};

/// The breaker is closed by hand, whereupon these jobs complete.
async fn closed_by_hand(board: &Board, jobs: &[JobId]) {
    let breaker = board.client().breaker("smtp");
    breaker.close("it is back").await.unwrap();
    until_completed(board.client(), jobs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verdict_of_one_node_keeps_the_jobs_of_another_waiting() {
    let (url, service) = (server::fresh_database().await, Service::new());
    let elsewhere = sharing(
        Queue::new("elsewhere").workers(4).poll_every(HOUR),
        &service,
    );
    let other_node = board_at(&url, with(elsewhere, breaker())).await;
    let (board, _jobs) = opened(&url, &service, breaker()).await;
    let seen = || async {
        let job = other_node
            .client()
            .enqueue(call!(receive()).queue("elsewhere").max_attempts(1));
        let job = job.await.unwrap();
        let free = other_node
            .client()
            .enqueue(call!(other()).queue("elsewhere"))
            .await
            .unwrap();
        until_state(other_node.client(), free, JobState::Completed).await;
        let job = other_node.client().job(job).await.unwrap().unwrap();
        (job.state == JobState::Available).then_some(())
    };
    eventually("the other node waits too", seen).await;
    let calls = service.calls();
    for _ in 0..5 {
        seen().await.expect("it waits");
    }
    assert_eq!(service.calls(), calls);
    other_node.shutdown().await.unwrap();
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_changes_nothing_about_an_open_breaker() {
    let (url, service) = (server::fresh_database().await, Service::new());
    let (board, jobs) = opened(&url, &service, breaker()).await;
    let (before, calls) = (standing(board.client()).await, service.calls());
    board.shutdown().await.unwrap();
    service.set_up();
    let board = board_at(&url, with(queue(&service), breaker())).await;
    others_run(&board).await;
    assert_eq!(standing(board.client()).await, before);
    assert_eq!(service.calls(), calls);
    closed_by_hand(&board, &jobs).await;
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_death_of_who_judges_changes_nothing_and_its_successor_hears_what_comes() {
    let (url, service) = (server::fresh_database().await, Service::new());
    let (board, jobs) = opened(&url, &service, breaker()).await;
    let (before, calls) = (standing(board.client()).await, service.calls());
    kill(&board, &["breakers"]).await;
    others_run(&board).await;
    assert_eq!(standing(board.client()).await, before);
    assert_eq!(service.calls(), calls);
    service.set_up();
    closed_by_hand(&board, &jobs).await;
    // And it judges: what fails from now on opens it again.
    service.set_down();
    enqueue(board.client(), 8).await;
    until(board.client(), BreakerState::Open).await;
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_that_cannot_be_written_is_obeyed_here_and_written_when_the_database_is_back() {
    let url = server::fresh_database().await;
    let (proxy, service) = (Proxy::start(&url).unwrap(), Service::gated());
    let board = board_at(proxy.url(), with(queue(&service).look_ahead(0), breaker())).await;
    let jobs = enqueue(board.client(), 20).await;
    service.until_called(4).await;
    proxy.refuse();
    proxy.cut();
    eventually("the breakers are degraded", || async {
        let health = board.health();
        matches!(
            health.parts.get("breakers"),
            Some(Condition::Degraded { .. })
        )
        .then_some(())
    })
    .await;
    service.set_down();
    service.gate.add_permits(1000);
    let rows = sql::connect(&url).await;
    eventually("the calls have ended", || async {
        (service.gate.available_permits() <= 996).then_some(())
    })
    .await;
    assert_eq!(
        number(
            &rows,
            "select count(*) from callboard.breakers where state <> 'closed'"
        )
        .await,
        0
    );
    proxy.accept();
    let open = until(board.client(), BreakerState::Open).await;
    assert!(open.reason.unwrap().starts_with("4 of 4 calls failed"));
    until_confirmed(&board).await;
    assert_eq!(service.calls(), 4, "none was tried after the verdict");
    service.set_up();
    closed_by_hand(&board, &jobs).await;
    board.shutdown().await.unwrap();
}
