//! Folders that are kept, refused, half made or left.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use callboard::store::embedded::Embedded;

use crate::place::{Place, ask, start_in};

#[tokio::test(flavor = "multi_thread")]
async fn kept_folder_keeps_its_data_and_durable_settings() {
    let place = Place::new("kept");
    let server = start_in(&place).await.unwrap();
    assert_eq!(ask(server.url(), "SHOW fsync").await.unwrap(), "on");
    assert_eq!(
        ask(server.url(), "SHOW full_page_writes").await.unwrap(),
        "on"
    );
    ask(server.url(), "CREATE TABLE kept AS SELECT 42 AS n").await;
    server.stop().await.unwrap();
    let began = Instant::now();
    let server = start_in(&place).await.unwrap();
    eprintln!("warm start: {:?}", began.elapsed());
    assert_eq!(ask(server.url(), "SELECT n FROM kept").await.unwrap(), "42");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn second_owner_in_this_process_is_refused() {
    let place = Place::new("second");
    let server = start_in(&place).await.unwrap();
    let error = start_in(&place).await.unwrap_err();
    assert!(error.is_in_use());
    let pid = std::process::id();
    assert_eq!(
        error.to_string(),
        format!(
            "{} is in use by this very process (pid {pid}); stop that one first or give another folder",
            place.0.display()
        )
    );
    assert_eq!(ask(server.url(), "SELECT 1").await.unwrap(), "1");
}

#[tokio::test]
async fn folder_about_to_be_named_is_left_alone_until_it_is_old() {
    let uid = fs::metadata("/proc/self").unwrap().uid();
    let unnamed = std::env::temp_dir().join(format!(
        "callboard-pg-{uid}-1-{:08x}.new",
        std::process::id()
    ));
    fs::create_dir(&unnamed).unwrap();
    Embedded::builder().start().await.unwrap();
    assert!(unnamed.exists());
    let old = std::time::SystemTime::now() - Duration::from_secs(3600);
    fs::File::open(&unnamed).unwrap().set_modified(old).unwrap();
    Embedded::builder().start().await.unwrap();
    assert!(!unnamed.exists());
}

#[tokio::test]
async fn half_made_cluster_is_made_anew() {
    let place = Place::new("half");
    fs::write(place.0.join("owner.lock"), "").unwrap();
    fs::create_dir(place.0.join("data.new")).unwrap();
    fs::write(place.0.join("data.new/PG_VERSION"), "15\n").unwrap();
    let server = start_in(&place).await.unwrap();
    assert_eq!(ask(server.url(), "SELECT 1").await.unwrap(), "1");
    assert!(!place.0.join("data.new").exists());
}

#[tokio::test]
async fn other_version_is_refused() {
    let place = Place::new("version");
    fs::write(place.0.join("owner.lock"), "").unwrap();
    fs::create_dir(place.0.join("data")).unwrap();
    fs::write(place.0.join("data/PG_VERSION"), "12\n").unwrap();
    let error = start_in(&place).await.unwrap_err();
    assert!(error.is_folder_refused());
    let text = error.to_string();
    assert!(
        text.contains(&format!(
            "{}/data holds data of PostgreSQL 12, but",
            place.0.display()
        )),
        "{text}"
    );
    assert!(
        text.contains("CALLBOARD_PG_BIN") && text.contains("pg_upgrade"),
        "{text}"
    );
}

#[tokio::test]
async fn foreign_folders_are_refused_and_left_as_they_are() {
    let place = Place::new("foreign");
    fs::write(place.0.join("thesis.tex"), "precious").unwrap();
    let error = start_in(&place).await.unwrap_err();
    assert!(error.is_folder_refused());
    assert!(
        error.to_string().contains("it holds \"thesis.tex\""),
        "{error}"
    );
    assert_eq!(fs::read_dir(&place.0).unwrap().count(), 1);
    fs::write(place.0.join("PG_VERSION"), "15\n").unwrap();
    let error = start_in(&place).await.unwrap_err();
    assert!(
        error.to_string().contains("the cluster of a PostgreSQL 15"),
        "{error}"
    );
    assert_eq!(fs::read_dir(&place.0).unwrap().count(), 2);
}

#[tokio::test]
async fn abandoned_start_leaves_the_folder_free() {
    let place = Place::new("abandoned");
    let start = start_in(&place);
    assert!(
        tokio::time::timeout(Duration::from_millis(150), start)
            .await
            .is_err()
    );
    let end = Instant::now() + Duration::from_secs(20);
    let server = loop {
        match start_in(&place).await {
            Err(error) if error.is_in_use() => assert!(Instant::now() < end, "{error}"),
            other => break other.unwrap(),
        }
    };
    assert_eq!(ask(server.url(), "SELECT 1").await.unwrap(), "1");
}

#[tokio::test]
async fn failed_start_quotes_the_log_and_leaves_nothing() {
    let place = Place::new("quote");
    let error = Embedded::builder()
        .data_dir(&place.0)
        .setting("work_mem", "lots")
        .start()
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("invalid value for parameter \"work_mem\": \"lots\""),
        "{text}"
    );
    start_in(&place).await.unwrap();
}
