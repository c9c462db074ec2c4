//! The proxy of the kit does to connections what it is told to.

use std::time::{Duration, Instant};

use callboard::testing::Proxy;
use tokio_postgres::{Client, NoTls};

use crate::support::{eventually, server, sql, sql::number};

/// A database with a table `noted`, a proxy in front of it, and a connection beside the proxy.
async fn stage() -> (Proxy, Client) {
    let url = server::empty_database().await;
    server::sql(&url, "create table noted (n int)").await;
    (Proxy::start(&url).unwrap(), sql::connect(&url).await)
}

async fn note(client: &Client, n: i32) -> Result<u64, tokio_postgres::Error> {
    let insert = "insert into noted values ($1)";
    client.execute(insert, &[&n]).await
}

async fn noted(beside: &Client) -> i64 {
    number(beside, "select count(*) from noted").await
}

/// How many sessions there are beside the one that asks.
async fn sessions(beside: &Client) -> i64 {
    let others = "select count(*) from pg_stat_activity \
                  where datname = current_database() and pid <> pg_backend_pid()";
    number(beside, others).await
}

async fn until_closed(client: &Client) {
    eventually("the client learns of the reset", || async {
        client.is_closed().then_some(())
    })
    .await;
}

#[tokio::test]
async fn connections_that_are_cut_are_reset_and_new_ones_are_carried() {
    let (proxy, beside) = stage().await;
    let clients = [
        sql::connect(proxy.url()).await,
        sql::connect(proxy.url()).await,
    ];
    note(&clients[0], 1).await.unwrap();
    assert_eq!((proxy.connections(), sessions(&beside).await), (2, 2));
    proxy.cut();
    assert_eq!((proxy.connections(), proxy.cut_connections()), (0, 2));
    for client in &clients {
        until_closed(client).await;
    }
    eventually("the server learns of the reset", || async {
        (sessions(&beside).await == 0).then_some(())
    })
    .await;
    note(&sql::connect(proxy.url()).await, 2).await.unwrap();
    assert_eq!(noted(&beside).await, 2);
}

#[tokio::test]
async fn connections_are_refused_until_they_are_accepted_again() {
    let (proxy, _beside) = stage().await;
    let present = sql::connect(proxy.url()).await;
    proxy.refuse();
    assert!(tokio_postgres::connect(proxy.url(), NoTls).await.is_err());
    note(&present, 1).await.unwrap();
    proxy.accept();
    note(&sql::connect(proxy.url()).await, 2).await.unwrap();
    assert_eq!(proxy.refused_connections(), 1);
}

#[tokio::test]
async fn frozen_connections_are_half_open_and_stay_silent_until_they_are_cut() {
    let (proxy, beside) = stage().await;
    let (frozen, closing) = (
        sql::connect(proxy.url()).await,
        sql::connect(proxy.url()).await,
    );
    proxy.freeze();
    let unheard = tokio::spawn(async move { note(&frozen, 1).await });
    let unanswered = tokio::spawn({
        let url = proxy.url().to_owned();
        async move { tokio_postgres::connect(&url, NoTls).await.map(drop) }
    });
    drop(closing);
    eventually("the third connection is made", || async {
        (proxy.connections() == 3).then_some(())
    })
    .await;
    proxy.thaw();
    note(&sql::connect(proxy.url()).await, 2).await.unwrap();
    assert_eq!(noted(&beside).await, 1, "what vanished is gone");
    assert!(!unheard.is_finished() && !unanswered.is_finished());
    let (open, held) = (proxy.connections(), sessions(&beside).await);
    assert!(
        open >= 3 && held >= 2,
        "{open} connections, {held} sessions"
    );
    proxy.cut();
    assert!(unheard.await.unwrap().is_err());
    assert!(unanswered.await.unwrap().is_err());
    eventually("the server learns of the reset", || async {
        (sessions(&beside).await == 0).then_some(())
    })
    .await;
    assert_eq!(noted(&beside).await, 1);
}

#[tokio::test]
async fn a_statement_whose_answer_is_lost_has_run_and_its_connection_is_reset() {
    let (proxy, beside) = stage().await;
    let client = sql::connect(proxy.url()).await;
    // Prepared before anybody wants to lose anything.
    let insert = client.prepare("insert into noted values ($1)").await;
    let insert = insert.unwrap();
    proxy.lose_answers_to("INTO NOTED", 1);
    assert_eq!(number(&client, "select 7::bigint").await, 7);
    client.execute(&insert, &[&1]).await.unwrap_err();
    until_closed(&client).await;
    assert_eq!((noted(&beside).await, proxy.lost_answers()), (1, 1));
    note(&sql::connect(proxy.url()).await, 2).await.unwrap();
    assert_eq!((noted(&beside).await, proxy.lost_answers()), (2, 1));
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_has_committed() {
    let (proxy, beside) = stage().await;
    let mut client = sql::connect(proxy.url()).await;
    proxy.lose_answers_to("commit", 1);
    let transaction = client.transaction().await.unwrap();
    let insert = "insert into noted values (1)";
    transaction.batch_execute(insert).await.unwrap();
    transaction.commit().await.unwrap_err();
    assert_eq!((noted(&beside).await, proxy.lost_answers()), (1, 1));
}

#[tokio::test]
async fn statements_are_delayed() {
    let (proxy, _beside) = stage().await;
    let client = sql::connect(proxy.url()).await;
    let delay = Duration::from_millis(120);
    proxy.delay(delay);
    let asked_at = Instant::now();
    client.batch_execute("select 1").await.unwrap();
    assert!(asked_at.elapsed() >= delay);
}
