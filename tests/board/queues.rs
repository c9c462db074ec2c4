//! Queues that are added and removed while the board runs.

use std::time::Duration;

use callboard::{Board, Client, Error, JobState, Queue, call};

use crate::support::acts::{hang, hold, note, open_gate, stage, until_ran};
use crate::support::child::Plan;
use crate::support::sql::number;
use crate::support::tree::kill;
use crate::support::until_state;

async fn board(url: &str) -> (Board, Plan) {
    let plan = Plan {
        grace: Duration::from_millis(100),
        ..Plan::new(url)
    };
    (plan.start().await, plan)
}

async fn nodes_of(client: &Client, queue: &str) -> u32 {
    let queues = client.queues().await.unwrap();
    let found = queues.into_iter().find(|found| found.queue == queue);
    found.map_or(0, |found| found.nodes)
}

fn says(error: &Error, words: &[&str]) {
    assert!(error.is_config(), "{error:?}");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "no {word:?} in {text:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_added_runs_its_jobs_and_outlives_the_actors() {
    let (url, _rows) = stage().await;
    let (board, plan) = board(&url).await;
    let client = board.client();
    let late = || call!(note()).queue("late");
    let first = client.enqueue(late()).await.unwrap();
    board.add_queue(plan.queue("late")).await.unwrap();
    until_state(client, first, JobState::Completed).await;
    assert_eq!(nodes_of(client, "late").await, 1);
    for part in [&["queues"][..], &["queues", "late"], &["steward"]] {
        kill(&board, part).await;
        let job = client.enqueue(late()).await.unwrap();
        until_state(client, job, JobState::Completed).await;
    }
    assert_eq!(nodes_of(client, "late").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_paused_for_all_nodes_is_so_when_it_is_added() {
    let (url, _rows) = stage().await;
    let (board, plan) = board(&url).await;
    let client = board.client();
    let job = client.enqueue(call!(note()).queue("late")).await.unwrap();
    client.queue("late").pause().await.unwrap();
    client.queue("late").scale(3).await.unwrap();
    board.add_queue(plan.queue("late")).await.unwrap();
    let workers = board.workers();
    assert_eq!(workers.iter().filter(|w| w.queue == "late").count(), 3);
    let beside = client.enqueue(call!(note())).await.unwrap();
    until_state(client, beside, JobState::Completed).await;
    let waiting = client.job(job).await.unwrap().unwrap();
    assert_eq!(waiting.attempt.as_i32(), 0);
    client.queue("late").resume().await.unwrap();
    until_state(client, job, JobState::Completed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_queue_ends_what_runs_and_leaves_the_rest_on_the_board() {
    let (url, rows) = stage().await;
    let plan = Plan {
        workers: 1,
        max_demand: 5,
        ..Plan::new(&url)
    };
    let board = plan.start().await;
    let client = board.client();
    let running = client.enqueue(call!(hold())).await.unwrap();
    until_ran(&rows, 1).await;
    let waiting = client.enqueue(call!(note())).await.unwrap();
    let removing = tokio::spawn({
        let board = board.clone();
        async move { board.remove_queue("default").await }
    });
    open_gate(&rows, 1).await;
    removing.await.unwrap().unwrap();
    until_state(client, running, JobState::Completed).await;
    let left = until_state(client, waiting, JobState::Available).await;
    assert_eq!(left.failures, Some(0));
    assert_eq!(nodes_of(client, "default").await, 0);
    assert!(board.workers().is_empty());
    assert!(board.health().is_working(), "{}", board.health());
    assert_eq!(board.counts().in_hand, 0);

    // And it may come back, with other options.
    board
        .add_queue(plan.queue("default").workers(4))
        .await
        .unwrap();
    until_state(client, waiting, JobState::Completed).await;
    assert_eq!(board.workers().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_does_not_end_in_time_is_interrupted_by_the_removal_of_its_queue_alone() {
    let (url, rows) = stage().await;
    let (board, plan) = board(&url).await;
    let client = board.client();
    let late = plan.queue("late").cancel_grace(Duration::from_millis(50));
    board.add_queue(late).await.unwrap();
    let hanging = client.enqueue(call!(hang()).queue("late")).await.unwrap();
    let beside = client.enqueue(call!(hold())).await.unwrap();
    until_ran(&rows, 2).await;
    board.remove_queue("late").await.unwrap();
    let hanging = until_state(client, hanging, JobState::Available).await;
    assert_eq!((hanging.failures, hanging.attempt.as_i32()), (Some(0), 1));
    let told = "select count(*) from told";
    assert_eq!(number(&rows, told).await, 0, "the other was left alone");
    open_gate(&rows, 1).await;
    until_state(client, beside, JobState::Completed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_taken_and_names_that_are_not_there_are_refused() {
    let (url, _rows) = stage().await;
    let (board, plan) = board(&url).await;
    let twice = board.add_queue(plan.queue("default")).await.unwrap_err();
    says(&twice, &["\"default\"", "serves it already"]);
    let empty = board.add_queue(Queue::new("late").workers(0)).await;
    says(&empty.unwrap_err(), &["workers", "0", "1 to 100000"]);
    let unknown = board.remove_queue("late").await.unwrap_err();
    says(&unknown, &["\"late\"", "it serves: default"]);
    board.shutdown().await.unwrap();
    let late = board.add_queue(plan.queue("late")).await.unwrap_err();
    assert!(late.is_start(), "{late:?}");
}
