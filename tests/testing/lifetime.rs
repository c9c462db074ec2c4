//! A test's board comes quickly and leaves nothing.

use callboard::testing::{TestBoard, ThrowawayDatabase};
use tokio_postgres::NoTls;

use crate::jobs::{Mail, application};

async fn exists(url: &str) -> bool {
    match tokio_postgres::connect(url, NoTls).await {
        Ok(_) => true,
        Err(error) => {
            let code = error.code().expect("the server answers");
            assert_eq!(code.code(), "3D000", "{error}");
            false
        }
    }
}

#[tokio::test]
async fn a_board_that_has_ended_has_left_no_database() {
    let board = TestBoard::start(application).await;
    let url = board.url().to_owned();
    assert!(exists(&url).await);
    board.end().await.expect("it shuts down");
    assert!(!exists(&url).await);
}

#[tokio::test]
async fn a_test_that_panics_leaves_no_database_and_no_board() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let test = tokio::spawn(async move {
        let board = TestBoard::start(application).await;
        board.client().enqueue(Mail { user: 1 }).await.unwrap();
        let cell = board.supervisor().cell();
        tell.send((board.url().to_owned(), cell)).unwrap();
        panic!("the test fails");
    });
    let (url, root) = told.await.unwrap();
    assert!(test.await.unwrap_err().is_panic());
    root.wait(None).await.expect("the tree has ended");
    assert!(!exists(&url).await);
}

#[tokio::test]
async fn a_database_that_is_kept_stays() {
    let kept = ThrowawayDatabase::create().await.unwrap().keep();
    assert!(exists(&kept).await);
    let url = ThrowawayDatabase::create_at(&kept).await.unwrap().keep();
    assert!(exists(&url).await, "made on a server named by a URL");
    let thrown = ThrowawayDatabase::create_empty().await.unwrap();
    let url = thrown.url().to_owned();
    thrown.discard().await.unwrap();
    assert!(!exists(&url).await);
}

#[tokio::test]
#[should_panic(expected = "this board has no handler for its kind \"mail.send\"")]
async fn waiting_for_a_job_that_nobody_runs_says_so() {
    let mail = callboard::Queue::new("mail");
    let board = TestBoard::start(|board| board.queue(mail)).await;
    let board = board.patience(std::time::Duration::from_secs(1));
    let job = board.client().enqueue(Mail { user: 1 }).await.unwrap();
    board.settled(job).await;
}

#[tokio::test]
#[should_panic(expected = "Queue::workers of \"mail\" is 0; expected 1 to 100000")]
async fn a_board_that_does_not_start_says_why() {
    TestBoard::start(|board| board.queue(callboard::Queue::new("mail").workers(0))).await;
}
