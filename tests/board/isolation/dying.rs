//! Isolates that die, and those that outlive nobody.

use callboard::isolation::MIN_MEMORY_LIMIT;
use callboard::supervision::Snapshot;
use rustix::process::Pid;

use super::*;
use crate::support::child::Plan;
use crate::support::tree::kill;
use crate::support::until_confirmed;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_process_does_to_itself_is_its_attempts_failure_and_the_node_runs_on() {
    let node = Isolating::with(functions![aborts, exits, overflows, is_killed]).await;
    for (call, how) in [
        (call!(aborts()), "signal: 6 (SIGABRT)"),
        (call!(exits()), "exit status: 3, without a word on stderr"),
        (call!(overflows()), "has overflowed its stack"),
        (call!(is_killed()), "signal: 9 (SIGKILL)"),
    ] {
        let message = node.fails(call, "crashed").await;
        assert!(message.contains(how), "{message}");
    }
    until_confirmed(&node.board).await;
    let counts = node.board.counts();
    assert_eq!((counts.claimed, counts.buried), (4, 4), "{counts:?}");
    assert!(node.board.health().is_working(), "{}", node.board.health());
    let restarts: u32 = all(&node.board.supervisor().snapshot(), |one| one.info.restarts);
    assert_eq!(restarts, 0, "no actor took notice");
}

fn all(tree: &Snapshot, count: fn(&Snapshot) -> u32) -> u32 {
    let below: u32 = tree.children.iter().map(|child| all(child, count)).sum();
    count(tree) + below
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_words_of_a_process_are_kept_with_the_job() {
    let node = Isolating::with(functions![aborts]).await;
    let message = node.fails(call!(aborts()), "crashed").await;
    assert!(
        message.ends_with("the last it said on stderr:\nthe paper is jammed"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_beyond_its_memory_limit_dies_of_it_and_says_so() {
    let limited = function!(eats).isolated(isolation().memory_limit(2 * MIN_MEMORY_LIMIT));
    let node = Isolating::over(|b| b.queue(queue()).handler(limited)).await;
    let message = node.fails(call!(eats()), "crashed").await;
    assert!(
        message.contains("with a memory limit of 67108864 bytes"),
        "{message}"
    );
    assert!(
        message.contains("memory allocation of 1048576 bytes failed"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_never_awaits_is_killed_at_its_time_limit() {
    let node = Isolating::with(functions![spins]).await;
    let call = call!(spins(node.url.clone())).time_limit(Duration::from_secs(3));
    let message = node.fails(call, "timed_out").await;
    assert_eq!(message, "took longer than its time limit of 3s");
    node.are_gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handler_has_started_is_killed_with_it() {
    let node = Isolating::with(functions![forks]).await;
    let id = node.enqueue(call!(forks(node.url.clone()))).await;
    node.begun(2).await;
    node.board.client().cancel(id).await.unwrap();
    node.ends(id, JobState::Cancelled).await;
    node.are_gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_takes_its_process_along() {
    let node = Isolating::over(|b| {
        b.queue(queue().workers(1))
            .handler(function!(hangs).isolated(isolation()))
    })
    .await;
    let call = call!(hangs(node.url.clone())).max_attempts(1);
    let id = node.enqueue(call).await;
    node.begun(1).await;
    kill(&node.board, &["queues", "default", "workers", "worker-1"]).await;
    let job = node.ends(id, JobState::Dead).await;
    assert_eq!(job.errors[0]["kind"], "crashed", "{:?}", job.errors);
    node.are_gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_leaves_no_process_behind() {
    let (url, rows) = stage().await;
    let plan = Plan {
        is_isolating: true,
        ..Plan::new(&url)
    };
    let mut node = plan.spawn().await;
    let client = callboard::Client::connect(crate::support::database_at(&url)).await;
    let call = call!(hangs(url.clone()));
    client.unwrap().enqueue(call).await.unwrap();
    until_ran(&rows, 1).await;
    let pid = number(&rows, "select pid::bigint from ran").await as i32;
    node.kill().await;
    until_gone(&[pid]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_shuts_down_interrupts_what_runs_and_leaves_no_process_behind() {
    let handlers = [
        function!(listens).isolated(isolation()),
        function!(is_deaf).isolated(isolation()),
    ];
    let node = Isolating::over(|b| {
        b.queue(queue())
            .shutdown_grace(Duration::ZERO)
            .functions(handlers)
    })
    .await;
    let polite = node.enqueue(call!(listens(node.url.clone()))).await;
    let deaf = node.enqueue(call!(is_deaf(node.url.clone()))).await;
    node.begun(2).await;
    let client = callboard::Client::connect(crate::support::database_at(&node.url)).await;
    node.board.shutdown().await.unwrap();
    node.are_gone().await;
    let client = client.unwrap();
    for (id, message) in [
        (polite, "told to stop: Some(Shutdown)"),
        (deaf, "did not stop within the grace and was cut off"),
    ] {
        let job = until_state(&client, id, JobState::Available).await;
        assert_eq!(job.failures, Some(0), "{job:?}");
        assert_eq!(job.errors[0]["kind"], "interrupted", "{:?}", job.errors);
        assert_eq!(job.errors[0]["message"], message);
    }
}

/// As a service manager does that stops a service.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_leaves_it_to_its_node_to_hear_of_a_stop() {
    let node = Isolating::with(functions![listens]).await;
    let id = node.enqueue(call!(listens(node.url.clone()))).await;
    node.begun(1).await;
    let pid = Pid::from_raw(node.pids().await[0]).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    node.board.client().cancel(id).await.unwrap();
    let job = node.ends(id, JobState::Cancelled).await;
    assert_eq!(job.errors[0]["message"], "told to stop: Some(Requested)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_keeper_of_isolates_has_a_successor_and_no_job_takes_notice() {
    let node = Isolating::with(functions![listens, pid]).await;
    let held = node.enqueue(call!(listens(node.url.clone()))).await;
    node.begun(1).await;
    kill(&node.board, &["isolates"]).await;
    let id = node.enqueue(call!(pid())).await;
    let job = node.ends(id, JobState::Completed).await;
    assert_eq!(job.attempt.as_i32(), 1);
    let held = node.board.client().job(held).await.unwrap().unwrap();
    assert_eq!(
        (held.state, held.attempt.as_i32()),
        (JobState::Executing, 1)
    );
}
