//! Handlers are replaced, added, removed and renamed, one by one and together.

use callboard::client::Reason;
use callboard::event::Event;
use callboard::{BoxError, Call, Client, Handler, JobState, Outcome, Queue, Swap, function};
use serde_json::json;

use super::letters::*;
use crate::support::{
    board, board_at, database_at, eventually, server, sql, sql::number, until_confirmed,
    until_state,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_ends_on_the_old_code_and_the_next_start_is_on_the_new() {
    let gate = Gate::shut();
    let board = board(|b| {
        let queue = queue(&gate).workers(4).max_demand(5);
        b.queue(queue)
            .handler(Handler::of::<First>().code_version("old"))
    })
    .await;
    let client = board.client();
    // The old code holds four; the others are claimed ahead, in the hands of workers, or wait.
    let calls = (0..50).map(|number| First { number });
    let mut jobs = client.enqueue_many(calls).await.unwrap();
    until_running(&board, "old", 4).await;

    let swapped = board
        .handlers()
        .replace(Handler::of::<Second>())
        .await
        .unwrap();
    assert_eq!(swapped.to_string(), "\"test.letter\" replaced (old by 1.1)");
    let calls = (50..70).map(|number| Second { number });
    jobs.extend(client.enqueue_many(calls).await.unwrap());
    // Nothing begins while all workers run old code, and the list says who does what.
    let (old, new) = (
        handler(&board, "old").unwrap(),
        handler(&board, "1.1").unwrap(),
    );
    assert_eq!((old.running, old.is_current), (4, false));
    assert_eq!((new.running, new.is_current), (0, true));
    assert!(old.since <= new.since);
    gate.open();

    let mut of_old = 0;
    for (number, job) in jobs.into_iter().enumerate() {
        let output = ran(client, job).await;
        of_old += usize::from(output == by("First", number as u32));
        let either = [by("First", number as u32), by("Second", number as u32)];
        assert!(either.contains(&output), "{output}");
    }
    assert_eq!(of_old, 4, "those that had begun, and no other");
    until_confirmed(&board).await;
    assert_eq!(
        handler(&board, "old"),
        None,
        "it is gone with its last attempt"
    );
    let counts = board.counts();
    assert_eq!(
        (counts.completed, counts.released, counts.buried),
        (70, 0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_every_job_runs_once_whichever_code_it_meets() {
    let gate = Gate::shut();
    gate.open();
    let board = board(|b| {
        b.queue(queue(&gate).workers(4).max_demand(10))
            .job::<First>()
    })
    .await;
    let client = board.client();
    let enqueuing = async {
        let mut jobs = Vec::new();
        for number in 0..1_000 {
            jobs.push(client.enqueue(Second { number }).await.unwrap());
        }
        jobs
    };
    let swapping = async {
        for round in 0..20 {
            let handler = match round % 2 {
                0 => Handler::of::<Second>(),
                _ => Handler::of::<First>(),
            };
            board.handlers().replace(handler).await.unwrap();
        }
        board.handlers().generation()
    };
    let (jobs, generation) = tokio::join!(enqueuing, swapping);
    for job in &jobs {
        let job = until_state(client, *job, JobState::Completed).await;
        assert!(job.attempt.is_first() && job.errors.is_empty(), "{job:?}");
    }
    until_confirmed(&board).await;
    let counts = board.counts();
    assert_eq!(
        (generation, counts.completed, counts.buried),
        (20, 1_000, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_kind_waits_untouched_for_a_node_that_runs_it() {
    let (gate, url) = (Gate::shut(), server::fresh_database().await);
    let start = || board_at(&url, |b| b.queue(queue(&gate).max_demand(5)).job::<First>());
    let board = start().await;
    let client = board.client();
    let jobs = client
        .enqueue_many((0..6).map(|number| First { number }))
        .await
        .unwrap();
    // One runs; those behind it are in the worker's hands, claimed and not begun.
    until_running(&board, "1.0", 1).await;
    let rows = sql::connect(&url).await;
    let in_hand = "select count(*) from callboard.jobs where state = 'executing'";
    eventually("some are claimed and not begun", || async {
        (number(&rows, in_hand).await > 1).then_some(())
    })
    .await;

    board.handlers().remove("test.letter").await.unwrap();
    gate.open();
    assert_eq!(ran(client, jobs[0]).await, by("First", 0));
    until_confirmed(&board).await;
    let untouched = "select count(*) from callboard.jobs where state = 'available' and failures = 0 and deaths = 0";
    assert_eq!(number(&rows, untouched).await, 5);
    let reason = Reason::KindNotServed {
        queue: "default".to_owned(),
        kind: "test.letter".to_owned(),
        nodes: 1,
    };
    assert_eq!(client.explain(jobs[5]).await.unwrap().reasons, [reason]);
    assert_eq!(client.nodes().await.unwrap()[0].kinds, [] as [&str; 0]);

    let other = start().await;
    for (number, job) in jobs.iter().enumerate().skip(1) {
        assert_eq!(ran(client, *job).await, by("First", number as u32));
    }
    let counts = (other.counts().completed, board.counts().buried);
    assert_eq!(counts, (5, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_is_added_is_looked_for_at_once_behind_what_was_claimed_since() {
    let (gate, url) = (Gate::shut(), server::fresh_database().await);
    gate.open();
    let board = board_at(&url, |b| b.queue(queue(&gate)).job::<First>()).await;
    // By somebody who tells nobody about the kind.
    let client = Client::connect(database_at(&url)).await.unwrap();
    let parcel = client.enqueue(Parcel { number: 1 }).await.unwrap();
    // The board has looked beyond it, and will not poll.
    let letter = client.enqueue(First { number: 2 }).await.unwrap();
    ran(&client, letter).await;
    let waits = client.job(parcel).await.unwrap().unwrap();
    assert_eq!(
        (waits.state, waits.attempt.as_i32()),
        (JobState::Available, 0)
    );

    let swapped = board.handlers().add(Handler::of::<Parcel>()).await.unwrap();
    assert_eq!(swapped.changes[0].verb(), "added");
    assert_eq!(ran(&client, parcel).await, by("Parcel", 1));
    // And where a job may be claimed at birth, the client knows its defaults and arguments.
    let born = board.client().enqueue(Parcel { number: 3 }).await.unwrap();
    let job = until_state(&client, born, JobState::Completed).await;
    assert_eq!(job.output, Some(by("Parcel", 3)));
    let kinds = client.nodes().await.unwrap().remove(0).kinds;
    assert_eq!(kinds, ["test.letter", "test.parcel"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_node_had_claimed_and_the_new_code_does_not_read_goes_back_unburied() {
    let (gate, url) = (Gate::shut(), server::fresh_database().await);
    let board = board_at(&url, |b| b.queue(queue(&gate).max_demand(5)).job::<First>()).await;
    let client = board.client();
    let holding = client.enqueue(First { number: 0 }).await.unwrap();
    until_running(&board, "1.0", 1).await;
    board
        .handlers()
        .replace(Handler::of::<Third>())
        .await
        .unwrap();
    let third = Third {
        number: 1,
        stamp: true,
    };
    // Claimed for the new code, behind the attempt that still runs on the old.
    let newer = client.enqueue(third).await.unwrap();
    until_state(client, newer, JobState::Executing).await;
    board
        .handlers()
        .replace(Handler::of::<Second>())
        .await
        .unwrap();
    gate.open();
    ran(client, holding).await;
    until_confirmed(&board).await;
    let waits = client.job(newer).await.unwrap().unwrap();
    assert_eq!(
        (waits.state, waits.failures),
        (JobState::Available, Some(0))
    );
    let reasons = client.explain(newer).await.unwrap().reasons;
    assert!(
        matches!(
            reasons[..],
            [Reason::VersionNotServed {
                version: 2,
                newest: Some(1),
                ..
            }]
        ),
        "{reasons:?}"
    );

    board
        .handlers()
        .replace(Handler::of::<Third>())
        .await
        .unwrap();
    let output = json!("Third { number: 1, stamp: true }");
    assert_eq!(ran(client, newer).await, output);
    let older = client.enqueue(Second { number: 2 }).await.unwrap();
    let output = json!("Third { number: 2, stamp: false }");
    assert_eq!(ran(client, older).await, output);
    assert_eq!(board.counts().buried, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_may_be_renamed_while_jobs_of_the_old_name_wait() {
    let (gate, url) = (Gate::shut(), server::fresh_database().await);
    let board = board_at(&url, |b| b.queue(queue(&gate)).job::<First>()).await;
    let client = board.client();
    let jobs = (0..3).map(|number| First { number });
    let jobs = client.enqueue_many(jobs).await.unwrap();
    until_running(&board, "1.0", 1).await;
    board
        .handlers()
        .replace(Handler::of::<Renamed>())
        .await
        .unwrap();
    gate.open();
    assert_eq!(ran(client, jobs[0]).await, by("First", 0));
    assert_eq!(ran(client, jobs[1]).await, by("Renamed", 1));
    let renamed = client.enqueue(Renamed { number: 9 }).await.unwrap();
    assert_eq!(ran(client, renamed).await, by("Renamed", 9));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_fails_changes_nothing() {
    let (gate, url) = (Gate::shut(), server::fresh_database().await);
    gate.open();
    let board = board_at(&url, |b| b.queue(queue(&gate)).job::<First>()).await;
    let client = board.client();
    let (before, nodes) = (board.handlers().list(), client.nodes().await.unwrap());
    let mut events = board.events();
    let swap = Swap::new()
        .replace(Handler::of::<Second>())
        .add(Handler::of::<Parcel>())
        .remove("test.unknown");
    let refused = board.handlers().swap(swap).await.unwrap_err();
    assert!(refused.is_config());
    let text = refused.to_string();
    for part in ["has changed nothing", "\"test.unknown\" cannot be removed"] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert_eq!(board.handlers().list(), before);
    assert_eq!(board.handlers().generation(), 0);
    let letter = client.enqueue(Second { number: 1 }).await.unwrap();
    assert_eq!(ran(client, letter).await, by("First", 1));
    let parcel = client.enqueue(Parcel { number: 2 }).await.unwrap();
    let parcel = client.job(parcel).await.unwrap().unwrap();
    assert_eq!(parcel.state, JobState::Available);
    let kinds = |nodes: &[callboard::store::NodeInfo]| nodes[0].kinds.clone();
    assert_eq!(kinds(&client.nodes().await.unwrap()), kinds(&nodes));
    let said = std::iter::from_fn(|| events.try_next());
    let swaps = said.filter(|event| matches!(event, Ok(Event::HandlersSwapped(_))));
    assert_eq!(swaps.count(), 0);

    board.shutdown().await.unwrap();
    let late = board.handlers().remove("test.letter").await.unwrap_err();
    assert!(late.is_start(), "{late}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_swap_is_an_event() {
    let gate = Gate::shut();
    let board = board(|b| b.queue(queue(&gate)).job::<First>()).await;
    let mut events = board.events();
    let swap = Swap::new()
        .remove("test.letter")
        .add(Handler::of::<Parcel>().code_version("2026-11"));
    let swapped = board.handlers().swap(swap).await.unwrap();
    let said = loop {
        if let Event::HandlersSwapped(said) = events.next().await.unwrap().unwrap() {
            break said;
        }
    };
    assert_eq!(said, swapped);
    let text = "\"test.letter\" removed (1.0), \"test.parcel\" added (2026-11)";
    assert_eq!((said.generation, said.to_string().as_str()), (1, text));
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_are_swapped_like_types() {
    async fn greet(name: String) -> Result<Outcome, BoxError> {
        Outcome::done_with(&format!("hello {name}"))
    }
    async fn greet_well(name: String) -> Result<Outcome, BoxError> {
        Outcome::done_with(&format!("good day, {name}"))
    }
    let board = board(|b| b.queue(Queue::new("default")).handler(function!(greet))).await;
    let kind = Handler::from(function!(greet)).kind().to_owned();
    let call = |name: &str| Call::named(kind.clone(), &(name.to_owned(),));
    let job = board.client().enqueue(call("Ada")).await.unwrap();
    assert_eq!(ran(board.client(), job).await, json!("hello Ada"));
    let renamed: &'static str = kind.clone().leak();
    board
        .handlers()
        .replace(function!(greet_well).alias(renamed))
        .await
        .unwrap();
    let job = board.client().enqueue(call("Bob")).await.unwrap();
    assert_eq!(ran(board.client(), job).await, json!("good day, Bob"));
}
