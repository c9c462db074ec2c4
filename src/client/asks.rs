//! The asks of one queue that wait for jobs here. Some may be lent to an enqueue, as a [`Loan`].
//!
//! While a claim is in flight nothing is lent, and what is inserted then waits for a claim, whose flight meets the
//! next enqueue, and so on: one producer and quick workers would never come back to births. So an enqueue of
//! many calls waits for a claim that is likely to leave nobody waiting, about as long as it takes itself
//! at most. If that was in vain, none waits for a while.

mod loan;
mod rest;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

pub(crate) use loan::Loan;
use rest::Rest;

use crate::job::{NodeId, Repertoire};
use crate::store::ClaimedJob;

/// How long an enqueue waits for a claim at most, for each of its calls: about twice what it takes to insert one.
const PATIENCE: Duration = Duration::from_micros(10);
/// Timers are not exact enough to wait for less.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// What a queue is told of its births.
pub(crate) enum Birth {
    /// These jobs are this node's. The loan ends when they are taken in.
    Born(Vec<ClaimedJob>, Loan),
    /// Some may be this node's by their rows, and nobody knows them.
    InDoubt,
}

/// How many jobs would be claimed if there were any, with those that are lent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Offer {
    #[default]
    Nothing,
    Now(u32),
    /// When the claim has come back that is in flight.
    Soon(u32),
}

/// Who serves a queue here, and is handed what is born for it.
pub(crate) trait Recipient: Send + Sync {
    /// Asks of the queue are lent, and may become births, until they have [returned](Self::returned).
    fn lent(&self);

    /// What they brought is in its hands.
    fn returned(&self);

    /// What may be born at the moment. Asked when the asks are lent.
    fn kinds(&self) -> Arc<Repertoire>;

    /// Hears of a birth. It must not wait.
    fn hear(&self, birth: Birth);
}

/// The asks of one queue. They outlive its fetcher, as loans do.
pub(crate) struct Asks {
    pub(super) queue: Arc<str>,
    pub(super) node: NodeId,
    recipient: Box<dyn Recipient>,
    standing: Mutex<Standing>,
    offered: Notify,
}

#[derive(Debug, Default)]
struct Standing {
    offer: Offer,
    lent: u32,
    loans: u32,
    is_closed: bool,
    /// No enqueue waits meanwhile.
    rest: Rest,
}

