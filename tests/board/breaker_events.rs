//! What happens to breakers is said once, and the log, the metrics and subscribers hear it.

use std::time::Duration;

use callboard::board::Builder;
use callboard::job::{Backoff, BreakerState, OpenReason};
use callboard::supervision::Subscription;
use callboard::{Board, BoxError, Breaker, Event, Queue, call, function};

use crate::metrics::{heard, until};
use crate::support::{board, board_at, server};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(60 * 60);

async fn refused() -> Result<(), BoxError> {
    Err("connection refused".into())
}

/// Opens after four failures.
fn breaker(name: &'static str) -> Breaker {
    Breaker::named(name)
        .minimum_calls(4)
        .over_calls(10)
        .open_for(HOUR)
        .longest_open(HOUR)
        .probes(1)
        .ramp(Duration::ZERO)
}

fn with(breaker: Breaker) -> impl FnOnce(Builder) -> Builder {
    let refused = function!(refused).backoff(Backoff::constant(10 * MS));
    move |board| {
        board
            .queue(Queue::new("default").workers(2).poll_every(100 * MS))
            .handler(refused.breaker(breaker))
    }
}

/// Its calls fail until its breaker opens.
async fn fail(board: &Board) {
    let calls = (0..8).map(|_| call!(refused()).max_attempts(1000));
    board.client().enqueue_many(calls).await.unwrap();
}

/// What is said of breakers, until so much was said.
async fn said(events: &mut Subscription<Event>, times: usize) -> Vec<String> {
    let mut said = Vec::new();
    let hearing = async {
        while said.len() < times {
            match events.next().await.unwrap().expect("nothing was missed") {
                Event::BreakerOpened { breaker, reason } => {
                    said.push(format!("{breaker} opened for {reason}"));
                }
                Event::BreakerChanged(info) => {
                    said.push(format!("{} is {}", info.name, info.state))
                }
                _ => {}
            }
        }
    };
    let heard = tokio::time::timeout(Duration::from_secs(20), hearing).await;
    assert!(heard.is_ok(), "only {said:?}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn each_opening_is_said_with_its_reason_and_each_change_once() {
    let board = board(with(breaker("told").open_for(50 * MS))).await;
    let mut events = board.events();
    fail(&board).await;
    let expected = [
        "told opened for failures",
        "told is open",
        "told is half_open",
        "told opened for failed_probe",
        "told is open",
    ];
    assert_eq!(said(&mut events, expected.len()).await, expected);
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_says_how_a_breaker_stands_and_only_who_opened_it_says_that() {
    let url = server::fresh_database().await;
    let one = board_at(&url, with(breaker("shared"))).await;
    // It serves what has no jobs, so it finds nothing itself.
    let idle = |board: Builder| with(breaker("shared"))(board).queue(Queue::new("idle"));
    let two = board_at(&url, idle).await;
    let queue = two.queue("default");
    queue.pause().await.unwrap();
    let (mut first, mut second) = (one.events(), two.events());
    fail(&one).await;
    let opened = ["shared opened for failures", "shared is open"];
    assert_eq!(said(&mut first, 2).await, opened);
    assert_eq!(said(&mut second, 1).await, opened[1..]);
    let smtp = two.client().breaker("shared");
    smtp.hold_open("maintenance").await.unwrap();
    assert_eq!(said(&mut first, 1).await, ["shared is held_open"]);
    let held = ["shared opened for by_hand", "shared is held_open"];
    assert_eq!(said(&mut second, 2).await, held);
    let smtp = two.client().breaker("shared");
    smtp.hold_closed("it is over").await.unwrap();
    assert_eq!(said(&mut first, 1).await, ["shared is held_closed"]);
    assert_eq!(said(&mut second, 1).await, ["shared is held_closed"]);
    one.shutdown().await.unwrap();
    two.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_breaker_stands_and_why_it_opened_are_metrics() {
    heard();
    let configure = with(breaker("measured"));
    let board = board(|board| configure(board).metrics().sample_every(HOUR)).await;
    let state = |state: BreakerState| {
        format!("callboard_breaker_state{{breaker=\"measured\",state=\"{state}\"}}")
    };
    let openings = |reason: OpenReason| {
        format!("callboard_breaker_openings_total{{breaker=\"measured\",reason=\"{reason}\"}}")
    };
    fail(&board).await;
    until(&state(BreakerState::Open), 1.0).await;
    until(&state(BreakerState::Closed), 0.0).await;
    until(&openings(OpenReason::Failures), 1.0).await;
    until(&openings(OpenReason::ByHand), 0.0).await;
    let smtp = board.client().breaker("measured");
    smtp.open(HOUR, "the provider says so").await.unwrap();
    until(&openings(OpenReason::ByHand), 1.0).await;
    let smtp = board.client().breaker("measured");
    smtp.hold_closed("it is back").await.unwrap();
    until(&state(BreakerState::HeldClosed), 1.0).await;
    until(&state(BreakerState::Open), 0.0).await;
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_tells_how_breakers_stand_that_have_not_changed() {
    let configure = with(breaker("sampled"));
    let board = board(|board| configure(board).sample_every(Duration::from_secs(1))).await;
    let mut events = board.events();
    let standing = async {
        loop {
            if let Ok(Event::Sampled(sample)) = events.next().await.unwrap()
                && let Some(state) = sample.breakers.get("sampled")
            {
                return *state;
            }
        }
    };
    let standing = tokio::time::timeout(Duration::from_secs(20), standing).await;
    assert_eq!(standing, Ok(BreakerState::Closed));
    board.shutdown().await.unwrap();
}
