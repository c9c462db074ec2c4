//! What a breaker is told.

use callboard::Call;

use super::*;
use crate::support::database_at;

#[tokio::test]
async fn options_that_cannot_work_are_refused_at_the_start() {
    let nowhere = || database_at("postgres://nobody@127.0.0.1:1/nothing");
    let cases: Vec<(Breaker, &str)> = vec![
        (
            breaker().failure_rate(0.0),
            "failure_rate 0; expected above 0, at most 1",
        ),
        (
            breaker().failure_rate(1.5),
            "failure_rate 1.5; expected above 0",
        ),
        (
            breaker().failure_rate(f64::NAN),
            "failure_rate NaN; expected above 0",
        ),
        (
            breaker().slow_calls(Duration::ZERO, 0.5),
            "slow_calls (0ns, 0.5); expected a time above zero",
        ),
        (
            breaker().slow_calls(HOUR, 0.0),
            "slow_calls (3600s, 0); expected a time above zero",
        ),
        (
            breaker().minimum_calls(0),
            "minimum_calls 0; expected 1 to 100000",
        ),
        (
            breaker().over_calls(3),
            "over_calls 3; expected minimum_calls (4) to 100000",
        ),
        (
            breaker().over_calls(100_001),
            "over_calls 100001; expected minimum_calls",
        ),
        (
            breaker().over_time(MS),
            "over_time 1ms; expected 100ms to a day",
        ),
        (breaker().over_time(Duration::MAX), "over_time 1844"),
        (
            breaker().open_for(MS),
            "open_for 1ms; expected 10ms to a hundred years",
        ),
        (
            breaker().longest_open(MS),
            "longest_open 1ms; expected open_for (3600s) to",
        ),
        (breaker().probes(0), "probes 0; expected 1 to 1000"),
        (breaker().probes(1001), "probes 1001; expected 1 to 1000"),
        (
            breaker().ramp(25 * HOUR),
            "ramp 90000s; expected at most a day",
        ),
        (
            Breaker::named("with space"),
            "the breaker \"with space\" contains ' '",
        ),
        (Breaker::named(""), "the breaker \"\" is empty"),
    ];
    for (breaker, expected) in cases {
        let board = Board::builder(nowhere()).handler(function!(send).breaker(breaker));
        let refused = board.start().await.unwrap_err();
        assert!(refused.is_config(), "{refused}");
        assert!(
            refused.to_string().contains(expected),
            "{expected:?} is not in: {refused}"
        );
    }
    let board = Board::builder(nowhere())
        .handler(function!(send).breaker(breaker()))
        .handler(function!(receive).breaker(breaker().probes(9)));
    let refused = board.start().await.unwrap_err();
    assert!(refused.is_config(), "{refused}");
    let text = refused.to_string();
    assert!(
        text.contains("the breaker \"smtp\" has different options") && text.contains("receive"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_without_a_name_is_of_its_kind_alone() {
    let (url, service) = (server::fresh_database().await, Service::down());
    let alone = Breaker::new()
        .minimum_calls(4)
        .over_time(HOUR)
        .open_for(HOUR)
        .longest_open(HOUR);
    let board = board_at(&url, |board| {
        let send = function!(send)
            .breaker(alone.clone())
            .backoff(Backoff::constant(10 * MS));
        let receive = function!(receive)
            .breaker(alone)
            .backoff(Backoff::constant(HOUR));
        board.queue(queue(&service)).handler(send).handler(receive)
    })
    .await;
    let client = board.client();
    let kind = |call: Call| call.kind().to_owned();
    enqueue(client, 4).await;
    let open = until(client, BreakerState::Open).await;
    assert_eq!(
        (&open.name, &open.kinds),
        (&kind(call!(send())), &vec![kind(call!(send()))])
    );
    until_confirmed(&board).await;
    let calls = service.calls();
    client.enqueue(call!(receive())).await.unwrap();
    service.until_called(calls + 1).await;
    let other = client
        .breaker_of(&kind(call!(receive())))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(other.state, BreakerState::Closed);
    board.shutdown().await.unwrap();
}
