//! Options that cannot work are refused at the start, with option, value and what is expected.

use std::time::Duration;

use callboard::board::Builder;
use callboard::{Board, Client, Database, Queue};

const MS: Duration = Duration::from_millis(1);

/// A database that nobody may try to reach: options are checked before that.
fn nowhere() -> Database {
    Database::from_url("postgres://nobody@127.0.0.1:1/nothing").unwrap()
}

async fn is_refused(builder: Builder, parts: &[&str]) {
    let refused = builder.start().await.unwrap_err();
    assert!(refused.is_config(), "{refused}");
    let text = refused.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[tokio::test]
async fn options_of_a_queue_are_refused_with_value_and_expectation() {
    let queue = || Queue::new("mail");
    let cases: Vec<(Queue, [&str; 3])> = vec![
        (
            queue().workers(0),
            ["Queue::workers of \"mail\"", "is 0", "1 to 100000"],
        ),
        (
            queue().workers(100_001),
            ["Queue::workers", "is 100001", "1 to 100000"],
        ),
        (
            queue().max_demand(0),
            ["Queue::max_demand", "is 0", "1 to 10000"],
        ),
        (
            queue().max_demand(10_001),
            ["Queue::max_demand", "is 10001", "1 to 10000"],
        ),
        (
            queue().look_ahead(10_001),
            ["Queue::look_ahead", "is 10001", "0 to 10000"],
        ),
        (
            queue().poll_every(MS),
            ["Queue::poll_every", "is 1ms", "10ms to a day"],
        ),
        (
            queue().poll_every(Duration::MAX),
            ["Queue::poll_every", "is 1844", "10ms to a day"],
        ),
        (
            queue().cancel_grace(Duration::MAX),
            ["Queue::cancel_grace", "is 1844", "a hundred years"],
        ),
        (
            Queue::new(""),
            ["cannot start a queue", "queue \"\"", "is empty"],
        ),
        (
            Queue::new("a b"),
            ["cannot start a queue", "\"a b\"", "white space"],
        ),
        (
            Queue::new("q".repeat(101)),
            ["queue", "101 bytes", "at most 100"],
        ),
    ];
    for (queue, parts) in cases {
        is_refused(Board::builder(nowhere()).queue(queue), &parts).await;
    }
}

#[tokio::test]
async fn options_of_a_board_are_refused_with_value_and_expectation() {
    let board = || Board::builder(nowhere());
    let second = Duration::from_secs(1);
    let cases: Vec<(Builder, [&str; 3])> = vec![
        (
            board().lease(999 * MS),
            ["Builder::lease", "is 999ms", "1s to a day"],
        ),
        (
            board().lease(Duration::MAX),
            ["Builder::lease", "is 1844", "1s to a day"],
        ),
        (
            board().lease(second),
            ["Builder::lease", "1s with sweep_every 400ms", "three times"],
        ),
        (
            board().sweep_every(49 * MS),
            ["Builder::sweep_every", "is 49ms", "at least 50ms"],
        ),
        (
            board().sweep_every(Duration::MAX),
            ["Builder::lease", "sweep_every 1844", "three times"],
        ),
        (
            board().sample_every(999 * MS),
            ["Builder::sample_every", "is 999ms", "1s to a day"],
        ),
        (
            board().sample_every(Duration::MAX),
            ["Builder::sample_every", "is 1844", "1s to a day"],
        ),
        (
            board().max_deaths(0),
            ["Builder::max_deaths", "is 0", "at least 1"],
        ),
        (
            board().history(Duration::MAX),
            ["Builder::history", "is 1844", "a hundred years"],
        ),
        (
            board().retry_start_for(Duration::MAX),
            ["retry_start_for", "is 1844", "a hundred"],
        ),
        (
            board().shutdown_grace(Duration::MAX),
            ["Builder::shutdown_grace", "is 1844", "a hundred"],
        ),
        (
            board().payload_limit(0),
            ["payload limit", "is 0 bytes", "1 to 16777216"],
        ),
        (
            board().payload_limit(16_777_217),
            ["payload limit", "16777217", "1 to 16777216"],
        ),
    ];
    for (builder, parts) in cases {
        is_refused(builder, &parts).await;
    }
}

#[tokio::test]
async fn options_of_a_database_are_refused_with_value_and_expectation() {
    let long = "x".repeat(64);
    let schemas = [
        "",
        "9lives",
        "Board",
        "a-b",
        "a b",
        "a\"b",
        "pg_board",
        "ü",
        long.as_str(),
    ];
    for schema in schemas {
        let builder = Board::builder(nowhere().schema(schema));
        let shown = format!("is {schema:?}");
        is_refused(builder, &["Database::schema", &shown, "lower-case letters"]).await;
    }
    let cases: [(Database, [&str; 3]); 5] = [
        (
            nowhere().client_connections(0),
            ["client_connections", "is 0", "1 to 10000"],
        ),
        (
            // More than there is memory to keep a list of.
            nowhere().client_connections(usize::MAX),
            ["client_connections", "is 1844", "1 to 10000"],
        ),
        (
            nowhere().connect_timeout(MS),
            ["connect_timeout", "is 1ms", "100ms to a day"],
        ),
        (
            nowhere().statement_timeout(MS),
            ["statement_timeout", "is 1ms", "100ms to a day"],
        ),
        (
            nowhere().statement_timeout(Duration::MAX),
            ["statement_timeout", "1844", "to a day"],
        ),
    ];
    for (database, parts) in cases {
        is_refused(Board::builder(database.clone()), &parts).await;
        let refused = Client::connect(database).await.unwrap_err();
        assert!(refused.is_config(), "{refused}");
    }
    let refused = Client::connect_with_limit(nowhere(), 0).await.unwrap_err();
    assert!(refused.is_config(), "{refused}");
}

#[tokio::test]
async fn a_queue_given_twice_is_refused_with_both_places() {
    let first = line!() + 1;
    let builder = Board::builder(nowhere()).queue(Queue::new("mail"));
    let builder = builder.queue(Queue::new("other")).queue(Queue::new("mail"));
    let places = [first, first + 1].map(|line| format!("options.rs:{line}:"));
    is_refused(
        builder,
        &["\"mail\" is given twice", &places[0], &places[1]],
    )
    .await;
}

#[tokio::test]
async fn a_url_that_cannot_be_read_or_names_no_host_is_refused_without_its_password() {
    for url in [
        "nonsense",
        "postgres://me:secret@host:port/db",
        "mysql://host/db",
        "",
        "postgres:///db",
    ] {
        let refused = Database::from_url(url).unwrap_err();
        assert!(refused.is_config(), "{refused}");
        let text = format!("{refused} {refused:?}");
        assert!(
            text.contains("postgres://user:password@host:port/name"),
            "{text}"
        );
        assert!(!text.contains("secret"), "{text}");
    }
    let database = Database::from_url("postgres://me:secret@host/db").unwrap();
    assert!(!format!("{database:?}").contains("secret"));
}
