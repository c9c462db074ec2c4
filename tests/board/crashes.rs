//! Panic after panic on one board: every one is recorded, every one costs a worker, and nothing piles up.

use std::time::Duration;

use callboard::{BoxError, Queue, call, functions};

use crate::alone::{resident, run_alone, tasks};
use crate::support::tree::restarts;
use crate::support::{board_at, eventually, server, sql, sql::number};

const WORDS: &str = "as it happens";
const WORKERS: u32 = 8;
const BATCH: u64 = 250;
/// What an allocator may keep for itself.
const ROOM: usize = 48 << 20;

async fn rash() -> Result<(), BoxError> {
    panic!("{WORDS}")
}

async fn panic_often(panics: u64) {
    // So many texts would hide what is worth reading.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload_as_str() != Some(WORDS) {
            usual(info);
        }
    }));
    let url = server::fresh_database().await;
    let board = board_at(&url, |b| {
        b.queue(Queue::new("default").workers(WORKERS))
            .functions(functions![rash])
    })
    .await;
    let mut before = None;
    let batches = panics / BATCH;
    for batch in 1..=batches {
        let calls = (0..BATCH).map(|_| call!(rash()).max_attempts(1));
        board.client().enqueue_many(calls).await.unwrap();
        eventually("the batch has panicked", || async {
            let counts = board.counts();
            (counts.buried == batch * BATCH && counts.in_hand == 0).then_some(())
        })
        .await;
        if batch == batches.div_ceil(5) {
            before = Some((resident(), tasks()));
        }
    }
    let (memory, tasks_before) = before.unwrap();
    assert_eq!(board.counts().panicked, panics);
    eventually("every panic has led to a restart", || async {
        (u64::from(restarts(&board, &["queues"])) == panics).then_some(())
    })
    .await;
    // A few come and go with timers.
    eventually("no task is left over", || async {
        (tasks() <= tasks_before + 10).then_some(())
    })
    .await;
    let grown = resident().saturating_sub(memory);
    println!(
        "{panics} panics: resident {} KiB after a fifth, {} KiB more at the end; {tasks_before} tasks, then {}",
        memory >> 10,
        grown >> 10,
        tasks()
    );
    assert!(grown < ROOM, "{grown} bytes more");
    assert!(board.health().is_working(), "{}", board.health());
    let rows = sql::connect(&url).await;
    let buried = "select count(*) from callboard.dead_letters where reason = 'exhausted'";
    assert_eq!(number(&rows, buried).await, panics as i64);
    tokio::time::timeout(Duration::from_secs(60), board.shutdown())
        .await
        .expect("it ends")
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "in a process of its own, started by the test below"]
async fn a_thousand() {
    panic_often(1_000).await;
}

#[test]
fn a_thousand_panics_cost_as_many_workers_and_leave_nothing_behind() {
    run_alone("crashes::a_thousand");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: cargo test --release --test board a_hundred_thousand -- --ignored --nocapture"]
async fn a_hundred_thousand_panics_cost_as_many_workers_and_leave_nothing_behind() {
    panic_often(100_000).await;
}
