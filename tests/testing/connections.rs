//! Connections that are cut, refused and slow.

use std::time::Duration;

use callboard::JobState;
use callboard::testing::{Fault, TestBoard};

use crate::jobs::{Mail, application};

#[tokio::test]
async fn a_board_whose_connections_are_cut_goes_on() {
    let board = TestBoard::start(application).await;
    for user in 1..=5 {
        board.inject(&Fault::CutConnections).await.unwrap();
        let job = board
            .until("a mail is enqueued", || async {
                let enqueued = board.client().enqueue(Mail { user }).await;
                enqueued.map_err(|error| error.to_string())
            })
            .await;
        assert_eq!(board.settled(job).await.state, JobState::Completed);
    }
    board.healthy(|health| health.is_working()).await;
    assert!(board.report().crashes.is_empty(), "{}", board.report());
}

#[tokio::test]
async fn a_board_that_is_refused_for_a_while_is_degraded_and_recovers() {
    let board = TestBoard::start(application).await;
    let refusing = Fault::RefuseConnections(Duration::from_secs(2));
    let watching = board.healthy(|health| !health.is_working());
    let (refused, _degraded) = tokio::join!(board.inject(&refusing), watching);
    refused.unwrap();
    let job = board
        .until("a mail is enqueued", || async {
            let enqueued = board.client().enqueue(Mail { user: 1 }).await;
            enqueued.map_err(|error| error.to_string())
        })
        .await;
    board.settled(job).await;
    board.healthy(|health| health.is_working()).await;
}

#[tokio::test]
async fn delayed_statements_slow_a_board_down_and_nothing_more() {
    let board = TestBoard::start(application).await;
    let delay = Fault::DelayStatements(Duration::from_millis(50), Duration::from_secs(2));
    let work = async {
        let began = std::time::Instant::now();
        let job = board.client().enqueue(Mail { user: 1 }).await.unwrap();
        let enqueued_after = began.elapsed();
        assert_eq!(board.settled(job).await.state, JobState::Completed);
        enqueued_after
    };
    let (injected, enqueued_after) = tokio::join!(board.inject(&delay), work);
    injected.unwrap();
    assert!(
        enqueued_after >= Duration::from_millis(50),
        "{enqueued_after:?}"
    );
}
