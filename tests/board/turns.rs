//! Ordering keys: whatever ends a job or keeps it, the next of its key begins when it may, and no earlier.
//!
//! The queues here never poll, so every turn is told of.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use callboard::job::Backoff;
use callboard::store::{Cancelled, DeadFilter};
use callboard::testing::Proxy;
use callboard::{Board, BoxError, Call, Context, JobId, JobState, Queue, call, functions};
use diesel_async::{AsyncConnection, AsyncPgConnection};

use crate::support::acts::{hold, note, open_gate, stage, until_ran};
use crate::support::child::Plan;
use crate::support::script::{Script, Step};
use crate::support::{
    board_at, database_at, eventually, server, sharing, sql, sql::number, until_confirmed,
    until_state,
};

const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

fn script<const N: usize>(steps: [Step; N]) -> Call {
    Call::from(Script(steps.into())).ordering_key("a")
}

async fn scripts(url: &str) -> Board {
    let queue = Queue::new("default").workers(4).poll_every(NEVER);
    let queue = queue.cancel_grace(Duration::from_millis(100));
    board_at(url, |board| {
        board
            .lease(Duration::from_secs(2))
            .sweep_every(Duration::from_millis(100))
            .queue(queue)
            .job::<Script>()
    })
    .await
}

/// A job that ends as it may, and one behind it that is done at once.
async fn pair(board: &Board, head: Call) -> (JobId, JobId) {
    let calls = [head, script([Step::Complete])];
    let jobs = board.client().enqueue_many(calls).await.unwrap();
    (jobs[0], jobs[1])
}

async fn is_waiting(board: &Board, behind: JobId) {
    let job = board.client().job(behind).await.unwrap().unwrap();
    let stands = (job.state, job.attempt.as_i32(), job.is_behind);
    assert_eq!(stands, (JobState::Available, 0, true));
}

async fn ends(board: &Board, job: JobId, state: JobState) {
    until_state(board.client(), job, state).await;
}

#[tokio::test]
async fn a_job_that_snoozes_or_is_retried_at_once_stays_before_the_next() {
    let board = scripts(&server::fresh_database().await).await;
    let steps = [
        Step::Fail("not yet".into()),
        Step::Panic("nor now".into()),
        Step::Snooze(Duration::from_millis(100)),
        Step::CompleteWith("at last".into()),
    ];
    let (head, behind) = pair(&board, script(steps)).await;
    ends(&board, behind, JobState::Completed).await;
    let read = async |job| board.client().job(job).await.unwrap().unwrap();
    let (head, behind) = (read(head).await, read(behind).await);
    assert_eq!(
        (head.state, head.attempt.as_i32()),
        (JobState::Completed, 4)
    );
    assert!(
        head.finished_at < behind.attempted_at,
        "{head:?} {behind:?}"
    );
}

#[tokio::test]
async fn a_job_that_waits_for_its_time_keeps_those_behind_it_waiting_and_shows_them() {
    let board = scripts(&server::fresh_database().await).await;
    let client = board.client();
    let later = script([Step::Complete]).run_in(Duration::from_secs(3600));
    let (head, behind) = pair(&board, later).await;
    let beside = script([Step::Complete]).ordering_key("b");
    let beside = client.enqueue(beside).await.unwrap();
    ends(&board, beside, JobState::Completed).await;
    is_waiting(&board, behind).await;
    let queues = client.queues().await.unwrap();
    let counts = queues.iter().map(|q| (q.available, q.waiting, q.behind));
    assert_eq!(counts.collect::<Vec<_>>(), [(0, 1, 1)]);

    assert_eq!(client.cancel(head).await.unwrap(), Cancelled::AtOnce);
    ends(&board, behind, JobState::Completed).await;
}

#[tokio::test]
async fn a_running_job_that_is_cancelled_lets_the_next_go_on() {
    let board = scripts(&server::fresh_database().await).await;
    let (head, behind) = pair(&board, script([Step::Hang])).await;
    ends(&board, head, JobState::Executing).await;
    is_waiting(&board, behind).await;
    assert_eq!(board.client().cancel(head).await.unwrap(), Cancelled::Asked);
    ends(&board, behind, JobState::Completed).await;
}

