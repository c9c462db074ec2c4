//! The way in: alone, many at once, by name only, in order of priority.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use callboard::job::Call;
use callboard::{Backoff, BoxError, Client, Context, JobState, Outcome, Queue, call, functions};
use serde_json::json;

use crate::support::{
    board, board_at, database_at, eventually, server, sharing, sql, sql::number, until_state,
};

async fn add(a: i64, b: i64) -> Result<Outcome, BoxError> {
    Outcome::done_with(&(a + b))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enqueued_job_runs_and_lies_in_the_history() {
    let board = board(|b| b.queue(Queue::new("default")).functions(functions![add])).await;
    let id = board.client().enqueue(call!(add(1, 2))).await.unwrap();
    let job = until_state(board.client(), id, JobState::Completed).await;
    assert_eq!(job.output, Some(json!(3)));
    assert!(job.kind.ends_with("enqueue::add"), "{}", job.kind);
    assert_eq!((job.queue.as_str(), job.attempt.as_i32()), ("default", 1));
    assert_eq!(job.node, Some(board.node()));
    assert!(job.enqueued_at <= job.attempted_at.unwrap());
    assert!(job.attempted_at <= job.finished_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_calls_go_in_at_once_and_answer_in_order() {
    // No queue is served here, so the jobs stay and can be read.
    let board = board(|b| b.functions(functions![add])).await;
    let client = board.client();
    let calls = (0..100_000).map(|number| call!(add(number, 0)));
    let ids = client.enqueue_many(calls).await.unwrap();
    assert_eq!(ids.len(), 100_000);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 100_000);
    for number in [0, 999, 1_000, 31_415, 99_999] {
        let job = client.job(ids[number]).await.unwrap().unwrap();
        let arguments = client.arguments(&job.kind, &job.arguments.unwrap());
        assert_eq!(arguments.unwrap(), json!([number, 0]));
    }
}

/// There is one thread, and to make calls takes it up.
#[tokio::test]
async fn other_tasks_have_their_turn_while_the_calls_of_a_bulk_are_made() {
    let url = server::fresh_database().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let turns = Arc::new(AtomicU32::new(0));
    let of_others = Arc::clone(&turns);
    let others = tokio::spawn(async move {
        loop {
            of_others.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
    });
    let (mut last, mut made, mut most) = (0, 0, 0);
    let calls = (0..9_000).map(|number| {
        let now = turns.load(Ordering::SeqCst);
        made = if now == last { made + 1 } else { 1 };
        (last, most) = (now, most.max(made));
        call!(add(number, 0))
    });
    client.enqueue_many(calls).await.unwrap();
    others.abort();
    // One is made to see whether there is another part.
    assert!(most <= 501, "{most} calls without a turn for others");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_job_of_a_bulk_runs_once() {
    async fn note(cx: &mut Context, number: usize) -> Result<(), BoxError> {
        let runs = cx.state::<Arc<Mutex<Vec<u32>>>>()?;
        runs.lock().unwrap()[number] += 1;
        Ok(())
    }
    let runs = Arc::new(Mutex::new(vec![0_u32; 10_000]));
    let queue = sharing(Queue::new("default").workers(4), &runs);
    let board = board(|b| b.queue(queue).functions(functions![note])).await;
    let calls = (0..10_000).map(|number| call!(note(number)));
    board.client().enqueue_many(calls).await.unwrap();
    eventually("all are completed", || async {
        (board.counts().completed == 10_000).then_some(())
    })
    .await;
    assert!(runs.lock().unwrap().iter().all(|runs| *runs == 1));
}

#[tokio::test]
async fn a_bulk_with_one_refused_call_enqueues_nothing() {
    let url = server::fresh_database().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    // The refused one comes when several statements have been sent.
    let calls = (0..20_000).map(|number| {
        let queue = if number == 17_000 { "" } else { "default" };
        Call::named("test.any", &(number,)).queue(queue)
    });
    let refused = client.enqueue_many(calls).await.unwrap_err();
    assert!(refused.is_refused_call(), "{refused}");
    let rows = sql::connect(&url).await;
    assert_eq!(
        number(&rows, "select count(*) from callboard.jobs").await,
        0
    );
    let one = client.enqueue(Call::named("test.any", &(1,))).await;
    assert!(client.job(one.unwrap()).await.unwrap().is_some());
}

/// Calls that differ in their arguments alone are written by a statement of their own, which leaves nothing out.
#[tokio::test]
async fn calls_that_are_alike_lie_there_as_others_do() {
    let url = server::fresh_database().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let rows = sql::connect(&url).await;
    let plain = || Call::named("test.any", &(1,));
    let full = || {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let call = plain().queue("mail").priority(7).max_attempts(3).version(4);
        let call = call.time_limit(Duration::from_secs(2)).limit_key("tenant");
        let backoff = Backoff::constant(Duration::from_secs(1));
        call.backoff(backoff).traceparent(trace)
    };
    for make in [&plain as &(dyn Fn() -> Call + Sync), &full] {
        let other = || Call::named("test.other", &(1,));
        let alike = client.enqueue_many([make(), make()]).await.unwrap();
        let alike_there = client.enqueue_many_in(&rows, [make(), make()]).await;
        let among_others = client.enqueue_many([make(), other()]).await.unwrap();
        let there = client.enqueue_many_in(&rows, [make(), other()]).await;
        let ids = [
            alike[0],
            alike[1],
            alike_there.unwrap()[1],
            there.unwrap()[0],
            among_others[0],
        ];
        let ids = ids.map(|id| id.to_string()).join(",");
        let row = "(to_jsonb(j) - 'id' - 'enqueued_at')::text";
        let select = format!("select distinct {row} from callboard.jobs j where id in ({ids})");
        let different = rows.query(&select, &[]).await.unwrap();
        let different: Vec<String> = different.iter().map(|row| row.get(0)).collect();
        assert_eq!(different.len(), 1, "{different:?}");
    }
}

#[tokio::test]
async fn an_empty_bulk_is_nothing_to_do() {
    let url = server::fresh_database().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let none = client.enqueue_many(Vec::<Call>::new()).await.unwrap();
    assert_eq!(none, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_single_enqueues_share_statements() {
    let url = server::fresh_database().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let enqueues: Vec<_> = (0..64)
        .map(|number: i64| {
            let client = client.clone();
            tokio::spawn(async move { client.enqueue(Call::named("test.any", &(number,))).await })
        })
        .collect();
    let mut ids = HashSet::new();
    for enqueue in enqueues {
        ids.insert(enqueue.await.unwrap().unwrap());
    }
    assert_eq!(ids.len(), 64);
    let rows = sql::connect(&url).await;
    assert_eq!(
        number(&rows, "select count(*) from callboard.jobs").await,
        64
    );
    let writers = "select count(distinct xmin::text) from callboard.jobs";
    let statements = number(&rows, writers).await;
    assert!(statements <= 32, "{statements} statements for 64 enqueues");
}

#[tokio::test(flavor = "multi_thread")]
async fn urgent_jobs_run_first_and_equally_urgent_ones_in_order() {
    async fn note(cx: &mut Context, priority: i16, number: usize) -> Result<(), BoxError> {
        let order = cx.state::<Arc<Mutex<Vec<(i16, usize)>>>>()?;
        order.lock().unwrap().push((priority, number));
        Ok(())
    }
    let url = server::fresh_database().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let priorities = [5, -3, 0, i16::MAX, 5, i16::MIN, 0];
    let calls: Vec<_> = (0..210)
        .map(|number| (priorities[number % priorities.len()], number))
        .collect();
    let call =
        |(priority, number): &(i16, usize)| call!(note(*priority, *number)).priority(*priority);
    client.enqueue_many(calls.iter().map(call)).await.unwrap();

    let order = Arc::new(Mutex::new(Vec::<(i16, usize)>::new()));
    let queue = sharing(Queue::new("default").workers(1), &order);
    let board = board_at(&url, |b| b.queue(queue).functions(functions![note])).await;
    eventually("all are completed", || async {
        (board.counts().completed == 210).then_some(())
    })
    .await;
    let mut expected = calls;
    expected.sort_unstable();
    assert_eq!(*order.lock().unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_only_names_enqueues_what_a_board_runs() {
    let url = server::fresh_database().await;
    let _board = board_at(&url, |b| {
        b.queue(Queue::new("default")).functions(functions![add])
    })
    .await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let kind = call!(add(0, 0)).kind().to_owned();
    let id = client.enqueue(Call::named(kind, &(20_i64, 3_i64))).await;
    let job = until_state(&client, id.unwrap(), JobState::Completed).await;
    assert_eq!(job.output, Some(json!(23)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_no_node_knows_waits_and_is_visible() {
    let url = server::fresh_database().await;
    let board = board_at(&url, |b| {
        b.queue(Queue::new("default")).functions(functions![add])
    })
    .await;
    let client = board.client();
    let unknown = client
        .enqueue(Call::named("test.unknown", &()))
        .await
        .unwrap();
    // The queue goes on: a job behind the unknown one runs.
    let known = client.enqueue(call!(add(1, 1))).await.unwrap();
    until_state(client, known, JobState::Completed).await;
    let job = client.job(unknown).await.unwrap().unwrap();
    assert_eq!((job.state, job.attempt.as_i32()), (JobState::Available, 0));
    let queues = client.queues().await.unwrap();
    let queue = queues
        .iter()
        .find(|queue| queue.queue == "default")
        .unwrap();
    assert_eq!(queue.unserved_kinds, ["test.unknown"]);
    assert_eq!((queue.available, queue.nodes), (1, 1));

    async fn late() {}
    let alias = callboard::function!(late).alias("test.unknown");
    let knows = board_at(&url, |b| b.queue(Queue::new("default")).handler(alias)).await;
    let job = until_state(client, unknown, JobState::Completed).await;
    assert_eq!(job.node, Some(knows.node()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_no_node_serves_is_visible() {
    let board = board(|b| b.queue(Queue::new("served")).functions(functions![add])).await;
    let call = call!(add(1, 1)).queue("nobody");
    board.client().enqueue(call).await.unwrap();
    let queues = board.client().queues().await.unwrap();
    let of: Vec<_> = queues
        .iter()
        .map(|queue| (queue.queue.as_str(), queue.available, queue.nodes))
        .collect();
    assert_eq!(of, [("nobody", 1, 0), ("served", 0, 1)]);
    assert!(queues[0].oldest.is_some());
}
