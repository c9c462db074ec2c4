//! The classic three: a greeting, a job that fails twice, and one that takes its worker down.

use std::time::Duration;

use callboard::supervision::{EventKind, Subscription};
use callboard::{Board, BoxError, Context, JobState, call};

use super::support::until_ended;

pub(crate) async fn greet(cx: &mut Context, name: String) {
    println!(
        "  greeting   Hello, {name}! This is attempt {} of job {}.",
        cx.attempt(),
        cx.job_id()
    );
}

pub(crate) async fn third_time_lucky(cx: &mut Context) -> Result<(), BoxError> {
    if cx.failures() < 2 {
        println!("  failing    attempt {}: the line is busy", cx.attempt());
        return Err("the line is busy".into());
    }
    println!("  failing    attempt {}: got through", cx.attempt());
    Ok(())
}

pub(crate) async fn burn_once(cx: &mut Context) {
    if cx.failures() == 0 {
        panic!("the toast is burning");
    }
    println!(
        "  panicking  attempt {}: toasted, on a worker with clean state",
        cx.attempt()
    );
}

/// How long the worker that went down was away.
pub(crate) struct Crash {
    pub(crate) worker: String,
    pub(crate) back_after: Duration,
}

/// Runs the three, one after the other.
pub(crate) async fn show(board: &Board) -> Result<Crash, BoxError> {
    println!("\nThe classic three");
    let client = board.client();
    let greeting = call!(greet("world".to_owned())).queue("classics");
    let greeting = client.enqueue(greeting).await?;
    until_ended(client, &[greeting]).await?;

    let failing = client.enqueue(call!(third_time_lucky())).await?;
    until_ended(client, &[failing]).await?;

    println!("  panicking  a panic follows, on purpose, in Rust's own words:");
    let mut events = board.supervisor().events();
    let panicking = client.enqueue(call!(burn_once())).await?;
    let crash = tokio::time::timeout(Duration::from_secs(20), crash(&mut events)).await??;
    until_ended(client, &[panicking]).await?;
    println!(
        "             {} was back after {:.1?}",
        crash.worker, crash.back_after
    );

    for (name, job) in [
        ("greeting", greeting),
        ("failing", failing),
        ("panicking", panicking),
    ] {
        let ended = until_ended(client, &[job]).await?.remove(0);
        if ended.state != JobState::Completed {
            return Err(format!("the {name} job is {}: {:?}", ended.state, ended.errors).into());
        }
    }
    Ok(crash)
}

/// Waits until a worker has gone down and come back.
async fn crash(events: &mut Subscription) -> Result<Crash, BoxError> {
    let mut went_down = None;
    while let Some(event) = events.next().await {
        let event = event?;
        match (event.kind, &went_down) {
            (EventKind::Exited { .. }, None) => went_down = Some((event.path, event.at)),
            (EventKind::Restarted { .. }, Some((path, at))) if *path == event.path => {
                return Ok(Crash {
                    worker: path.id().unwrap_or_default().to_owned(),
                    back_after: event.at.duration_since(*at)?,
                });
            }
            _ => {}
        }
    }
    Err("the supervision tree ended".into())
}
