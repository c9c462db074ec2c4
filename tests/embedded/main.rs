//! The embedded server through its front door, on the PostgreSQL of this machine.

#![allow(unreachable_pub, reason = "everything in a test binary is its own")]

mod folders;
mod killed_owners;
mod owner;
mod place;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use callboard::store::embedded::{Embedded, EmbeddedError};

use place::{ask, is_running};

#[tokio::test]
async fn temporary_server_answers_and_is_gone_when_dropped() {
    let began = Instant::now();
    let server = Embedded::builder()
        .setting("work_mem", "7MB")
        .start()
        .await
        .unwrap();
    eprintln!("cold start: {:?}", began.elapsed());
    let (folder, pid) = (server.folder().to_owned(), server.pid());
    assert_eq!(ask(server.url(), "SELECT 1").await.unwrap(), "1");
    assert_eq!(ask(server.url(), "SHOW fsync").await.unwrap(), "off");
    assert_eq!(
        ask(server.url(), "SHOW max_connections").await.unwrap(),
        "200"
    );
    assert_eq!(ask(server.url(), "SHOW work_mem").await.unwrap(), "7MB");
    assert_eq!(
        ask(server.url(), "SHOW server_encoding").await.unwrap(),
        "UTF8"
    );
    ask(server.url(), "CREATE DATABASE \"a b\"").await;
    assert_eq!(
        ask(&server.url_for("a b"), "SELECT current_database()")
            .await
            .unwrap(),
        "a b"
    );
    let began = Instant::now();
    drop(server);
    eprintln!("drop: {:?}", began.elapsed());
    assert!(!is_running(pid));
    assert!(!folder.exists());
}

#[tokio::test]
async fn stop_succeeds_with_clients_still_connected() {
    let server = Embedded::builder().start().await.unwrap();
    let (_client, connection) = tokio_postgres::connect(server.url(), tokio_postgres::NoTls)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let began = Instant::now();
    server.stop().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(connection.await.unwrap().is_err());
}

#[tokio::test]
async fn taken_port_is_replaced_by_a_free_one() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let server = Embedded::builder().port(port).start().await.unwrap();
    assert_ne!(server.port(), port);
    assert_eq!(ask(server.url(), "SELECT 1").await.unwrap(), "1");
    drop(taken);
}

#[tokio::test]
async fn preferred_port_is_used_when_free() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let server = Embedded::builder().port(port).start().await.unwrap();
    assert_eq!(server.port(), port);
}

#[tokio::test]
async fn password_is_needed_and_not_shown() {
    let server = Embedded::builder().start().await.unwrap();
    let password = server.url().split([':', '@']).nth(2).unwrap().to_owned();
    assert_eq!(password.len(), 32);
    assert!(!format!("{server:?} {server:#?}").contains(&password));
    let other = server.url().replace(&password, "wrong");
    let error = tokio_postgres::connect(&other, tokio_postgres::NoTls)
        .await
        .err()
        .unwrap();
    assert_eq!(
        error.code(),
        Some(&tokio_postgres::error::SqlState::INVALID_PASSWORD)
    );
    assert_eq!(
        fs::metadata(server.folder().join("password"))
            .unwrap()
            .mode()
            & 0o777,
        0o600
    );
    assert_eq!(
        fs::metadata(server.folder().join("data")).unwrap().mode() & 0o777,
        0o700
    );
    assert_eq!(
        fs::metadata(server.folder().join("server.log"))
            .unwrap()
            .mode()
            & 0o777,
        0o600
    );
}

#[tokio::test]
async fn options_out_of_range_are_refused() {
    let short = Embedded::builder()
        .start_timeout(Duration::from_millis(1))
        .start()
        .await
        .unwrap_err();
    assert!(short.is_config());
    assert_eq!(
        short.to_string(),
        "embedded server option `start_timeout` must be from 1 s to 24 h, got \"1ms\""
    );
    assert!(
        Embedded::builder()
            .setting("port", "1")
            .start()
            .await
            .unwrap_err()
            .is_config()
    );
}

#[tokio::test]
async fn named_folder_without_binaries_is_refused() {
    let error = Embedded::builder()
        .bin_dir("/nowhere")
        .start()
        .await
        .unwrap_err();
    assert!(error.is_no_binaries());
    assert!(
        error
            .to_string()
            .contains("`bin_dir` /nowhere: no `initdb`"),
        "{error}"
    );
}

#[tokio::test]
async fn server_is_in_a_process_group_of_its_own() {
    let server = Embedded::builder().start().await.unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    let group = stat
        .rsplit(") ")
        .next()
        .unwrap()
        .split(' ')
        .nth(2)
        .unwrap()
        .to_owned();
    assert_eq!(group, server.pid().to_string());
}

#[test]
fn server_can_be_shared_between_threads() {
    fn must_be_shareable<T: Send + Sync + 'static>() {}
    must_be_shareable::<Embedded>();
    must_be_shareable::<EmbeddedError>();
}

#[tokio::test]
async fn many_start_at_once() {
    let starts: Vec<_> = (0..3)
        .map(|_| tokio::spawn(Embedded::builder().start()))
        .collect();
    for start in starts {
        let server = start.await.unwrap().unwrap();
        assert_eq!(ask(server.url(), "SELECT 1").await.unwrap(), "1");
    }
}
