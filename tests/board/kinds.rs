//! What a kind says: its names, its defaults, and how the arguments of yesterday are read.

use std::time::Duration;

use callboard::job::{BuryReason, Call, Upcaster};
use callboard::store::{DeadFilter, JobInfo};
use callboard::{Board, BoxError, Context, Error, Handler, Job, JobState, Outcome, Queue};
use callboard::{call, function, functions};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::support::{board, board_at, database, server, until_state};

/// Declares a job type whose output says which type read which arguments.
macro_rules! greeting {
    ($name:ident { $($field:ident: $type:ty),* } $($constants:tt)*) => {
        #[derive(Debug, Serialize, Deserialize)]
        struct $name { $($field: $type),* }

        impl Job for $name {
            const KIND: &'static str = "test.greeting";
            $($constants)*

            async fn perform(self, _cx: &mut Context) -> Result<Outcome, BoxError> {
                Outcome::done_with(&format!("{self:?}"))
            }
        }
    };
}

greeting!(First {
    name: String,
    loud: bool
});
greeting!(Renamed { name: String, loud: bool } const ALIASES: &'static [&'static str] = &["test.hello"];);
greeting!(Second { name: String, times: u8 }
    const VERSION: i32 = 2;
    fn upcasters() -> Vec<Upcaster<Self>> {
        let times = |first: First| Second { name: first.name, times: if first.loud { 3 } else { 1 } };
        vec![Upcaster::from_version(1, times)]
    }
);
greeting!(Changed {
    loud: bool,
    name: String
});

fn first(name: &str) -> First {
    First {
        name: name.to_owned(),
        loud: true,
    }
}

async fn board_of<J: Job>(url: &str) -> Board {
    board_at(url, |b| b.queue(Queue::new("default")).job::<J>()).await
}

async fn completes(board: &Board, call: impl Into<Call>) -> JobInfo {
    let id = board.client().enqueue(call).await.unwrap();
    until_state(board.client(), id, JobState::Completed).await
}

