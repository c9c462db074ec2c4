//! Live and ready, with reasons, for probes.

use std::time::Duration;

use callboard::testing::{Fault, TestBoard};
use callboard::{Client, Queue};

use crate::support::{database_at, eventually, server};

#[tokio::test(flavor = "multi_thread")]
async fn a_board_is_live_and_unready_without_its_database_and_ready_when_it_is_back() {
    let board = TestBoard::start(|b| b.queue(Queue::new("mail").workers(1))).await;
    board.healthy(|health| health.is_ready()).await;
    let fault = Fault::RefuseConnections(Duration::from_millis(500));
    let outage = board.inject(&fault);
    let watching = async {
        let health = board.healthy(|health| !health.is_ready()).await;
        assert!(health.is_live(), "{health}");
        let reasons = health.reasons();
        let tells_why = |reason: &String| reason.contains(": degraded for ");
        assert!(reasons.iter().all(tells_why), "{reasons:?}");
    };
    let (outage, ()) = tokio::join!(outage, watching);
    outage.unwrap();
    let health = board.healthy(|health| health.is_ready()).await;
    assert!(health.is_live() && health.reasons().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_was_shut_down_is_neither_live_nor_ready() {
    let board = TestBoard::start(|b| b.queue(Queue::new("mail").workers(1))).await;
    board.shutdown().await.unwrap();
    let health = board.health();
    assert!(!health.is_live() && !health.is_ready());
    assert_eq!(health.reasons(), ["the board has ended"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_board_knows_whether_the_database_answers() {
    let url = server::fresh_database().await;
    let proxy = callboard::testing::Proxy::start(&url).unwrap();
    let client = Client::connect(database_at(proxy.url())).await.unwrap();
    assert!(client.health().await.is_ready());
    proxy.refuse();
    proxy.cut();
    let health = client.health().await;
    assert!(health.is_live() && !health.is_ready());
    let reasons = health.reasons();
    assert!(reasons[0].starts_with("database: degraded"), "{reasons:?}");
    proxy.accept();
    eventually("it answers again", || async {
        client.health().await.is_ready().then_some(())
    })
    .await;
}