impl Asks {
    pub(super) fn new(
        queue: &Arc<str>,
        node: NodeId,
        recipient: impl Recipient + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            queue: Arc::clone(queue),
            node,
            recipient: Box::new(recipient),
            standing: Mutex::default(),
            offered: Notify::new(),
        })
    }

    pub(crate) fn offer(&self, offer: Offer) {
        let is_any = {
            let mut standing = self.lock();
            standing.offer = offer;
            standing.room() > 0
        };
        if is_any {
            self.offered.notify_waiters();
        }
    }

    /// Lends nothing any more.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
    }

    pub(super) fn kinds(&self) -> Arc<Repertoire> {
        self.recipient.kinds()
    }

    /// How many are lent.
    pub(crate) fn lent(&self) -> u32 {
        self.lock().lent
    }

    /// Whether any loan is out.
    pub(crate) fn is_lent(&self) -> bool {
        self.lock().loans > 0
    }

    /// How many can be lent.
    pub(super) fn room(&self) -> u32 {
        self.lock().room()
    }

    /// Waits for the claim that is in flight, if an enqueue of so many calls may well do without one then.
    pub(super) async fn come_soon(&self, calls: usize) {
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        let patience = patience(calls);
        if patience < SHORTEST_WAIT || !self.lock().is_worth_a_wait(calls) {
            return;
        }
        let come = async {
            loop {
                let offered = self.offered.notified();
                if self.room() > 0 {
                    return;
                }
                offered.await;
            }
        };
        if timeout(patience, come).await.is_err() {
            self.lock().rest.begin(patience);
        }
    }

    pub(super) fn lend(self: &Arc<Self>, most: u32) -> Option<Loan> {
        let count = {
            let mut standing = self.lock();
            let count = most.min(standing.room());
            if count == 0 {
                return None;
            }
            standing.lent += count;
            standing.loans += 1;
            // As one with the look whether it is closed: who closes it waits for this.
            self.recipient.lent();
            count
        };
        Some(Loan::new(Arc::clone(self), count))
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        // Nothing panics while it holds the lock.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long an enqueue of so many calls waits at most.
fn patience(calls: u32) -> Duration {
    PATIENCE.saturating_mul(calls)
}

impl Standing {
    fn room(&self) -> u32 {
        match self.offer {
            Offer::Now(jobs) if !self.is_closed => jobs.saturating_sub(self.lent),
            _ => 0,
        }
    }

    /// Whether most of so many calls may be born soon, as it looks.
    fn is_worth_a_wait(&self, calls: u32) -> bool {
        match self.offer {
            Offer::Soon(jobs) if !self.is_closed => {
                !self.rest.is_on() && jobs.saturating_sub(self.lent) >= calls.div_ceil(2)
            }
            _ => false,
        }
    }
}

impl fmt::Debug for Asks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asks")
            .field("queue", &self.queue)
            .field("standing", &*self.lock())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::Instant;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[derive(Clone, Default)]
    struct Counting {
        doubts: Arc<AtomicU32>,
        out: Arc<AtomicU32>,
    }

    impl Recipient for Counting {
        fn lent(&self) {
            self.out.fetch_add(1, Ordering::Relaxed);
        }

        fn returned(&self) {
            self.out.fetch_sub(1, Ordering::Relaxed);
        }

        fn kinds(&self) -> Arc<Repertoire> {
            Arc::default()
        }

        fn hear(&self, birth: Birth) {
            if matches!(birth, Birth::InDoubt) {
                self.doubts.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn asks() -> (Arc<Asks>, Counting) {
        let counting = Counting::default();
        let (queue, node) = ("default".into(), NodeId::from_i64(1));
        (Asks::new(&queue, node, counting.clone()), counting)
    }

    #[test]
    fn no_more_is_lent_than_is_offered_and_what_ends_returns() {
        let (asks, counting) = asks();
        assert!(asks.lend(5).is_none());
        asks.offer(Offer::Now(3));
        let first = asks.lend(2).expect("three are offered");
        let second = asks.lend(5).expect("one is left");
        assert_eq!((second.count(), asks.lent()), (1, 3));
        assert!(asks.lend(1).is_none());
        asks.offer(Offer::Soon(9));
        drop(first);
        assert!(asks.is_lent());
        assert!(asks.lend(1).is_none(), "nothing is offered any more");
        assert_eq!(counting.out.load(Ordering::Relaxed), 1);
        second.end(Vec::new());
        assert!(!asks.is_lent());
        assert_eq!(counting.out.load(Ordering::Relaxed), 0);
        assert_eq!(counting.doubts.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_loan_that_was_sent_and_has_no_answer_leaves_a_doubt() {
        let (asks, counting) = asks();
        asks.offer(Offer::Now(1));
        drop(asks.lend(1).expect("one is offered").sent());
        assert_eq!(counting.doubts.load(Ordering::Relaxed), 1);
        asks.close();
        assert!(asks.lend(1).is_none(), "a closed board lends nothing");
    }

    #[test]
    fn what_a_loan_does_not_need_returns_at_once() {
        let (asks, _) = asks();
        asks.offer(Offer::Now(5));
        let mut loan = asks.lend(4).expect("five are offered");
        loan.keep(9);
        assert_eq!((loan.count(), asks.lent()), (4, 4));
        loan.keep(1);
        assert_eq!((loan.count(), asks.lent()), (1, 1));
        drop(loan);
        assert_eq!(asks.lent(), 0);
    }

    /// How long an enqueue of so many calls waits, if the claim comes back after this time.
    async fn waits(asks: &Arc<Asks>, calls: usize, claim: Duration) -> Duration {
        let fetcher = Arc::clone(asks);
        let claim = tokio::spawn(async move {
            tokio::time::sleep(claim).await;
            fetcher.offer(Offer::Now(1_000));
        });
        let since = Instant::now();
        asks.come_soon(calls).await;
        let waited = since.elapsed();
        claim.await.expect("it has no panic");
        waited
    }

    #[tokio::test(start_paused = true)]
    async fn an_enqueue_of_many_calls_waits_for_a_claim_that_may_leave_nobody_waiting() {
        let (asks, _) = asks();
        assert_eq!(waits(&asks, 1_000, 3 * MS).await, Duration::ZERO);
        asks.offer(Offer::Soon(500));
        assert_eq!(waits(&asks, 1_000, 3 * MS).await, 3 * MS);
        assert_eq!(
            waits(&asks, 1_000, 3 * MS).await,
            Duration::ZERO,
            "{asks:?}"
        );
        asks.offer(Offer::Soon(499));
        assert_eq!(waits(&asks, 1_000, 3 * MS).await, Duration::ZERO, "too few");
        asks.offer(Offer::Soon(500));
        assert_eq!(
            waits(&asks, 99, 3 * MS).await,
            Duration::ZERO,
            "it is quick"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_lent_already_is_not_worth_a_wait() {
        let (asks, _) = asks();
        asks.offer(Offer::Now(600));
        let _loan = asks.lend(200).expect("600 are offered");
        asks.offer(Offer::Soon(600));
        assert_eq!(waits(&asks, 1_000, 3 * MS).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn none_waits_for_a_while_when_it_was_in_vain() {
        let (asks, _) = asks();
        let waited = async |after: Duration| {
            tokio::time::advance(after).await;
            asks.offer(Offer::Soon(1_000));
            let since = Instant::now();
            asks.come_soon(1_000).await;
            since.elapsed()
        };
        assert_eq!(waited(MS).await, 10 * MS);
        assert_eq!(waited(79 * MS).await, Duration::ZERO);
        assert_eq!(waited(MS).await, 10 * MS);
    }

    #[tokio::test(start_paused = true)]
    async fn none_waits_for_a_while_when_nothing_was_born_for_others_were_before() {
        let (asks, _) = asks();
        asks.offer(Offer::Now(1_000));
        let loan = asks.lend(1_000).expect("1,000 are offered");
        loan.end(Vec::new());
        asks.offer(Offer::Soon(1_000));
        assert_eq!(waits(&asks, 1_000, 3 * MS).await, Duration::ZERO);
    }
}
