//! How do metrics, notifications and an audit follow one queue, and who may slow it down?
//!
//! What becomes of every attempt is a broadcast: `Builder::attempts`. Three observers subscribe side by
//! side, as children of the board:
//!
//! - `metrics` counts everything it can keep up with, and is told how many it missed;
//! - `notifier` selects the jobs that were given up;
//! - `audit` wants every single one, at its own slow pace: it sets the pace of the broadcast, and of nothing
//!   else, until some twenty thousand wait for it.

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use callboard::job::Transition;
use callboard::queue::Attempted;
use callboard::stage::{
    self, Cancel, Consumer, Inlets, StageInfo, StageResult, SubscribeOptions, WhenBehind,
};
use callboard::{Board, BoxError, Database, Queue, call, functions};

mod support;

const JOBS: u64 = 2_000;

/// Every five hundredth fails.
async fn work(number: u64) -> Result<(), BoxError> {
    match number % 500 {
        499 => Err(format!("number {number} is beyond me").into()),
        _ => Ok(()),
    }
}

/// Counts, and takes its time about it.
struct Metrics(Arc<Seen>);

#[derive(Default)]
struct Seen {
    attempts: AtomicU64,
    missed: AtomicU64,
    audited: AtomicU64,
}

impl Consumer for Metrics {
    type Event = Attempted;
    type Message = Infallible;

    async fn consume(
        &mut self,
        attempts: Vec<Attempted>,
        inlets: &mut Inlets<Attempted>,
    ) -> StageResult {
        let seen = &self.0;
        seen.attempts
            .fetch_add(attempts.len() as u64, Ordering::Relaxed);
        if let Some(inlet) = inlets.from() {
            seen.missed.store(inlets.missed(inlet), Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(())
    }
}

/// Tells somebody of every job that was given up.
struct Notifier;

impl Consumer for Notifier {
    type Event = Attempted;
    type Message = Infallible;

    async fn consume(
        &mut self,
        attempts: Vec<Attempted>,
        _: &mut Inlets<Attempted>,
    ) -> StageResult {
        for attempted in attempts {
            if let Transition::Bury { failure, .. } = &attempted.transition {
                println!(
                    "notifier: job {} was given up: {}",
                    attempted.job, failure.message
                );
            }
        }
        Ok(())
    }
}

/// Writes down every single one, slowly.
struct Audit(Arc<Seen>);

impl Consumer for Audit {
    type Event = Attempted;
    type Message = Infallible;

    async fn consume(
        &mut self,
        attempts: Vec<Attempted>,
        _: &mut Inlets<Attempted>,
    ) -> StageResult {
        tokio::time::sleep(Duration::from_millis(10)).await;
        self.0
            .audited
            .fetch_add(attempts.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    support::run(example()).await
}

async fn example() -> Result<(), BoxError> {
    let seen = Arc::new(Seen::default());
    let board = Board::builder(Database::from_env_or_embedded().await?)
        .queue(Queue::new("default").workers(4))
        .functions(functions![work]);
    let board = observed(board, &seen).start().await?;
    let begun = Instant::now();
    let calls = (0..JOBS).map(|number| call!(work(number)).max_attempts(1));
    let jobs = board.client().enqueue_many(calls).await?;
    support::until_ended(board.client(), &jobs).await?;
    println!(
        "{JOBS} jobs have ended after {} ms",
        begun.elapsed().as_millis()
    );
    let snapshot = board.supervisor().snapshot();
    let stage = snapshot.find(&["attempts"]).ok_or("the board runs")?;
    if let Some(info) = StageInfo::of(&stage.info) {
        println!("by then: {info}");
    }
    while seen.audited.load(Ordering::Relaxed) < JOBS {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "audit: all {JOBS}, after {} ms",
        begun.elapsed().as_millis()
    );
    println!(
        "metrics: {} seen; {} missed by the time of the last",
        read(&seen.attempts),
        read(&seen.missed)
    );
    board.shutdown().await?;
    Ok(())
}

/// The three observers as children of the board.
fn observed(board: callboard::board::Builder, seen: &Arc<Seen>) -> callboard::board::Builder {
    let (of_metrics, of_audit) = (Arc::clone(seen), Arc::clone(seen));
    let options = || {
        SubscribeOptions::new()
            .max_demand(50)
            .cancel(Cancel::resubscribe())
    };
    let attempts = board.attempts();
    let metrics = stage::consumer("metrics", move || Metrics(Arc::clone(&of_metrics)))
        .subscribe(attempts.clone(), options().when_behind(WhenBehind::Miss));
    let is_given_up =
        |attempted: &Attempted| matches!(attempted.transition, Transition::Bury { .. });
    let notifier = stage::consumer("notifier", || Notifier)
        .subscribe(attempts.clone(), options().selector(is_given_up));
    let audit = stage::consumer("audit", move || Audit(Arc::clone(&of_audit)))
        .subscribe(attempts, options());
    board
        .child(metrics.child())
        .child(notifier.child())
        .child(audit.child())
}
