//! Functions as jobs: any number of arguments up to eight, with and without the context, and
//! whatever they return.

use std::collections::BTreeMap;

use callboard::{BoxError, Call, Context, JobState, Outcome, Queue, call, functions};
use serde_json::{Value, json};

use crate::support::{board, until_state};

type Told = Result<Outcome, BoxError>;

fn told(arguments: Value) -> Told {
    Outcome::done_with(&arguments)
}

async fn none() -> Told {
    told(json!([]))
}
async fn one(a: u8) -> Told {
    told(json!([a]))
}
async fn two(a: u8, b: String) -> Told {
    told(json!([a, b]))
}
async fn three(a: u8, b: String, c: Option<i64>) -> Told {
    told(json!([a, b, c]))
}
async fn four(a: u8, b: String, c: Option<i64>, d: Vec<bool>) -> Told {
    told(json!([a, b, c, d]))
}
async fn five(a: u8, b: String, c: Option<i64>, d: Vec<bool>, e: (i8, i8)) -> Told {
    told(json!([a, b, c, d, e]))
}
async fn six(a: u8, b: String, c: Option<i64>, d: Vec<bool>, e: (i8, i8), f: f64) -> Told {
    told(json!([a, b, c, d, e, f]))
}
async fn seven(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: BTreeMap<String, u8>) -> Told {
    told(json!([a, b, c, d, e, f, g]))
}
#[allow(clippy::too_many_arguments, reason = "the most that a job may have")]
async fn eight(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8) -> Told {
    told(json!([a, b, c, d, e, f, g, h]))
}
async fn none_with(cx: &mut Context) -> Told {
    told(json!([cx.attempt().as_i32()]))
}
async fn one_with(cx: &mut Context, a: u8) -> Told {
    told(json!([cx.attempt().as_i32(), a]))
}
#[allow(clippy::too_many_arguments, reason = "the most that a job may have")]
async fn eight_with(
    cx: &mut Context,
    a: u8,
    b: u8,
    c: u8,
    d: u8,
    e: u8,
    f: u8,
    g: u8,
    h: u8,
) -> Told {
    // The context may be lent across an await.
    let attempt = lent(cx).await;
    told(json!([attempt, a, b, c, d, e, f, g, h]))
}

async fn lent(cx: &Context) -> i32 {
    tokio::task::yield_now().await;
    cx.attempt().as_i32()
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_get_the_arguments_of_their_call() {
    let board = board(|b| {
        b.queue(Queue::new("default"))
            .functions(functions![none, one, two, three, four, five])
            .functions(functions![
                six, seven, eight, none_with, one_with, eight_with
            ])
    })
    .await;
    let b = || "b".to_owned();
    let g = BTreeMap::from([("g".to_owned(), 7)]);
    let cases: Vec<(Call, Value)> = vec![
        (call!(none()), json!([])),
        (call!(one(1)), json!([1])),
        (call!(two(1, b())), json!([1, "b"])),
        (call!(three(1, b(), None)), json!([1, "b", null])),
        (
            call!(four(1, b(), Some(-3), vec![true])),
            json!([1, "b", -3, [true]]),
        ),
        (
            call!(five(1, b(), None, vec![], (5, -5))),
            json!([1, "b", null, [], [5, -5]]),
        ),
        (
            call!(six(1, b(), None, vec![], (5, -5), 0.5)),
            json!([1, "b", null, [], [5, -5], 0.5]),
        ),
        (
            call!(seven(1, 2, 3, 4, 5, 6, g)),
            json!([1, 2, 3, 4, 5, 6, { "g": 7 }]),
        ),
        (
            call!(eight(1, 2, 3, 4, 5, 6, 7, 8)),
            json!([1, 2, 3, 4, 5, 6, 7, 8]),
        ),
        (call!(none_with()), json!([1])),
        (call!(one_with(2)), json!([1, 2])),
        (
            call!(eight_with(2, 3, 4, 5, 6, 7, 8, 9)),
            json!([1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ),
    ];
    for (call, expected) in cases {
        let kind = call.kind().to_owned();
        let id = board.client().enqueue(call).await.unwrap();
        let job = until_state(board.client(), id, JobState::Completed).await;
        assert_eq!(job.output, Some(expected), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_may_return_nothing_an_outcome_or_a_result() {
    async fn nothing() {}
    async fn outcome() -> Outcome {
        Outcome::Bury("no hope".into())
    }
    async fn result() -> Result<(), std::io::Error> {
        Err(std::io::Error::other("no disk"))
    }
    async fn text() -> Result<Outcome, String> {
        Err("a text".into())
    }
    let board = board(|b| {
        b.queue(Queue::new("default"))
            .functions(functions![nothing, outcome, result, text])
    })
    .await;
    let client = board.client();
    let cases = [
        (call!(nothing()), JobState::Completed, None),
        (call!(outcome()), JobState::Dead, Some("no hope")),
        (call!(result()), JobState::Retryable, Some("no disk")),
        (call!(text()), JobState::Retryable, Some("a text")),
    ];
    for (call, state, message) in cases {
        let id = client.enqueue(call).await.unwrap();
        let job = until_state(client, id, state).await;
        let found = job
            .errors
            .first()
            .and_then(|error| error["message"].as_str());
        assert_eq!(found, message);
    }
}
