//! Asks that are lent to one enqueue.
//!
//! A loan is an owned value: however it ends, its asks return. One that ends after its statement was sent, and without
//! an answer, leaves a doubt: jobs may be this node's by their rows that nobody here holds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Asks, Birth, patience};
use crate::store::ClaimedJob;

/// Asks that are lent to one enqueue.
#[must_use = "the asks return at once"]
pub(crate) struct Loan {
    asks: Arc<Asks>,
    count: u32,
    since: Instant,
    /// Its statement was sent, and there is no answer.
    is_sent: bool,
}

impl Loan {
    pub(super) fn new(asks: Arc<Asks>, count: u32) -> Self {
        Self {
            asks,
            count,
            since: Instant::now(),
            is_sent: false,
        }
    }

    pub(in crate::client) fn asks(&self) -> &Asks {
        &self.asks
    }

    pub(in crate::client) fn count(&self) -> u32 {
        self.count
    }

    /// How long it has been out.
    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Returns all but so many.
    pub(in crate::client) fn keep(&mut self, count: u32) {
        let kept = self.count.min(count);
        self.asks.lock().lent -= self.count - kept;
        self.count = kept;
    }

    /// Its statement is sent now.
    pub(in crate::client) fn sent(mut self) -> Self {
        self.is_sent = true;
        self
    }

    pub(in crate::client) fn end(mut self, born: Vec<ClaimedJob>) {
        self.is_sent = false;
        if born.is_empty() {
            // Others wait, which come from elsewhere.
            self.asks.lock().rest.begin(patience(self.count));
            return;
        }
        self.asks.lock().rest.forget();
        let asks = Arc::clone(&self.asks);
        asks.recipient.hear(Birth::Born(born, self));
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        {
            let mut standing = self.asks.lock();
            standing.lent -= self.count;
            standing.loans -= 1;
        }
        if self.is_sent {
            self.asks.recipient.hear(Birth::InDoubt);
        }
        self.asks.recipient.returned();
    }
}

impl fmt::Debug for Loan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loan")
            .field("queue", &self.asks.queue)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}
