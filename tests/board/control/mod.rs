//! Queues under control while they run: paused, resumed, stopped, scaled and drained, on all nodes or
//! on one.

mod workers;

use std::time::Duration;

use callboard::store::QueueMode;
use callboard::{Board, Client, JobId, JobState, call};

use crate::support::acts::{hold, note, open_gate, stage, until_ran};
use crate::support::child::Plan;
use crate::support::sql::number;
use crate::support::{database_at, eventually, until_state};

const WORKERS: &[&str] = &["queues", "default", "workers"];

/// A board that serves `default`, and `other` to see that it is not the board that rests.
async fn board(plan: &Plan) -> Board {
    let builder = plan.builder().queue(plan.queue("other"));
    builder.start().await.unwrap()
}

/// A plan whose queues look for jobs all the time.
fn eager(url: &str) -> Plan {
    Plan {
        poll_every: Duration::from_millis(10),
        ..Plan::new(url)
    }
}

/// Whatever was said of queues before is in effect on the board.
async fn in_effect(board: &Board) {
    board.queue("other").resume().await.unwrap();
}

/// The job does not begin, though others do that were enqueued later. (A claim that was under way may give
/// it an attempt, and returns it.)
async fn does_not_begin(board: &Board, rows: &tokio_postgres::Client, job: JobId) {
    for _ in 0..3 {
        let beside = call!(note()).queue("other");
        let beside = board.client().enqueue(beside).await.unwrap();
        until_state(board.client(), beside, JobState::Completed).await;
    }
    until_state(board.client(), job, JobState::Available).await;
    let ran = format!("select count(*) from ran where job = {job}");
    assert_eq!(number(rows, &ran).await, 0);
}

async fn completes(client: &Client, job: JobId) {
    until_state(client, job, JobState::Completed).await;
}

fn workers(board: &Board) -> usize {
    let tree = board.supervisor().snapshot();
    tree.find(WORKERS)
        .map_or(0, |workers| workers.children.len())
}

