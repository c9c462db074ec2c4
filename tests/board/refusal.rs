//! Calls that cannot be stored are refused before anything is written, with value and expectation.

use std::time::Duration;

use callboard::job::{Call, MAX_KIND_BYTES};
use callboard::{Client, Error, JobState, Queue, call, functions};
use chrono::Utc;

use crate::support::{board, board_at, database_at, server, sql, sql::number, until_state};

async fn swallow(bytes: Vec<u8>) {
    drop(bytes);
}

fn named(kind: impl Into<String>) -> Call {
    Call::named(kind.into(), &())
}

fn expect(refused: &Error, parts: &[&str]) {
    assert!(refused.is_refused_call(), "{refused}");
    let text = refused.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert!(text.len() < 600, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_stored_is_refused_with_its_value_and_what_is_expected() {
    let url = server::fresh_database().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let century = Duration::from_secs(200 * 366 * 24 * 3600);
    let refusals: Vec<(Call, &[&str])> = vec![
        (named("k".repeat(10_000)), &["10000 bytes", "at most 200"]),
        (named(""), &["kind", "is empty"]),
        (named("a\0b"), &["kind", "'\\0'", "not allowed"]),
        (named("a b"), &["kind", "' '", "not allowed"]),
        (named("k").queue(""), &["\"k\"", "queue", "is empty"]),
        (named("k").queue("q\0"), &["queue", "'\\0'", "not allowed"]),
        (
            named("k").queue("q".repeat(101)),
            &["101 bytes", "at most 100"],
        ),
        (
            named("k").max_attempts(0),
            &["max_attempts is 0", "1 to 1000"],
        ),
        (
            named("k").max_attempts(1001),
            &["max_attempts is 1001", "1 to 1000"],
        ),
        (
            named("k").time_limit(Duration::ZERO),
            &["time limit is 0ns", "1ms"],
        ),
        (
            named("k").time_limit(Duration::MAX),
            &["time limit", "a hundred years"],
        ),
        (named("k").run_in(century), &["delay", "a hundred years"]),
        (
            named("k").run_at(Utc::now() + century),
            &["time", "a hundred years"],
        ),
    ];
    for (call, parts) in refusals {
        expect(&client.enqueue(call.clone()).await.unwrap_err(), parts);
        expect(&client.enqueue_many([call]).await.unwrap_err(), parts);
    }
    let rows = sql::connect(&url).await;
    assert_eq!(
        number(&rows, "select count(*) from callboard.jobs").await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_inside_a_transaction_leaves_the_transaction_usable() {
    let url = server::fresh_database().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let mut rows = sql::connect(&url).await;
    let transaction = rows.transaction().await.unwrap();
    let refused = client.enqueue_in(&transaction, named("").queue("q")).await;
    expect(&refused.unwrap_err(), &["kind", "is empty"]);
    let id = client
        .enqueue_in(&transaction, named("fine"))
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    assert!(client.job(id).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_beyond_the_limit_is_refused_and_nothing_is_stuck() {
    let board = board(|b| {
        b.payload_limit(1000)
            .queue(Queue::new("default"))
            .functions(functions![swallow])
    })
    .await;
    let client = board.client();
    let refused = client.enqueue(call!(swallow(vec![0; 2000]))).await;
    expect(
        &refused.unwrap_err(),
        &["swallow", "2003 bytes", "limit is 1000", "payload limit"],
    );
    // Exactly at the limit: a format byte and two bytes of length come along.
    let fits = client.enqueue(call!(swallow(vec![0; 997]))).await.unwrap();
    until_state(client, fits, JobState::Completed).await;
    let refused = client.enqueue(call!(swallow(vec![0; 998]))).await;
    expect(&refused.unwrap_err(), &["1001 bytes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_is_a_mebibyte_unless_configured() {
    let url = server::fresh_database().await;
    let _board = board_at(&url, |b| {
        b.queue(Queue::new("default"))
            .functions(functions![swallow])
    })
    .await;
    let usual = Client::connect(database_at(&url)).await.unwrap();
    let large = Client::connect_with_limit(database_at(&url), 16 * 1024 * 1024).await;
    let call = || call!(swallow(vec![7; 2_100_000]));
    let refused = usual.enqueue(call()).await.unwrap_err();
    expect(&refused, &["2100005 bytes", "limit is 1048576"]);
    let id = large.unwrap().enqueue(call()).await.unwrap();
    until_state(&usual, id, JobState::Completed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_names_are_accepted() {
    async fn nothing() {}
    let longest: &'static str = "k".repeat(MAX_KIND_BYTES).leak();
    let handler = callboard::function!(nothing).alias(longest);
    let queue = "ü".repeat(50);
    let board = board(|b| b.queue(Queue::new(queue.clone())).handler(handler)).await;
    let id = board
        .client()
        .enqueue(named(longest).queue(queue))
        .await
        .unwrap();
    until_state(board.client(), id, JobState::Completed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_that_could_not_be_read_back_are_refused() {
    let url = server::fresh_database().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let call = Call::named("k", &(serde_json::json!({ "a": 1 }),));
    let refused = client.enqueue(call).await.unwrap_err();
    expect(
        &refused,
        &["\"k\"", "Value", "wrap such a value as a String"],
    );
}
