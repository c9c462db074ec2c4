//! Whatever texts a handler comes up with, its attempt is answered.

use callboard::job::{MAX_OUTPUT_BYTES, MAX_TEXT_BYTES};
use callboard::{Board, BoxError, Job, JobState, Outcome, Queue, call, functions};
use serde_json::{Value, json};

use crate::support::script::{Script, Step};
use crate::support::{board, until_state};

/// The error that a job of this one step leaves behind, and that the worker goes on after it.
async fn message_of(board: &Board, step: Step) -> String {
    let client = board.client();
    let call = Script(vec![step]).call().max_attempts(1);
    let id = client.enqueue(call).await.unwrap();
    let job = until_state(client, id, JobState::Dead).await;
    let next = client.enqueue(Script(vec![Step::Complete])).await.unwrap();
    until_state(client, next, JobState::Completed).await;
    job.errors[0]["message"].as_str().unwrap().to_owned()
}

async fn one_worker() -> Board {
    board(|b| b.queue(Queue::new("default").workers(1)).job::<Script>()).await
}

async fn huge_error() -> Result<(), String> {
    Err("é".repeat(5_000_000))
}

async fn huge_panic() {
    panic!("{}", "é".repeat(5_000_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_texts_are_cut_with_a_mark() {
    let board = board(|b| {
        b.queue(Queue::new("default").workers(1))
            .functions(functions![huge_error, huge_panic])
    })
    .await;
    for call in [call!(huge_error()), call!(huge_panic())] {
        let id = board.client().enqueue(call.max_attempts(1)).await.unwrap();
        let job = until_state(board.client(), id, JobState::Dead).await;
        let message = job.errors[0]["message"].as_str().unwrap();
        assert!(message.len() <= MAX_TEXT_BYTES && message.len() > MAX_TEXT_BYTES - 100);
        assert!(
            message.contains("ééé… [cut, 1000"),
            "{}",
            &message[message.len() - 60..]
        );
        assert!(message.ends_with(" bytes in all]"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nul_in_an_error_or_a_panic_or_a_reason_is_replaced() {
    let board = one_worker().await;
    let text = || "be\0fore".to_owned();
    assert_eq!(
        message_of(&board, Step::Fail(text())).await,
        "be\u{fffd}fore"
    );
    assert_eq!(
        message_of(&board, Step::Bury(text())).await,
        "be\u{fffd}fore"
    );
    let message = message_of(&board, Step::Panic(text())).await;
    assert!(message.ends_with(": be\u{fffd}fore"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_beyond_the_limits_is_not_kept_and_its_job_is_completed() {
    async fn deep() -> Outcome {
        let levels = (0..20_000).fold(json!(1), |inner, _| Value::Array(vec![inner]));
        Outcome::DoneWith(levels)
    }
    async fn large() -> Result<Outcome, BoxError> {
        Outcome::done_with(&"x".repeat(MAX_OUTPUT_BYTES))
    }
    let board = board(|b| {
        b.queue(Queue::new("default"))
            .functions(functions![deep, large])
    })
    .await;
    let calls = [
        (call!(deep()), "100 levels"),
        (call!(large()), "262144 bytes"),
    ];
    for (call, limit) in calls {
        let id = board.client().enqueue(call).await.unwrap();
        let job = until_state(board.client(), id, JobState::Completed).await;
        let note = job.output.unwrap()["not_kept"].to_string();
        assert!(note.contains(limit), "{note}");
    }
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nul_in_an_output_is_replaced() {
    async fn odd() -> Outcome {
        Outcome::DoneWith(json!({ "a\0b": ["\0", "\\u0000"], "n": 1.5 }))
    }
    let board = board(|b| b.queue(Queue::new("default")).functions(functions![odd])).await;
    let id = board.client().enqueue(call!(odd())).await.unwrap();
    let job = until_state(board.client(), id, JobState::Completed).await;
    let expected = json!({ "a\u{fffd}b": ["\u{fffd}", "\\u0000"], "n": 1.5 });
    assert_eq!(job.output, Some(expected));
}