async fn until_workers(board: &Board, count: usize) {
    eventually(&format!("there are {count} workers"), || async {
        (workers(board) == count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_queue_begins_no_job_until_it_is_resumed() {
    let (url, rows) = stage().await;
    let board = board(&eager(&url)).await;
    let client = board.client();
    client.queue("default").pause().await.unwrap();
    in_effect(&board).await;
    let job = client.enqueue(call!(note())).await.unwrap();
    does_not_begin(&board, &rows, job).await;
    client.queue("default").resume().await.unwrap();
    completes(client, job).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_in_effect_when_no_claim_is_under_way_any_more() {
    let (url, rows) = stage().await;
    let board = board(&eager(&url)).await;
    let slow_claims = "
        create function wait() returns trigger language plpgsql
        as 'begin perform pg_advisory_xact_lock(1); return new; end';
        create trigger wait before update on callboard.jobs for each row
        when (new.state = 'executing') execute function wait();
        select pg_advisory_lock(1)";
    rows.batch_execute(slow_claims).await.unwrap();
    let client = Client::connect(database_at(&url)).await.unwrap();
    let job = client.enqueue(call!(note())).await.unwrap();
    eventually("a claim has the job", || async {
        let waits = "select count(*) from pg_locks where locktype = 'advisory' and not granted \
                     and database = (select oid from pg_database where datname = current_database())";
        (number(&rows, waits).await > 0).then_some(())
    })
    .await;
    let queue = board.queue("default");
    let mut pause = tokio::spawn(async move { queue.pause().await });
    let early = tokio::time::timeout(Duration::from_millis(300), &mut pause);
    assert!(early.await.is_err(), "a claim is under way");
    rows.batch_execute("select pg_advisory_unlock(1)")
        .await
        .unwrap();
    pause.await.unwrap().unwrap();
    does_not_begin(&board, &rows, job).await;
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_goes_on_while_its_queue_is_paused_and_what_waits_behind_it_is_returned() {
    let (url, rows) = stage().await;
    let plan = Plan {
        workers: 1,
        max_demand: 3,
        ..eager(&url)
    };
    let board = board(&plan).await;
    let client = board.client();
    let calls = [call!(hold()), call!(note()), call!(note())];
    let jobs = client.enqueue_many(calls).await.unwrap();
    for job in &jobs {
        until_state(client, *job, JobState::Executing).await;
    }
    until_ran(&rows, 1).await;
    board.queue("default").pause().await.unwrap();
    open_gate(&rows, 1).await;
    completes(client, jobs[0]).await;
    for job in &jobs[1..] {
        let returned = until_state(client, *job, JobState::Available).await;
        assert_eq!(returned.failures, Some(0));
    }
    assert_eq!(number(&rows, "select count(*) from ran").await, 1);
    board.queue("default").resume().await.unwrap();
    for job in jobs {
        completes(client, job).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_while_a_queue_is_paused_claims_nothing_of_it() {
    let (url, rows) = stage().await;
    let first = board(&eager(&url)).await;
    first.client().queue("default").pause().await.unwrap();
    first.shutdown().await.unwrap();

    let second = board(&eager(&url)).await;
    let job = second.client().enqueue(call!(note())).await.unwrap();
    does_not_begin(&second, &rows, job).await;
    second.client().queue("default").resume().await.unwrap();
    completes(second.client(), job).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_was_told_of_is_found_all_the_same() {
    let (url, rows) = stage().await;
    let board = board(&eager(&url)).await;
    let silently = "insert into callboard.queue_settings (queue, node, mode, workers) \
                    values ('default', 0, 'running', 7)";
    rows.execute(silently, &[]).await.unwrap();
    until_workers(&board, 7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_from_another_process_reaches_a_node() {
    let (url, _rows) = stage().await;
    let board = board(&eager(&url)).await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    client.queue("default").stop().await.unwrap();
    until_workers(&board, 0).await;
    client.queue("default").resume().await.unwrap();
    until_workers(&board, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_one_node_pauses_is_run_by_the_other() {
    let (url, rows) = stage().await;
    let (left, right) = (board(&eager(&url)).await, board(&eager(&url)).await);
    let client = left.client();
    left.queue("default").pause().await.unwrap();
    let calls = (0..50).map(|_| call!(note()));
    for job in client.enqueue_many(calls).await.unwrap() {
        let job = until_state(client, job, JobState::Completed).await;
        assert_eq!(job.node, Some(right.node()));
    }
    let queues = client.queues().await.unwrap();
    let paused = queues
        .iter()
        .find(|queue| queue.queue == "default")
        .unwrap();
    assert_eq!((paused.nodes, paused.nodes_halted), (2, 1));
    assert_eq!(paused.standstill, None);

    // Each is lifted by itself: the other node cannot lift this one's.
    client
        .queue("default")
        .on(right.node())
        .pause()
        .await
        .unwrap();
    in_effect(&right).await;
    let job = client.enqueue(call!(note())).await.unwrap();
    does_not_begin(&left, &rows, job).await;
    client
        .queue("default")
        .on(left.node())
        .resume()
        .await
        .unwrap();
    let job = until_state(client, job, JobState::Completed).await;
    assert_eq!(job.node, Some(left.node()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ends_leaves_nothing_of_what_it_alone_was_told() {
    let (url, rows) = stage().await;
    let board = board(&eager(&url)).await;
    board.queue("default").pause().await.unwrap();
    let settings = "select count(*) from callboard.queue_settings";
    assert_eq!(number(&rows, settings).await, 1);
    board.shutdown().await.unwrap();
    assert_eq!(number(&rows, settings).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_queue_has_no_workers_until_it_is_resumed() {
    let (url, rows) = stage().await;
    let board = board(&eager(&url)).await;
    let client = board.client();
    let running = client.enqueue(call!(hold())).await.unwrap();
    until_ran(&rows, 1).await;
    board.queue("default").stop().await.unwrap();
    until_workers(&board, 1).await;
    let waiting = client.enqueue(call!(note())).await.unwrap();
    does_not_begin(&board, &rows, waiting).await;
    open_gate(&rows, 1).await;
    completes(client, running).await;
    until_workers(&board, 0).await;
    board.queue("default").resume().await.unwrap();
    completes(client, waiting).await;
    assert_eq!(workers(&board), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_waits_for_what_is_there_and_for_nothing_else() {
    let (url, rows) = stage().await;
    let board = board(&eager(&url)).await;
    let client = board.client();
    let later = call!(note()).run_in(Duration::from_secs(3600));
    let behind = later.clone().ordering_key("a");
    client.enqueue(later).await.unwrap();
    client.enqueue(behind).await.unwrap();
    let behind = call!(note()).ordering_key("a");
    client.enqueue(behind).await.unwrap();
    let calls = (0..100).map(|_| call!(note()));
    client.enqueue_many(calls).await.unwrap();
    client.queue("default").drain().await.unwrap();
    let completed = "select count(*) from callboard.finished_jobs";
    assert_eq!(number(&rows, completed).await, 100);

    // Jobs that come later do not hold it up.
    let running = client.enqueue(call!(hold())).await.unwrap();
    until_ran(&rows, 101).await;
    let drained = tokio::spawn({
        let queue = client.queue("default");
        async move { queue.drain().await }
    });
    until_state(client, running, JobState::Executing).await;
    assert!(!drained.is_finished());
    open_gate(&rows, 1).await;
    drained.await.unwrap().unwrap();
    completes(client, running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_show_who_halted_them_and_why() {
    let (url, _rows) = stage().await;
    let board = board(&eager(&url)).await;
    let client = board.client();
    let queue = client.queue("default");
    queue
        .pause()
        .because("the mail server moves")
        .by("ann")
        .await
        .unwrap();
    queue.scale(20).await.unwrap();
    let shown = async || {
        let queues = client.queues().await.unwrap();
        queues
            .into_iter()
            .find(|queue| queue.queue == "default")
            .unwrap()
    };
    let paused = shown().await;
    assert_eq!(paused.workers, Some(20));
    let standstill = paused.standstill.unwrap();
    assert_eq!(standstill.mode, QueueMode::Paused);
    assert_eq!(standstill.by.as_deref(), Some("ann"));
    let text = standstill.to_string();
    assert!(text.starts_with("paused since 20"), "{text}");
    assert!(text.ends_with("by ann: the mail server moves"), "{text}");

    // Once more keeps the beginning; a stop is something else.
    queue.pause().by("bob").await.unwrap();
    let again = shown().await.standstill.unwrap();
    assert_eq!(again.since, standstill.since);
    assert_eq!(again.by.as_deref(), Some("bob"));
    assert_eq!(again.reason, standstill.reason);
    queue.stop().await.unwrap();
    let stopped = shown().await.standstill.unwrap();
    assert_eq!((stopped.mode, stopped.reason), (QueueMode::Stopped, None));
    assert!(stopped.since > standstill.since);
    queue.resume().await.unwrap();
    assert_eq!(shown().await.standstill, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_refused_with_the_remedy() {
    let (url, rows) = stage().await;
    let board = board(&eager(&url)).await;
    let client = board.client();
    let refused = |result: Result<(), callboard::Error>, words: &[&str]| {
        let error = result.unwrap_err();
        assert!(error.is_config(), "{error:?}");
        let text = error.to_string();
        for word in words {
            assert!(text.contains(word), "no {word:?} in {text:?}");
        }
    };
    let unknown = client.queue("mial").pause().await;
    refused(unknown, &["pause", "\"mial\"", "default, other"]);
    let unknown = client.queue("mial").drain().await;
    refused(unknown, &["drain", "\"mial\"", "default, other"]);
    refused(client.queue("").resume().await, &["resume", "is empty"]);
    let queue = client.queue("default");
    refused(queue.scale(0).await, &["to 0", "1 to 100000", "pause"]);
    refused(queue.scale(100_001).await, &["100001", "1 to 100000"]);
    let elsewhere = queue.clone().on(callboard::job::NodeId::from_i64(7));
    refused(elsewhere.pause().await, &["0000000000000007", "no such"]);
    refused(elsewhere.drain().await, &["drain", "all nodes"]);
    let nothing = "select count(*) from callboard.queue_settings";
    assert_eq!(number(&rows, nothing).await, 0);

    let unserved = call!(note()).queue("unserved");
    client.enqueue(unserved).await.unwrap();
    let unserved = client.queue("unserved");
    refused(unserved.drain().await, &["no live node"]);
    unserved.pause().because("not yet").await.unwrap();
    let paused = client.enqueue(call!(note())).await.unwrap();
    completes(client, paused).await;
    queue.pause().await.unwrap();
    in_effect(&board).await;
    client.enqueue(call!(note())).await.unwrap();
    refused(queue.drain().await, &["paused since", "resume"]);
}
