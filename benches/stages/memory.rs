//! How much memory grows while a consumer is far slower than its producer.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use callboard::stage::{
    self, Cancel, Consumer, Inlets, IterProducer, StageResult, SubscribeOptions,
};
use serde_json::json;

use crate::figure::Failed;

const EVENTS: usize = 200_000;
const BYTES: usize = 1_024;
/// A producer makes a step in well under a tenth of this.
const PAUSE: Duration = Duration::from_millis(5);

/// Takes a pause after each step.
struct Slow;

impl Consumer for Slow {
    type Event = Vec<u8>;
    type Message = Infallible;

    async fn consume(&mut self, events: Vec<Vec<u8>>, _: &mut Inlets<Vec<u8>>) -> StageResult {
        tokio::time::sleep(PAUSE).await;
        drop(events);
        Ok(())
    }
}

/// The most that memory has grown.
pub(crate) struct Growth {
    kib: usize,
    all_kib: usize,
}

pub(crate) async fn of_a_slow_consumer() -> Result<Growth, Failed> {
    let events = || IterProducer::new(std::iter::repeat_with(|| vec![1_u8; BYTES]).take(EVENTS));
    let quick = stage::producer("quick", events);
    let options = SubscribeOptions::new().cancel(Cancel::Permanent);
    let slow = stage::consumer("slow", || Slow).subscribe(quick.source(), options);
    let before = resident()?;
    let (slow, _quick) = (slow.spawn().await?, quick.spawn().await?);
    let mut most = before;
    let ended = slow.ended();
    tokio::pin!(ended);
    loop {
        tokio::select! {
            () = &mut ended => break,
            () = tokio::time::sleep(Duration::from_millis(10)) => most = most.max(resident()?),
        }
    }
    Ok(Growth {
        kib: most - before,
        all_kib: EVENTS * BYTES / 1_024,
    })
}

/// This process's memory, in KiB.
fn resident() -> Result<usize, Failed> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let mut words = line.ok_or("the system does not tell")?.split_whitespace();
    Ok(words.nth(1).ok_or("no number")?.parse()?)
}

impl Growth {
    pub(crate) fn to_json(&self, conditions: &str) -> serde_json::Value {
        json!({
            "system": "callboard", "figure": "memory under a slow consumer",
            "setting": format!("{EVENTS} events of {BYTES} bytes, max_demand 1000, {PAUSE:?} a step"),
            "n": EVENTS, "median": self.kib, "min": self.kib, "max": self.kib, "unit": "KiB",
            "conditions": conditions,
        })
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{EVENTS} events of {BYTES} bytes ({} KiB) through a consumer that pauses {PAUSE:?} after each 500: {} KiB at most",
            self.all_kib, self.kib
        )
    }
}