#[tokio::test]
async fn a_cancelled_job_in_the_middle_leaves_the_line_in_order() {
    let board = scripts(&server::fresh_database().await).await;
    let client = board.client();
    let later = script([Step::Complete]).run_in(Duration::from_secs(3600));
    let (head, middle) = pair(&board, later).await;
    let last = client.enqueue(script([Step::Complete])).await.unwrap();
    assert_eq!(client.cancel(middle).await.unwrap(), Cancelled::AtOnce);
    is_waiting(&board, last).await;
    client.cancel(head).await.unwrap();
    ends(&board, last, JobState::Completed).await;
}

#[tokio::test]
async fn dead_jobs_of_a_key_that_are_requeued_run_one_after_the_other() {
    let board = scripts(&server::fresh_database().await).await;
    let bury = || script([Step::Bury("no use".into()), Step::Complete]);
    let calls: Vec<_> = (0..5).map(|_| bury()).collect();
    let jobs = board.client().enqueue_many(calls).await.unwrap();
    for job in &jobs {
        ends(&board, *job, JobState::Dead).await;
    }
    let requeued = board.client().requeue_all(DeadFilter::all()).await;
    assert_eq!(requeued.unwrap(), 5);
    let mut last = None;
    for job in jobs {
        let job = until_state(board.client(), job, JobState::Completed).await;
        assert!(job.attempted_at > last, "{job:?} before {last:?}");
        last = job.finished_at;
    }
}

