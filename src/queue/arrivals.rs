//! Where jobs come in that were claimed at birth: leases for the fetcher, whichever one serves the queue.
//!
//! It outlives the fetcher. What comes while there is none is dropped as leases, which are released.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::desk::Desk;
use super::fetcher::FetcherMessage;
use super::lease::Lease;
use super::{AtBirth, Office};
use crate::client::{Asks, Birth, Offer, Recipient};
use crate::job::Repertoire;
use crate::planted::{Bug, planted};
use crate::stage::Mailbox;

/// How long after its own time limits a statement may still be under way.
const SLACK: Duration = Duration::from_secs(2);

/// The births of a queue.
pub(super) struct Arrivals {
    /// None if its jobs are available at birth.
    asks: Option<Arc<Asks>>,
    fetcher: Arc<Mutex<Option<Mailbox<FetcherMessage>>>>,
    settled_after: Duration,
}

/// Takes in what is born, for as long as there is an office.
struct Reception {
    /// It has the register that keeps this.
    office: Weak<Office>,
    desk: Arc<Desk>,
    fetcher: Arc<Mutex<Option<Mailbox<FetcherMessage>>>>,
    settled_after: Duration,
}

impl Arrivals {
    pub(super) fn new(office: &Arc<Office>, desk: &Arc<Desk>) -> Arc<Self> {
        let queue = &desk.queue;
        let fetcher: Arc<Mutex<Option<Mailbox<FetcherMessage>>>> = Arc::default();
        let settled_after = office.store.database().statement_limit() + SLACK;
        let asks = match queue.at_birth {
            AtBirth::Claimed if queue.express.is_none() => {
                let reception = Reception {
                    office: Arc::downgrade(office),
                    desk: Arc::clone(desk),
                    fetcher: Arc::clone(&fetcher),
                    settled_after,
                };
                Some(office.births.of_queue(&queue.name, office.node, reception))
            }
            AtBirth::Claimed | AtBirth::Available => None,
        };
        Arc::new(Self {
            asks,
            fetcher,
            settled_after,
        })
    }

    /// What is born from now on comes to this fetcher.
    pub(super) fn come_to(&self, fetcher: Mailbox<FetcherMessage>) {
        *lock(&self.fetcher) = Some(fetcher);
    }

    /// Says how many asks there are to lend.
    pub(super) fn offer(&self, offer: Offer) {
        if let Some(asks) = &self.asks {
            asks.offer(offer);
        }
    }

    pub(super) fn lent(&self) -> u32 {
        self.asks.as_ref().map_or(0, |asks| asks.lent())
    }

    pub(super) fn is_any_lent(&self) -> bool {
        self.asks.as_ref().is_some_and(|asks| asks.is_lent())
    }

    /// When an enqueue without an answer has come to its end on the server, too.
    pub(super) fn settled_after(&self) -> Duration {
        self.settled_after
    }
}

impl Recipient for Reception {
    fn lent(&self) {
        if let Some(office) = self.office.upgrade() {
            office.custody.send_for(&self.desk.queue.name);
        }
    }

    fn returned(&self) {
        if let Some(office) = self.office.upgrade() {
            office.custody.came(&self.desk.queue.name);
        }
    }

    /// None from the moment of a pause on, although the fetcher takes its offer back only when it hears of that; nor
    /// those that a breaker keeps waiting.
    fn kinds(&self) -> Arc<Repertoire> {
        match self.office.upgrade() {
            Some(office) if self.desk.is_open() => office.breakers.free(),
            _ => Arc::default(),
        }
    }

    fn hear(&self, birth: Birth) {
        // A board that is gone has waited for every birth, or left its place in the list of nodes to those who take
        // its jobs back.
        let Some(office) = self.office.upgrade() else {
            return;
        };
        let queue = &self.desk.queue.name;
        let message = match birth {
            Birth::Born(jobs, loan) => {
                FetcherMessage::Born(Lease::take(jobs, queue, &office, None, None), loan)
            }
            Birth::InDoubt if planted(Bug::ErrorMeansNotCommitted) => return,
            Birth::InDoubt => {
                // The statement may still be under way on the server, so one look is not enough.
                let again_at = Instant::now() + self.settled_after;
                office.custody.doubt(queue, Some(again_at));
                FetcherMessage::LookAfterBirths
            }
        };
        let to = lock(&self.fetcher).clone();
        // If it is gone, the leases are dropped, which releases them; its successor looks after doubts.
        if let Some(to) = to {
            let _gone = to.send(message);
        }
    }
}

fn lock(
    fetcher: &Mutex<Option<Mailbox<FetcherMessage>>>,
) -> std::sync::MutexGuard<'_, Option<Mailbox<FetcherMessage>>> {
    // Nothing panics while it holds the lock.
    fetcher.lock().unwrap_or_else(PoisonError::into_inner)
}