async fn refusal_of(handlers: impl IntoIterator<Item = Handler>) -> Error {
    let builder = Board::builder(database().await).functions(handlers);
    let refused = builder.start().await.unwrap_err();
    assert!(refused.is_config(), "{refused}");
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_type_runs_under_its_older_names() {
    let url = server::fresh_database().await;
    let board = board_of::<Renamed>(&url).await;
    let call = Call::named("test.hello", &first("Ada"));
    let job = completes(&board, call).await;
    assert_eq!(job.kind, "test.hello");
    assert_eq!(
        job.output,
        Some(json!("Renamed { name: \"Ada\", loud: true }"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_runs_under_its_older_names() {
    async fn today(number: i64) -> Result<Outcome, BoxError> {
        Outcome::done_with(&number)
    }
    let handler = function!(today).alias("old::path").alias("older::path");
    let board = board(|b| b.queue(Queue::new("default")).handler(handler)).await;
    for name in ["old::path", "older::path"] {
        let job = completes(&board, Call::named(name, &(5_i64,))).await;
        assert_eq!(job.output, Some(json!(5)));
    }
    assert_eq!(
        completes(&board, call!(today(6))).await.output,
        Some(json!(6))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_of_an_older_version_go_through_their_upcaster() {
    let url = server::fresh_database().await;
    let board = board_of::<Second>(&url).await;
    let job = completes(&board, first("Ada")).await;
    assert_eq!(
        job.output,
        Some(json!("Second { name: \"Ada\", times: 3 }"))
    );
    let second = Second {
        name: "Bob".into(),
        times: 2,
    };
    let job = completes(&board, second).await;
    assert_eq!(
        job.output,
        Some(json!("Second { name: \"Bob\", times: 2 }"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_that_changed_shape_are_buried_whole_and_run_after_an_upcaster_is_there() {
    async fn scale(by: u64) -> Result<Outcome, BoxError> {
        Outcome::done_with(&by)
    }
    let url = server::fresh_database().await;
    let board = board_at(&url, |b| {
        b.queue(Queue::new("default")).functions(functions![scale])
    })
    .await;
    let kind = call!(scale(1)).kind().to_owned();
    // As the function was called yesterday.
    let yesterday = Call::named(kind, &("double".to_owned(), true));
    let id = board.client().enqueue(yesterday).await.unwrap();
    until_state(board.client(), id, JobState::Dead).await;
    let letters = board
        .client()
        .dead_letters(DeadFilter::all(), 9)
        .await
        .unwrap();
    assert_eq!(letters[0].reason, BuryReason::Undecodable);
    let error = &letters[0].errors[0];
    assert_eq!(error["kind"], "undecodable");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("shape") && message.contains("upcaster"),
        "{message}"
    );
    board.shutdown().await.unwrap();

    let by_words = |(word, twice): (String, bool)| (word.len() as u64 * if twice { 2 } else { 1 },);
    let handler = function!(scale).upcast(by_words);
    let board = board_at(&url, |b| b.queue(Queue::new("default")).handler(handler)).await;
    // Still dead, and readable now.
    let arguments = board
        .client()
        .arguments(&letters[0].kind, &letters[0].arguments);
    assert_eq!(arguments.unwrap(), json!([12]));
    assert!(board.client().requeue(id).await.unwrap());
    let job = until_state(board.client(), id, JobState::Completed).await;
    assert_eq!((job.output, job.attempt.as_i32()), (Some(json!(12)), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_changed_places_are_never_decoded_wrongly() {
    let url = server::fresh_database().await;
    let board = board_of::<Changed>(&url).await;
    let id = board.client().enqueue(first("Ada")).await.unwrap();
    let job = until_state(board.client(), id, JobState::Dead).await;
    assert_eq!(job.reason, Some(BuryReason::Undecodable));
    let refused = board.client().arguments(&job.kind, &job.arguments.unwrap());
    assert!(refused.unwrap_err().is_refused_call());
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_are_readable_as_json_where_their_kind_is_known() {
    async fn nothing(_name: String, _numbers: Vec<i64>) {}
    let url = server::fresh_database().await;
    let board = board_at(&url, |b| b.job::<First>().functions(functions![nothing])).await;
    let client = board.client();
    let numbers = vec![1, -2];
    let cases = [
        (first("Ada").call(), json!({ "name": "Ada", "loud": true })),
        (
            call!(nothing("n".to_owned(), numbers)),
            json!(["n", [1, -2]]),
        ),
    ];
    for (call, expected) in cases {
        let id = client.enqueue(call).await.unwrap();
        let job = client.job(id).await.unwrap().unwrap();
        let arguments = job.arguments.unwrap();
        assert_eq!(client.arguments(&job.kind, &arguments).unwrap(), expected);
        let unknown = client.arguments("test.unknown", &arguments).unwrap_err();
        assert!(
            unknown.to_string().contains("\"test.unknown\""),
            "{unknown}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_handlers_for_one_kind_are_refused_with_both_places() {
    async fn one() {}
    let (first, first_line) = (Handler::of::<First>(), line!());
    let (second, second_line) = (Handler::of::<Second>(), line!());
    let text = refusal_of([first, second]).await.to_string();
    assert!(
        text.contains("\"test.greeting\" has two handlers"),
        "{text}"
    );
    for line in [first_line, second_line] {
        assert!(text.contains(&format!("kinds.rs:{line}:")), "{text}");
    }
    let alias = function!(one).alias("test.greeting").into();
    let text = refusal_of([Handler::of::<First>(), alias])
        .await
        .to_string();
    assert!(
        text.contains("\"test.greeting\" has two handlers"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_cannot_work_is_refused_at_the_start() {
    async fn any(_value: serde_json::Value) {}
    async fn one() {}
    let long = Duration::MAX;
    let cases: [(Handler, &[&str]); 6] = [
        (
            function!(any).into(),
            &["kinds.rs:", "any", "wrap such a value as a String"],
        ),
        (
            function!(one).max_attempts(0).into(),
            &["one", "max_attempts 0", "1 to 1000"],
        ),
        (
            function!(one).time_limit(Duration::ZERO).into(),
            &["one", "0ns", "1ms to"],
        ),
        (
            function!(one).time_limit(long).into(),
            &["one", "a hundred years"],
        ),
        (function!(one).queue("").into(), &["queue", "is empty"]),
        (
            function!(one).alias("a b").into(),
            &["\"a b\"", "white space"],
        ),
    ];
    for (handler, parts) in cases {
        let text = refusal_of([handler]).await.to_string();
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in: {text}");
        }
    }
}