#[tokio::test]
async fn a_quarantined_job_lets_the_next_go_on() {
    let url = server::fresh_database().await;
    let board = scripts(&url).await;
    let later = script([Step::Complete]).run_in(Duration::from_secs(3600));
    let (head, behind) = pair(&board, later).await;
    let rows = sql::connect(&url).await;
    // It was claimed by a node whose lease ran out, and has taken others down before.
    let dead = format!(
        "insert into callboard.nodes (id, lease_until, name, version, queues, kinds) \
         values (7, now() - interval '1 minute', 'gone', '0', '{{}}', '{{}}'); \
         update callboard.jobs set state = 'executing', is_ready = true, has_turn = true, attempt = 1, node = 7, \
                due_at = null, deaths = 99 \
          where id = {}",
        head.as_i64()
    );
    rows.batch_execute(&dead).await.unwrap();
    ends(&board, head, JobState::Dead).await;
    ends(&board, behind, JobState::Completed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_killed_process_waits_until_its_job_was_taken_back_and_is_done() {
    let (url, rows) = stage().await;
    let plan = Plan {
        lease: Duration::from_secs(60),
        ..Plan::new(&url)
    };
    let mut node = plan.spawn().await;
    let client = callboard::Client::connect(database_at(&url)).await.unwrap();
    let calls = [
        call!(hold()).ordering_key("a"),
        call!(note()).ordering_key("a"),
    ];
    let jobs = client.enqueue_many(calls).await.unwrap();
    until_ran(&rows, 1).await;
    let board = Plan::new(&url).start().await;
    node.kill().await;
    until_ran(&rows, 2).await;
    is_waiting(&board, jobs[1]).await;
    open_gate(&rows, 2).await;
    ends(&board, jobs[1], JobState::Completed).await;
    let head = client.job(jobs[0]).await.unwrap().unwrap();
    assert_eq!(
        (head.state, head.attempt.as_i32()),
        (JobState::Completed, 2)
    );
    assert_eq!(number(&rows, "select count(*) from ran").await, 3);
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_a_shutdown_interrupts_is_still_the_first_of_its_key() {
    let (url, rows) = stage().await;
    let plan = Plan {
        grace: Duration::ZERO,
        max_demand: 10,
        ..Plan::new(&url)
    };
    let first = plan.start().await;
    let calls = [
        call!(hold()).ordering_key("a"),
        call!(note()).ordering_key("a"),
    ];
    let jobs = first.client().enqueue_many(calls).await.unwrap();
    until_ran(&rows, 1).await;
    first.shutdown().await.unwrap();
    let waiting = "select count(*) from callboard.jobs where state = 'available'";
    // Told to stop, the handler was done all the same; or it was interrupted. The next never began.
    assert!(number(&rows, waiting).await >= 1);
    open_gate(&rows, 2).await;
    let second = plan.start().await;
    ends(&second, jobs[1], JobState::Completed).await;
    let last = "select job from ran order by ctid desc limit 1";
    assert_eq!(number(&rows, last).await, jobs[1].as_i64());
    second.shutdown().await.unwrap();
}

/// Runs a line of jobs through a proxy that breaks a connection after a statement was sent.
async fn line_survives(statement: &str, times: u32) {
    let url = server::fresh_database().await;
    let proxy = Proxy::start(&url).unwrap();
    let board = scripts(proxy.url()).await;
    let warm = pair(&board, script([Step::Complete])).await;
    ends(&board, warm.1, JobState::Completed).await;
    proxy.lose_answers_to(statement, times);
    let calls: Vec<_> = (0..10).map(|_| script([Step::Complete])).collect();
    let jobs = board.client().enqueue_many(calls).await.unwrap();
    let mut last = None;
    for job in jobs {
        let job = until_state(board.client(), job, JobState::Completed).await;
        assert!(job.attempted_at > last, "{job:?} before {last:?}");
        assert_eq!((job.attempt.as_i32(), job.errors.len()), (1, 0));
        last = job.finished_at;
    }
    assert_eq!(proxy.lost_answers(), times);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_answer_is_lost_keeps_the_order() {
    line_survives("set state = 'executing'", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_confirmation_is_lost_keeps_the_order() {
    line_survives("'completed', queue, kind, errors from ended", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_whose_answer_is_lost_is_taken() {
    line_survives("set is_behind = false", 1).await;
}

/// Keeps its queue busy until it is told to stop.
async fn again(cx: &mut Context) -> Result<(), BoxError> {
    if cx.state::<Arc<AtomicBool>>()?.load(Ordering::SeqCst) {
        cx.client().enqueue(call!(again())).await?;
    }
    Ok(())
}

async fn step(_cx: &mut Context) {}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_goes_on_in_a_queue_that_always_has_younger_work() {
    let is_busy = Arc::new(AtomicBool::new(true));
    let url = server::fresh_database().await;
    let board = board_at(&url, |board| {
        let queue = Queue::new("default").workers(4);
        board
            .queue(sharing(queue, &is_busy))
            .functions(functions![again, step])
    })
    .await;
    let line = (0..30).map(|_| call!(step()).ordering_key("a"));
    let line = board.client().enqueue_many(line).await.unwrap();
    let others = (0..300).map(|_| call!(again()));
    board.client().enqueue_many(others).await.unwrap();
    ends(&board, line[29], JobState::Completed).await;
    is_busy.store(false, Ordering::SeqCst);
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_of_many_strangers_neither_deadlock_nor_lose_a_turn() {
    const KEYS: u64 = 5;
    let url = server::fresh_database().await;
    let plan = |board: callboard::board::Builder| {
        board
            .queue(Queue::new("default").workers(4))
            .functions(functions![step])
    };
    let (first, second) = tokio::join!(board_at(&url, plan), board_at(&url, plan));
    let strangers = (0..6_u64).map(|stranger| {
        let (url, client) = (url.clone(), first.client().clone());
        tokio::spawn(async move {
            let mut connection: AsyncPgConnection = database_at(&url).connect().await.unwrap();
            for round in 0..20 {
                let keys = (0..KEYS).map(|n| (n * (stranger + 1) + round) % KEYS);
                let calls: Vec<_> = keys
                    .map(|key| call!(step()).ordering_key(key.to_string()))
                    .collect();
                let done = connection.transaction(async |tx| -> Result<(), BoxError> {
                    for call in calls {
                        client.enqueue_in(&mut *tx, call).await?;
                    }
                    Ok(())
                });
                done.await.unwrap();
            }
        })
    });
    for stranger in strangers.collect::<Vec<_>>() {
        stranger.await.unwrap();
    }
    let rows = sql::connect(&url).await;
    eventually("all are done", || async {
        let left = number(&rows, "select count(*) from callboard.jobs").await;
        (left == 0).then_some(())
    })
    .await;
    let done =
        "select count(*) from callboard.finished_jobs where state = 'completed' and attempt = 1";
    assert_eq!(number(&rows, done).await, 6 * 20 * KEYS as i64);
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    assert_eq!(number(&rows, deadlocks).await, 0);
    for board in [first, second] {
        board.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_line_behind_a_slow_retry_leaves_nothing_in_hand() {
    let board = scripts(&server::fresh_database().await).await;
    let slowly = script([Step::Fail("not today".into())]).backoff(Backoff::constant(NEVER));
    let (head, behind) = pair(&board, slowly).await;
    ends(&board, head, JobState::Retryable).await;
    until_confirmed(&board).await;
    is_waiting(&board, behind).await;
}
