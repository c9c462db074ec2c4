//! Handlers that never yield, on every thread of the board's runtime.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

use callboard::queue::Condition;
use callboard::{Board, BoxError, Context, JobState, Queue, call, functions};

use crate::support::{database_at, eventually, server, sharing, sql, sql::number, until_state};

const LEASE: Duration = Duration::from_secs(1);
const THREADS: usize = 2;

#[derive(Clone, Default)]
struct Shared {
    spinning: Arc<Mutex<HashSet<ThreadId>>>,
    is_over: Arc<AtomicBool>,
}

async fn spin(cx: &mut Context) -> Result<(), BoxError> {
    let shared = cx.state::<Shared>()?.clone();
    let thread = std::thread::current().id();
    shared.spinning.lock().unwrap().insert(thread);
    while !shared.is_over.load(Ordering::Relaxed) {
        std::hint::spin_loop();
    }
    Ok(())
}

async fn start(url: &str, shared: &Shared) -> Board {
    let queue = sharing(Queue::new("default").workers(8), shared);
    Board::builder(database_at(url))
        .lease(LEASE)
        .sweep_every(Duration::from_millis(100))
        .queue(queue)
        .functions(functions![spin])
        .start()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_that_spin_on_every_thread_lose_no_lease_and_the_board_says_so() {
    let (url, shared) = (server::fresh_database().await, Shared::default());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .unwrap();
    let starting = (url.clone(), shared.clone());
    let starting = runtime.spawn(async move { start(&starting.0, &starting.1).await });
    let board = starting.await.unwrap();
    // It would take their jobs, if they were taken for dead.
    let neighbour = Board::builder(database_at(&url)).lease(LEASE);
    let neighbour = neighbour.sweep_every(Duration::from_millis(100));
    let neighbour = neighbour.start().await.unwrap();
    let calls = (0..8).map(|_| call!(spin()));
    let ids = neighbour.client().enqueue_many(calls).await.unwrap();
    eventually("a handler spins on every thread", || async {
        (shared.spinning.lock().unwrap().len() == THREADS).then_some(())
    })
    .await;

    let has_run = Arc::new(AtomicBool::new(false));
    let probe = Arc::clone(&has_run);
    let probe = runtime.spawn(async move { probe.store(true, Ordering::SeqCst) });
    let rows = sql::connect(&url).await;
    let lease_until = format!(
        "select (extract(epoch from lease_until) * 1000)::bigint from callboard.nodes where id = {}",
        board.node().as_i64()
    );
    let from = number(&rows, &lease_until).await;
    eventually("five leases have passed", || async {
        let passed = number(&rows, &lease_until).await - from;
        (passed >= 5 * LEASE.as_millis() as i64).then_some(())
    })
    .await;
    let reason = eventually("the board says that its runtime is blocked", || async {
        match board.health().parts.get("runtime")? {
            Condition::Degraded { reason, .. } => Some(reason.clone()),
            _ => None,
        }
    })
    .await;
    assert!(reason.contains("handlers block every thread"), "{reason}");
    assert!(!has_run.load(Ordering::SeqCst), "not every thread spins");

    shared.is_over.store(true, Ordering::SeqCst);
    probe.await.unwrap();
    eventually("the runtime gets on", || async {
        board.health().is_working().then_some(())
    })
    .await;
    for id in ids {
        let job = until_state(neighbour.client(), id, JobState::Completed).await;
        assert_eq!((job.attempt.as_i32(), job.errors.len()), (1, 0));
    }
    assert_eq!(neighbour.counts().rescued, 0);
    assert_eq!(board.counts().refused, 0);
    board.shutdown().await.unwrap();
    neighbour.shutdown().await.unwrap();
    runtime.shutdown_background();
}
