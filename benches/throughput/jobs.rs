//! The jobs that are measured, and the board that runs them.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use callboard::board::Builder;
use callboard::job::Call;
use callboard::{Board, BoxError, Context, Database, call, functions};
use tokio::sync::mpsc::UnboundedSender;

use crate::support::Failed;

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    Nothing,
    /// Sleeps for so many milliseconds.
    Rests(u64),
    /// Nothing, under one of so many limit keys in turn.
    Keyed(usize),
}

/// With its length a payload of 100 bytes.
fn text() -> String {
    "x".repeat(99)
}

/// When the first job began since the last look.
static BEGAN: Mutex<Option<Instant>> = Mutex::new(None);
static HAS_BEGUN: AtomicBool = AtomicBool::new(false);

fn begin() {
    if !HAS_BEGUN.load(Ordering::Relaxed) && !HAS_BEGUN.swap(true, Ordering::Relaxed) {
        *lock() = Some(Instant::now());
    }
}

fn lock() -> MutexGuard<'static, Option<Instant>> {
    BEGAN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When the first job began, and forgets it.
pub(crate) fn began() -> Option<Instant> {
    HAS_BEGUN.store(false, Ordering::Relaxed);
    lock().take()
}

async fn work(_text: String) -> Result<(), Infallible> {
    begin();
    Ok(())
}

async fn rest(ms: u64, _text: String) -> Result<(), Infallible> {
    begin();
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Ok(())
}

async fn mark(cx: &mut Context, _text: String) -> Result<(), BoxError> {
    cx.state::<UnboundedSender<Instant>>()?
        .send(Instant::now())?;
    Ok(())
}

/// A call of a job that does this.
pub(crate) fn call_of(does: Does) -> Call {
    match does {
        Does::Nothing | Does::Keyed(_) => call!(work(text())),
        Does::Rests(ms) => call!(rest(ms, text())),
    }
}

/// The same, of the job with this number among many.
pub(crate) fn numbered(does: Does, number: usize) -> Call {
    match does {
        Does::Keyed(keys) => call_of(does).limit_key(format!("key-{}", number % keys)),
        _ => call_of(does),
    }
}

/// A call that says when it begins.
pub(crate) fn marking() -> Call {
    call!(mark(text()))
}

/// A board that knows these jobs, without queues.
pub(crate) fn board(url: &str) -> Result<Builder, Failed> {
    Ok(Board::builder(Database::from_url(url)?).functions(functions![work, rest, mark]))
}
