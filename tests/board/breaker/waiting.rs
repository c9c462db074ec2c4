//! What waits while a breaker is open, and how it comes back.

use super::*;
use crate::support::{sql, sql::number};

#[tokio::test(flavor = "multi_thread")]
async fn jobs_wait_without_a_charge_while_the_breaker_is_open_and_run_when_it_closes() {
    let (url, service) = (server::fresh_database().await, Service::new());
    let (board, mut jobs) = opened(&url, &service, breaker()).await;
    let client = board.client();
    let rows = sql::connect(&url).await;
    let (calls, failures) = (service.calls(), number(&rows, FAILURES).await);
    assert_eq!(i64::from(calls), failures);

    jobs.extend(enqueue(client, 5).await);
    others_run(&board).await;
    assert_eq!(service.calls(), calls);
    assert_eq!(number(&rows, FAILURES).await, failures);
    let breaker = client
        .breaker_of(call!(send()).kind())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((breaker.state, breaker.openings), (BreakerState::Open, 1));
    let text = breaker.to_string();
    assert!(text.starts_with("breaker smtp is open since "), "{text}");
    assert!(
        text.contains(", next probe at ") && text.contains("calls failed, at or above 0.5"),
        "{text}"
    );
    assert!(text.ends_with("the last: connection refused"), "{text}");
    let waiting = *jobs.last().unwrap();
    let why = client.explain(waiting).await.unwrap().to_string();
    assert!(why.ends_with(&format!(": the {breaker}")), "{why}");

    service.set_up();
    client.breaker("smtp").close("it is back").await.unwrap();
    until_completed(client, &jobs).await;
    assert_eq!(
        number(&rows, "select count(*) from callboard.dead_letters").await,
        0
    );
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_claimed_ahead_is_returned_free_of_charge() {
    let (url, service) = (server::fresh_database().await, Service::down());
    let many = queue(&service).workers(1).max_demand(50);
    let board = board_at(&url, with(many, breaker())).await;
    let once = || call!(send()).max_attempts(1);
    let jobs = board
        .client()
        .enqueue_many((0..50).map(|_| once()))
        .await
        .unwrap();
    until(board.client(), BreakerState::Open).await;
    until_confirmed(&board).await;
    let rows = sql::connect(&url).await;
    // Those that ended while it was decided come on top of the four that are needed.
    let spent = i64::from(service.calls());
    assert!((4..50).contains(&spent), "{spent}");
    assert_eq!(
        number(&rows, "select count(*) from callboard.dead_letters").await,
        spent
    );
    let waiting = "select count(*) from callboard.jobs where state = 'available' and failures = 0 and errors is null";
    assert_eq!(number(&rows, waiting).await, jobs.len() as i64 - spent);
    assert!(board.counts().released > 0);
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_jobs_that_waited_do_not_all_start_in_one_moment() {
    let (url, service) = (server::fresh_database().await, Service::gated());
    let board = board_at(&url, with(queue(&service), breaker().ramp(HOUR))).await;
    let client = board.client();
    eventually("it is declared", || async {
        (!client.breakers().await.unwrap().is_empty()).then_some(())
    })
    .await;
    client.breaker("smtp").hold_open("wait").await.unwrap();
    until_obeyed(&board, BreakerState::HeldOpen).await;
    let jobs = enqueue(client, 12).await;
    client.breaker("smtp").close("go on").await.unwrap();
    for ended in 0..4 {
        service.until_called(ended + 1).await;
        others_run(&board).await;
        assert_eq!(
            service.calls(),
            ended + 1,
            "one of four workers runs them at first"
        );
        service.gate.add_permits(1);
    }
    // When the time is over all may run.
    let rows = sql::connect(&url).await;
    let later = "update callboard.breakers set epoch = epoch + 1, changed_at = changed_at - interval '2 hours'";
    rows.execute(later, &[]).await.unwrap();
    service.until_called(4 + 4).await;
    service.gate.add_permits(100);
    until_completed(client, &jobs).await;
    board.shutdown().await.unwrap();
}
