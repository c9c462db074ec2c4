//! Owners that end by SIGKILL, and what the next start makes of what they leave.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use callboard::store::embedded::Embedded;

use crate::owner::Owner;
use crate::place::{Place, ask, is_running, start_in};

#[tokio::test]
async fn second_owner_in_another_process_is_refused_and_takes_over_once_the_first_is_killed() {
    let place = Place::new("takeover");
    let mut owner = Owner::start(Some(&place.0));
    ask(
        &owner.url,
        "CREATE TABLE kept AS SELECT generate_series(1, 10000) AS n",
    )
    .await;
    let error = start_in(&place).await.unwrap_err();
    assert!(error.is_in_use());
    assert!(
        error
            .to_string()
            .contains(&format!("the process with pid {}", owner.process.id())),
        "{error}"
    );
    owner.kill();
    assert!(
        is_running(owner.server),
        "the orphan is what the test is about"
    );
    let began = Instant::now();
    let server = start_in(&place).await.unwrap();
    eprintln!("takeover: {:?}", began.elapsed());
    assert!(!is_running(owner.server));
    assert_eq!(
        ask(server.url(), "SELECT count(*) FROM kept")
            .await
            .unwrap(),
        "10000"
    );
}

#[tokio::test]
async fn orphan_killed_along_with_its_owner_recovers() {
    let place = Place::new("recover");
    let mut owner = Owner::start(Some(&place.0));
    ask(
        &owner.url,
        "CREATE TABLE kept AS SELECT generate_series(1, 10000) AS n",
    )
    .await;
    owner.kill();
    Command::new("kill")
        .args(["-9", &owner.server.to_string()])
        .status()
        .unwrap();
    let server = start_in(&place).await.unwrap();
    assert_eq!(
        ask(server.url(), "SELECT count(*) FROM kept")
            .await
            .unwrap(),
        "10000"
    );
}

/// Waits until nothing is left of a killed owner's server.
async fn until_gone(owner: &Owner) {
    let end = Instant::now() + Duration::from_secs(20);
    while is_running(owner.server) || owner.folder.exists() {
        assert!(
            Instant::now() < end,
            "{} is still there",
            owner.folder.display()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn temporary_server_of_a_killed_owner_ends_by_itself_and_its_folder_is_removed() {
    let mut owner = Owner::start(None);
    owner.kill();
    until_gone(&owner).await;
}

#[tokio::test]
async fn temporary_server_whose_guard_was_killed_too_is_removed_by_the_next_start() {
    let mut owner = Owner::start(None);
    let alive = Embedded::builder().start().await.unwrap();
    assert!(
        owner.folder.exists() && is_running(owner.server),
        "a living owner's folder is left alone"
    );
    let guard = format!("callboard-guard {} ", owner.server);
    let killed = Command::new("pkill").args(["-KILL", "-f", &guard]).status();
    assert!(killed.unwrap().success(), "the server has a guard");
    owner.kill();
    assert!(is_running(owner.server), "nobody has ended it");
    let server = Embedded::builder().start().await.unwrap();
    until_gone(&owner).await;
    assert_eq!(ask(alive.url(), "SELECT 1").await.unwrap(), "1");
    assert_eq!(ask(server.url(), "SELECT 1").await.unwrap(), "1");
}

#[tokio::test]
async fn owner_killed_while_initialising_leaves_a_folder_that_starts() {
    let place = Place::new("initialising");
    let mut process = Owner::spawn(Path::new("/nowhere/report"), &place.0);
    let end = Instant::now() + Duration::from_secs(60);
    while !place.0.join("data.new/PG_VERSION").exists() {
        assert!(Instant::now() < end, "initdb did not begin within 60 s");
        std::thread::sleep(Duration::from_millis(1));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(
        !place.0.join("data").exists(),
        "initdb is what was interrupted"
    );
    let server = start_in(&place).await.unwrap();
    assert_eq!(ask(server.url(), "SELECT 1").await.unwrap(), "1");
}
