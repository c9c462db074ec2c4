//! Which jobs have arrived at their handler. What the no-op handler of every system does is [`note`].
//!
//! A static, because a process runs one trial, and so that no system pays for its own way of handing state to handlers.
//! A job that arrives twice counts once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::payload::Payload;

/// A bit a job.
static SEEN: OnceLock<Box<[AtomicU64]>> = OnceLock::new();
static COUNT: AtomicU64 = AtomicU64::new(0);
static INSTANTS: OnceLock<UnboundedSender<Instant>> = OnceLock::new();

/// Makes room for so many jobs. Call once, before the workers start.
pub(crate) fn expect(jobs: u64) {
    let words = (0..jobs.div_ceil(64)).map(|_| AtomicU64::new(0));
    if SEEN.set(words.collect()).is_err() {
        unreachable!("a process runs one trial");
    }
}

/// From now on the instant of every arrival can be received.
pub(crate) fn instants() -> UnboundedReceiver<Instant> {
    let (sender, receiver) = unbounded_channel();
    if INSTANTS.set(sender).is_err() {
        unreachable!("a process runs one trial");
    }
    receiver
}

/// A job is at its handler.
pub(crate) fn note(payload: &Payload) {
    let bit = 1 << (payload.number % 64);
    let word = SEEN
        .get()
        .and_then(|seen| seen.get((payload.number / 64) as usize));
    if let Some(word) = word
        && word.fetch_or(bit, Ordering::Relaxed) & bit == 0
    {
        COUNT.fetch_add(1, Ordering::Relaxed);
        if let Some(instants) = INSTANTS.get() {
            // The other end is gone when the trial is over, and then nobody asks.
            let _ = instants.send(Instant::now());
        }
    }
}

/// Waits until so many jobs have arrived.
pub(crate) async fn all(jobs: u64) {
    while COUNT.load(Ordering::Relaxed) < jobs {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
