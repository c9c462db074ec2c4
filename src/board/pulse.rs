//! The timer of an actor that works now and then: at most one tick is on its way, and the earliest
//! wins.

use std::time::{Duration, Instant};

use ractor::{ActorRef, Message};

/// A tick that is due, if it still is the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tick(u64);

#[derive(Debug, Default)]
pub(super) struct Pulse {
    current: u64,
    due: Option<Instant>,
}

impl Pulse {
    /// Sends a tick after `wait`, unless one comes earlier.
    pub(super) fn tick_in<M: Message>(
        &mut self,
        wait: Duration,
        actor: &ActorRef<M>,
        message: impl Fn(Tick) -> M + Send + 'static,
    ) {
        let due = Instant::now() + wait;
        if self.due.is_some_and(|earlier| earlier <= due) {
            return;
        }
        self.due = Some(due);
        self.current += 1;
        let tick = Tick(self.current);
        if wait.is_zero() {
            // An actor that is gone needs no tick.
            let _gone = actor.cast(message(tick));
        } else {
            drop(actor.send_after(wait, move || message(tick)));
        }
    }

    /// Whether this tick is the current one; then it is spent.
    pub(super) fn is_current(&mut self, tick: Tick) -> bool {
        let is_current = tick.0 == self.current && self.due.is_some();
        if is_current {
            self.due = None;
        }
        is_current
    }
}
