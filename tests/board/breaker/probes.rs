//! Probes: how a breaker that is half open finds out whether it may close.

use super::*;
use crate::support::sql;

#[tokio::test(flavor = "multi_thread")]
async fn half_open_lets_as_many_probes_through_as_it_says_over_all_nodes_and_closes_on_their_success()
 {
    let (url, service) = (server::fresh_database().await, Service::new());
    let quick = breaker().open_for(200 * MS);
    let (board, jobs) = opened(&url, &service, quick.clone()).await;
    let probed = Service::gated();
    // Nobody is called any more by the board that has opened it.
    board.shutdown().await.unwrap();
    let (one, two) = (
        board_at(&url, with(queue(&probed), quick.clone())).await,
        board_at(&url, with(queue(&probed), quick)).await,
    );
    probed.until_called(2).await;
    let half_open = standing(one.client()).await;
    assert_eq!(half_open.state, BreakerState::HalfOpen);
    assert!([one.node(), two.node()].contains(&half_open.prober.unwrap()));
    others_run(&one).await;
    others_run(&two).await;
    assert_eq!(probed.calls(), 2);

    probed.gate.add_permits(1);
    eventually("a probe has succeeded", || async {
        (standing(one.client()).await.succeeded_probes == 1).then_some(())
    })
    .await;
    others_run(&one).await;
    others_run(&two).await;
    assert_eq!(probed.calls(), 2);
    probed.gate.add_permits(100);
    until_completed(one.client(), &jobs).await;
    let closed = standing(one.client()).await;
    assert_eq!(closed.state, BreakerState::Closed);
    assert_eq!(closed.reason.as_deref(), Some("its probes succeeded"));
    one.shutdown().await.unwrap();
    two.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_fails_opens_it_again_for_longer() {
    let (url, service) = (server::fresh_database().await, Service::new());
    let (board, _jobs) = opened(
        &url,
        &service,
        breaker().open_for(50 * MS).longest_open(200 * MS).probes(1),
    )
    .await;
    let calls = service.calls();
    let again = eventually("three probes have failed", || async {
        let breaker = standing(board.client()).await;
        (breaker.state == BreakerState::Open && breaker.openings >= 4).then_some(breaker)
    })
    .await;
    let waits = again.next_probe_at.unwrap() - again.since;
    assert_eq!(waits.num_milliseconds(), 200, "50, 100, 200, and no longer");
    let failed = again.reason.unwrap();
    assert_eq!(failed, "a probe failed; the last: connection refused");
    // Each opening cost the attempt of one probe.
    assert!(service.calls() - calls <= again.openings, "{calls}");
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probes_of_a_node_that_is_gone_go_to_another() {
    let (url, service) = (server::fresh_database().await, Service::new());
    let (board, jobs) = opened(&url, &service, breaker()).await;
    service.set_up();
    let rows = sql::connect(&url).await;
    let taken = "update callboard.breakers set state = 'half_open', epoch = epoch + 1, prober = 17, succeeded = 1, \
                 probing_until = clock_timestamp() + interval '1 second' * $1";
    rows.execute(taken, &[&3600.0]).await.unwrap();
    let calls = service.calls();
    others_run(&board).await;
    assert_eq!(service.calls(), calls);
    rows.execute(taken, &[&0.0]).await.unwrap();
    until_completed(board.client(), &jobs).await;
    board.shutdown().await.unwrap();
}
