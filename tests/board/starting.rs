//! Starts that cannot succeed say why and what to do; some wait until they can.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use callboard::store::embedded::Embedded;
use callboard::{Board, Client, Database, Error};

use crate::support::{database_at, server, sql, sql::number};

const TIMEOUT: Duration = Duration::from_secs(3);

/// The error of a board's start and of a client's, which must come in time.
async fn refused(database: Database) -> [Error; 2] {
    let database = database.connect_timeout(TIMEOUT);
    let began_at = Instant::now();
    let board = Board::builder(database.clone()).without_migrations();
    let of_board = board.start().await.unwrap_err();
    let of_client = Client::connect(database).await.unwrap_err();
    assert!(began_at.elapsed() < TIMEOUT * 4, "{:?}", began_at.elapsed());
    [of_board, of_client]
}

fn says(error: &Error, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "no {word:?} in {text:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_down_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let database = database_at(&format!("postgres://me:secret@127.0.0.1:{port}/app"));
    for error in refused(database).await {
        assert!(error.is_unreachable(), "{error:?}");
        says(&error, &["127.0.0.1", &port.to_string(), "refused"]);
        assert!(!format!("{error:?}").contains("secret"));
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let database = database_at(&format!("postgres://me@127.0.0.1:{port}/app"));
    for error in refused(database).await {
        assert!(error.is_unreachable(), "{error:?}");
        says(&error, &["127.0.0.1", &port.to_string(), "3s"]);
    }
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_named() {
    let url = server::empty_database().await;
    let (server, _) = url.rsplit_once('/').unwrap();
    for error in refused(database_at(&format!("{server}/nowhere"))).await {
        assert!(error.is_unreachable(), "{error:?}");
        says(&error, &["database \"nowhere\" does not exist"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_may_wait_waits_for_the_server() {
    let folder = format!("callboard-starting-{}", std::process::id());
    let folder = std::env::temp_dir().join(folder);
    let server = Embedded::builder().data_dir(&folder).start().await.unwrap();
    let (url, port) = (server.url().to_owned(), server.port());
    server.stop().await.unwrap();
    let in_its_place = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .unwrap();
    let board = Board::builder(database_at(&url)).retry_start_for(Duration::from_secs(60));
    let starting = tokio::spawn(board.start());
    // It has tried, and must try again.
    let (tried, _) = in_its_place.accept().await.unwrap();
    drop((tried, in_its_place));
    let server = Embedded::builder()
        .data_dir(&folder)
        .port(port)
        .start()
        .await
        .unwrap();
    assert_eq!(server.port(), port, "somebody took the port meanwhile");
    let board = starting.await.unwrap().unwrap();
    board.shutdown().await.unwrap();
    server.stop().await.unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_database_without_the_schema_is_refused_with_the_remedy() {
    let url = server::empty_database().await;
    for error in refused(database_at(&url)).await {
        assert!(error.is_schema(), "{error:?}");
        says(
            &error,
            &["\"callboard\"", "not migrated", "Database::migrate"],
        );
    }
    let rows = sql::connect(&url).await;
    let made = "select count(*) from pg_namespace where nspname = 'callboard'";
    assert_eq!(number(&rows, made).await, 0, "nothing was made");
}

#[tokio::test]
async fn a_schema_newer_than_the_crate_is_refused_with_the_remedy() {
    let url = server::fresh_database().await;
    let newer =
        "insert into callboard.__diesel_schema_migrations (version) values ('29990101000000')";
    server::sql(&url, newer).await;
    let migrating = Board::builder(database_at(&url)).start().await.unwrap_err();
    let [of_board, of_client] = refused(database_at(&url)).await;
    for error in [migrating, of_board, of_client] {
        assert!(error.is_schema(), "{error:?}");
        says(
            &error,
            &[
                "29990101000000",
                env!("CARGO_PKG_VERSION"),
                "deploy a build",
            ],
        );
    }
}

#[tokio::test]
async fn the_migrations_of_the_application_are_left_alone() {
    let url = server::empty_database().await;
    let of_application = "create table __diesel_schema_migrations (version varchar(50) primary key, \
                              run_on timestamp not null default '2001-02-03'); \
                          insert into __diesel_schema_migrations values ('20010203000000')";
    server::sql(&url, of_application).await;
    database_at(&url).migrate().await.unwrap();
    database_at(&url).migrate().await.unwrap();
    let rows = sql::connect(&url).await;
    let found = rows.query(
        "select version, run_on::text from public.__diesel_schema_migrations",
        &[],
    );
    let found = found.await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].get::<_, &str>(0), "20010203000000");
    assert_eq!(found[0].get::<_, &str>(1), "2001-02-03 00:00:00");
    let in_public = "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace \
                     where n.nspname = 'public' and c.relkind in ('r', 'p')";
    assert_eq!(
        number(&rows, in_public).await,
        1,
        "the board makes no table there"
    );
    let board = Board::builder(database_at(&url)).without_migrations();
    board.start().await.unwrap().shutdown().await.unwrap();
}
