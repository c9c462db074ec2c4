//! What assertions about enqueued jobs accept, and what they say when they fail.

use callboard::testing::{TestBoard, Wanted};
use callboard::{assert_enqueued, call, refute_enqueued};
use futures_util::FutureExt;

use crate::jobs::{Mail, Newsletter, application, look};

async fn board() -> TestBoard {
    let board = TestBoard::paused(application).await;
    let client = board.client();
    client.enqueue(Mail { user: 1 }).await.unwrap();
    client.enqueue(Mail { user: 2 }).await.unwrap();
    client.enqueue(call!(look(4)).queue("mail")).await.unwrap();
    board
}

#[tokio::test]
async fn jobs_are_found_by_value_type_closure_and_queue() {
    let board = board().await;
    assert_eq!(assert_enqueued!(board, Mail { user: 2 }).len(), 1);
    assert_enqueued!(board, Mail { user: 2 }, queue = "mail");
    assert_eq!(assert_enqueued!(board, job = Mail).len(), 2);
    assert_enqueued!(board, job = Mail, |mail| mail.user > 1);
    assert_enqueued!(board, job = Mail, |mail| mail.user > 1, queue = "mail");
    assert_enqueued!(board, call!(look(4)));
    assert_eq!(assert_enqueued!(board, queue = "mail").len(), 3);
    let wanted = Wanted::kind(call!(look(0)).kind()).matching(|(times,): &(i32,)| *times == 4);
    assert_eq!(board.enqueued(wanted).await.must_exist().len(), 1);

    refute_enqueued!(board, Mail { user: 3 });
    refute_enqueued!(board, Mail { user: 2 }, queue = "default");
    refute_enqueued!(board, job = Newsletter);
    refute_enqueued!(board, job = Mail, |mail| mail.user > 2);
    refute_enqueued!(board, call!(look(5)));
    refute_enqueued!(board, queue = "default");
}

/// What an assertion panics with.
async fn said(assertion: impl Future<Output = ()>) -> String {
    let caught = std::panic::AssertUnwindSafe(assertion).catch_unwind().await;
    let panic = caught.expect_err("the assertion fails");
    panic.downcast_ref::<String>().expect("it says why").clone()
}

#[tokio::test]
async fn a_failed_assertion_lists_the_near_misses() {
    let board = board().await;
    let text = said(async {
        assert_enqueued!(board, Mail { user: 3 }, queue = "mail");
    })
    .await;
    let expected = [
        r#"expected a job of kind "mail.send" in queue "mail" with the arguments {"user":3}"#,
        r#""mail.send" in queue "mail", available, with the arguments {"user":1}"#,
        r#""mail.send" in queue "mail", available, with the arguments {"user":2}"#,
    ];
    for part in expected {
        assert!(text.contains(part), "{text}");
    }
    let (mail, look) = (
        text.find("mail.send\" in").unwrap(),
        text.find("look").unwrap(),
    );
    assert!(mail < look, "the same kind comes first: {text}");
}

#[tokio::test]
async fn a_failed_refutation_names_the_job() {
    let board = board().await;
    let text = said(async { refute_enqueued!(board, job = Mail, |mail| mail.user == 2) }).await;
    assert!(
        text.starts_with("expected no job of kind \"mail.send\" whose arguments match"),
        "{text}"
    );
    let empty = TestBoard::paused(application).await;
    let text = said(async {
        assert_enqueued!(empty, job = Mail);
    })
    .await;
    assert!(text.ends_with("nothing waits or runs there"), "{text}");
}
