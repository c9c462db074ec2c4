//! Breakers that people open, close and hold.

use super::*;
use crate::support::database_at;

#[tokio::test(flavor = "multi_thread")]
async fn it_is_opened_and_closed_by_hand() {
    let (url, service) = (server::fresh_database().await, Service::new());
    let board = board_at(&url, with(queue(&service), breaker())).await;
    // From a process that runs no jobs.
    let client = Client::connect(database_at(&url)).await.unwrap();
    eventually("it is declared", || async {
        (!client.breakers().await.unwrap().is_empty()).then_some(())
    })
    .await;
    let held = client
        .breaker("smtp")
        .hold_open("no mail today")
        .await
        .unwrap();
    assert_eq!(
        (held.state, held.next_probe_at),
        (BreakerState::HeldOpen, None)
    );
    assert_eq!(held.changed_by, "by hand");
    assert!(held.to_string().ends_with(": no mail today"), "{held}");
    until_obeyed(&board, BreakerState::HeldOpen).await;
    let jobs = enqueue(&client, 3).await;
    others_run(&board).await;
    assert_eq!(service.calls(), 0);

    // With probes, as if it had opened by itself.
    client
        .breaker("smtp")
        .open(50 * MS, "try again soon")
        .await
        .unwrap();
    until_completed(&client, &jobs).await;
    until(&client, BreakerState::Closed).await;
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_closed_stays_so_whatever_fails() {
    let (url, service) = (server::fresh_database().await, Service::down());
    let board = board_at(&url, with(queue(&service), breaker())).await;
    let client = board.client();
    eventually("it is declared", || async {
        (!client.breakers().await.unwrap().is_empty()).then_some(())
    })
    .await;
    client
        .breaker("smtp")
        .hold_closed("we must try")
        .await
        .unwrap();
    let jobs = enqueue(client, 4).await;
    service.until_called(60).await;
    assert_eq!(standing(client).await.state, BreakerState::HeldClosed);
    // Released, it judges again.
    client.breaker("smtp").close("enough").await.unwrap();
    until(client, BreakerState::Open).await;
    service.set_up();
    client
        .breaker("smtp")
        .hold_closed("it is back")
        .await
        .unwrap();
    until_completed(client, &jobs).await;
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_that_nobody_has_declared_cannot_be_opened_by_hand() {
    let url = server::fresh_database().await;
    let board = board_at(&url, with(queue(&Service::new()), breaker())).await;
    eventually("it is declared", || async {
        (!board.client().breakers().await.unwrap().is_empty()).then_some(())
    })
    .await;
    let refused = board
        .client()
        .breaker("smpt")
        .open(HOUR, "a slip")
        .await
        .unwrap_err();
    assert!(refused.is_refused_call());
    let text = refused.to_string();
    assert!(
        text.contains("\"smpt\"") && text.contains("declared are [\"smtp\"]"),
        "{text}"
    );
    let refused = board
        .client()
        .breaker("smtp")
        .open(Duration::MAX, "for ever")
        .await;
    assert!(refused.unwrap_err().is_refused_call());
    board.shutdown().await.unwrap();
}
