//! A queue that has as many workers as it needs.

use std::sync::Arc;
use std::time::Duration;

use callboard::queue::{Autoscale, Policy};
use callboard::{Board, BoxError, Context, Database, JobState, Queue, call, functions};
use tokio::sync::Semaphore;

use crate::support::tree::kill;
use crate::support::{board_on, database, eventually, sharing, until_state};

const OFTEN: Duration = Duration::from_millis(100);

async fn wait(cx: &mut Context) -> Result<(), BoxError> {
    let gate = cx.state::<Arc<Semaphore>>()?.clone();
    // Closed, it lets everybody through.
    if let Ok(permit) = gate.acquire().await {
        permit.forget();
    }
    Ok(())
}

async fn board(gate: &Arc<Semaphore>, autoscale: Autoscale) -> Board {
    board_on(database().await, |board| {
        let queue = Queue::new("default").autoscale(autoscale);
        board
            .queue(sharing(queue, gate))
            .functions(functions![wait])
    })
    .await
}

/// How many workers the queue has in the tree.
fn workers(board: &Board) -> usize {
    let snapshot = board.supervisor().snapshot();
    snapshot
        .find(&["queues", "default", "workers"])
        .map_or(0, |workers| workers.children.len())
}

async fn until_workers(board: &Board, count: usize) {
    eventually(&format!("there are {count} workers"), || async {
        (workers(board) == count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_come_with_the_jobs_and_go_with_them_and_no_running_job_is_disturbed() {
    let gate = Arc::new(Semaphore::new(0));
    // A wish that follows from what waits and runs alone.
    let policy = Policy::new(|reading| reading.waiting + reading.busy.ceil() as u32);
    let board = board(&gate, Autoscale::between(1, 8).every(OFTEN).policy(policy)).await;
    until_workers(&board, 1).await;
    let jobs = board.client().enqueue_many((0..20).map(|_| call!(wait())));
    let jobs = jobs.await.unwrap();
    until_workers(&board, 8).await;

    // All but one end: the workers go, and the one that is busy stays.
    gate.add_permits(19);
    until_workers(&board, 1).await;
    let states = board
        .client()
        .jobs(callboard::JobFilter::all(), 30)
        .await
        .unwrap();
    assert_eq!(
        states
            .iter()
            .filter(|job| job.state == JobState::Executing)
            .count(),
        1
    );
    gate.add_permits(1);
    for job in jobs {
        let job = until_state(board.client(), job, JobState::Completed).await;
        assert_eq!((job.attempt.as_i32(), job.errors.len()), (1, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_are_claimed_ahead_count_as_waiting() {
    let gate = Arc::new(Semaphore::new(0));
    let waiting = Policy::new(|reading| reading.waiting);
    let board = board_on(database().await, |board| {
        let autoscale = Autoscale::between(1, 4).every(OFTEN).policy(waiting);
        let queue = Queue::new("default").max_demand(10).autoscale(autoscale);
        board
            .queue(sharing(queue, &gate))
            .functions(functions![wait])
    })
    .await;
    // The one worker takes all of them into its hands, so none waits on the board.
    board.queue("default").scale(1).await.unwrap();
    let jobs = board.client().enqueue_many((0..5).map(|_| call!(wait())));
    for job in jobs.await.unwrap() {
        until_state(board.client(), job, JobState::Executing).await;
    }
    board.queue("default").scale_as_configured().await.unwrap();
    until_workers(&board, 4).await;
    gate.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_was_set_by_hand_holds_until_it_is_taken_back() {
    let gate = Arc::new(Semaphore::new(0));
    let many = Policy::new(|_| 6);
    let board = board(&gate, Autoscale::between(1, 6).every(OFTEN).policy(many)).await;
    until_workers(&board, 6).await;
    board.queue("default").scale(2).await.unwrap();
    until_workers(&board, 2).await;
    board.queue("default").scale_as_configured().await.unwrap();
    until_workers(&board, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_wanted_outlives_the_autoscaler_and_the_queue() {
    let gate = Arc::new(Semaphore::new(0));
    let many = Policy::new(|_| 5);
    let board = board(&gate, Autoscale::between(1, 5).every(OFTEN).policy(many)).await;
    until_workers(&board, 5).await;
    for part in [
        &["queues", "default", "autoscaler"][..],
        &["queues", "default"],
    ] {
        kill(&board, part).await;
        until_workers(&board, 5).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_panics_leaves_the_workers_as_they_are_and_says_so() {
    let gate = Arc::new(Semaphore::new(0));
    let broken = Policy::new(|_| panic!("no idea"));
    let board = board(&gate, Autoscale::between(3, 9).every(OFTEN).policy(broken)).await;
    eventually("it is degraded", || async {
        let health = board.health();
        let (_, condition) = health
            .parts
            .iter()
            .find(|(role, _)| role.as_str() == "autoscaler of default")?;
        condition
            .to_string()
            .contains("its policy panicked")
            .then_some(())
    })
    .await;
    assert_eq!(workers(&board), 3);
    gate.close();
    let job = board.client().enqueue(call!(wait())).await.unwrap();
    until_state(board.client(), job, JobState::Completed).await;
}

#[tokio::test]
async fn options_out_of_range_are_refused_with_value_and_expectation() {
    let refused = [
        (
            Autoscale::between(0, 5),
            "Autoscale::between of the queue \"mail\" is 0 and 5; expected 1 to 100000",
        ),
        (Autoscale::between(6, 5), "is 6 and 5"),
        (
            Autoscale::between(1, 5).every(Duration::ZERO),
            "Autoscale::every of the queue \"mail\" is 0ns; expected 100ms to an hour",
        ),
        (
            Autoscale::between(1, 5).step_up(-1.0),
            "step_up of the queue \"mail\" is -1; expected 0 to 100",
        ),
        (
            Autoscale::between(1, 5).step_down(f64::NAN),
            "step_down of the queue \"mail\" is NaN",
        ),
    ];
    for (autoscale, part) in refused {
        let database = Database::from_url("postgres://nowhere/none").unwrap();
        let board = Board::builder(database).queue(Queue::new("mail").autoscale(autoscale));
        let error = board.start().await.unwrap_err();
        assert!(error.is_config());
        assert!(error.to_string().contains(part), "{error}");
    }
}
