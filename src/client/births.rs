//! The asks of this process that wait for jobs, lent to its own enqueues: whoever finds some inserts jobs
//! that are claimed from their birth, without a claim of their own.
//!
//! A fetcher says how many jobs it would claim at the moment if there were any. An enqueue borrows of these,
//! and a [`Loan`] is an owned value: while it is out, the fetcher claims nothing for the same asks, and however
//! it ends they return. A loan that ends after its statement was sent, and without an answer, leaves a doubt:
//! jobs may be this node's by their rows that nobody here holds.
//!
//! Knows no actor: what is born is handed to whoever serves the queue by a function.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::candidates::{Candidates, by_queue};
use crate::Error;
use crate::job::{JobId, NodeId, Repertoire};
use crate::store::{CallRow, ClaimedJob, Enqueued, Store, Wanted};

/// What a queue is told of its births.
pub(crate) enum Birth {
    /// These jobs are this node's. The loan ends when they are taken in.
    Born(Vec<ClaimedJob>, Loan),
    /// Some may be this node's by their rows, and nobody knows them.
    InDoubt,
}

type Told = Box<dyn Fn(Birth) + Send + Sync>;
/// What this node may run at the moment.
type Kinds = Box<dyn Fn() -> Arc<Repertoire> + Send + Sync>;

/// The asks of every queue here. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Births(Arc<Register>);

#[derive(Default)]
struct Register {
    queues: RwLock<HashMap<Arc<str>, Arc<Asks>>>,
    returned: Arc<Notify>,
}

/// The asks of one queue. They outlive its fetcher, as loans do.
pub(crate) struct Asks {
    queue: Arc<str>,
    node: NodeId,
    kinds: Kinds,
    standing: Mutex<Standing>,
    tell: Told,
    returned: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Standing {
    /// How many jobs would be claimed, with those that are lent.
    offered: u32,
    lent: u32,
    loans: u32,
    is_closed: bool,
}

/// Asks that are lent to one enqueue.
#[must_use = "the asks return at once"]
pub(crate) struct Loan {
    asks: Arc<Asks>,
    count: u32,
    since: Instant,
    /// Its statement was sent, and there is no answer.
    is_sent: bool,
}

impl Births {
    /// Lets enqueues ask for the queue's births from now on, in the place of an earlier one of its name.
    /// `tell` hears of them; it must not wait.
    pub(crate) fn of_queue(
        &self,
        queue: &Arc<str>,
        node: NodeId,
        kinds: impl Fn() -> Arc<Repertoire> + Send + Sync + 'static,
        tell: impl Fn(Birth) + Send + Sync + 'static,
    ) -> Arc<Asks> {
        let asks = Arc::new(Asks {
            queue: Arc::clone(queue),
            node,
            kinds: Box::new(kinds),
            standing: Mutex::default(),
            tell: Box::new(tell),
            returned: Arc::clone(&self.0.returned),
        });
        let mut queues = self
            .0
            .queues
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        queues.insert(Arc::clone(queue), Arc::clone(&asks));
        asks
    }

    /// Lends nothing any more.
    pub(crate) fn close(&self) {
        self.each(|asks| asks.lock().is_closed = true);
    }

    /// Whether any asks are lent.
    pub(crate) fn is_any_lent(&self) -> bool {
        let mut is_any = false;
        self.each(|asks| is_any |= asks.is_lent());
        is_any
    }

    /// Waits until nothing is lent. To be called after [`close`](Self::close).
    pub(crate) async fn returned(&self) {
        loop {
            let returned = self.0.returned.notified();
            if !self.is_any_lent() {
                return;
            }
            returned.await;
        }
    }

    fn each(&self, mut of: impl FnMut(&Asks)) {
        let queues = self.0.queues.read().unwrap_or_else(PoisonError::into_inner);
        queues.values().for_each(|asks| of(asks));
    }

    /// Whether anybody here waits for jobs, in whatever queue.
    pub(super) fn is_any_offered(&self) -> bool {
        let mut is_any = false;
        self.each(|asks| is_any |= asks.room() > 0);
        is_any
    }

    /// Inserts these calls in one statement, claimed as far as somebody here waits for them, and hands over
    /// what is born. If it fails, the calls come back.
    ///
    /// Cut off, by the end of its runtime, it leaves a doubt in each queue it has borrowed from.
    pub(super) async fn enqueue(
        &self,
        store: &Store,
        rows: Vec<CallRow>,
    ) -> Result<Written, (Error, Vec<CallRow>)> {
        let mut loans = Vec::new();
        // No sooner than there is a connection: nothing else is claimed for what is lent.
        let want = || {
            let (borrowed, wanted) = self.lend(&rows)?;
            loans = borrowed;
            Some(wanted)
        };
        match store.enqueue_claimed(&rows, want).await {
            Ok(enqueued) => Ok(hand_over(loans, rows, enqueued)),
            Err(error) => Err((error, rows)),
        }
    }

    /// Borrows what is there for these calls, for a statement that is sent now. `None`, mostly without a
    /// look at them, if nobody waits.
    fn lend(&self, rows: &[CallRow]) -> Option<(Vec<Loan>, Wanted)> {
        if !self.is_any_offered() {
            return None;
        }
        let queues = self.0.queues.read().unwrap_or_else(PoisonError::into_inner);
        let (mut loans, mut calls) = (Vec::new(), vec![false; rows.len()]);
        for (queue, places) in by_queue(rows) {
            let Some(asks) = queues.get(queue) else {
                continue;
            };
            let candidates = Candidates::of(rows, places, &(asks.kinds)());
            if let Some(mut loan) = asks.lend(candidates.count()) {
                loan.is_sent = true;
                let lent = candidates.first(loan.count);
                lent.for_each(|place| calls[place] = true);
                loans.push(loan);
            }
        }
        let asks = &loans.first()?.asks;
        let wanted = Wanted {
            node: asks.node,
            kinds: (asks.kinds)(),
            queues: loans
                .iter()
                .map(|loan| Arc::clone(&loan.asks.queue))
                .collect(),
            calls,
        };
        Some((loans, wanted))
    }
}

impl Asks {
    /// So many jobs would be claimed now, with those that are lent, if there were any.
    pub(crate) fn offer(&self, jobs: u32) {
        self.lock().offered = jobs;
    }

    /// How many are lent.
    pub(crate) fn lent(&self) -> u32 {
        self.lock().lent
    }

    /// Whether any loan is out.
    pub(crate) fn is_lent(&self) -> bool {
        self.lock().loans > 0
    }

    fn room(&self) -> u32 {
        self.lock().room()
    }

    fn lend(self: &Arc<Self>, most: u32) -> Option<Loan> {
        let count = {
            let mut standing = self.lock();
            let count = most.min(standing.room());
            if count == 0 {
                return None;
            }
            standing.lent += count;
            standing.loans += 1;
            count
        };
        Some(Loan {
            asks: Arc::clone(self),
            count,
            since: Instant::now(),
            is_sent: false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        // Nothing panics while it holds the lock.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn room(&self) -> u32 {
        match self.is_closed {
            true => 0,
            false => self.offered.saturating_sub(self.lent),
        }
    }
}

impl Loan {
    /// How long it has been out.
    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    fn end(mut self, born: Vec<ClaimedJob>) {
        self.is_sent = false;
        if born.is_empty() {
            return;
        }
        let asks = Arc::clone(&self.asks);
        (asks.tell)(Birth::Born(born, self));
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
            (self.asks.tell)(Birth::InDoubt);
        }
        self.asks.returned.notify_waiters();
    }
}

/// What became of calls that were enqueued.
pub(super) struct Written {
    pub(super) rows: Vec<Enqueued>,
    /// Those that wait for a claim.
    pub(super) waiting: Vec<CallRow>,
}

impl Written {
    pub(super) fn ids(&self) -> Vec<JobId> {
        self.rows.iter().map(|row| row.id).collect()
    }
}

fn hand_over(loans: Vec<Loan>, rows: Vec<CallRow>, enqueued: Vec<Enqueued>) -> Written {
    if loans.is_empty() {
        return Written {
            rows: enqueued,
            waiting: rows,
        };
    }
    let with_jobs = |loan: Loan| {
        let jobs = Vec::with_capacity(loan.count as usize);
        (loan, jobs)
    };
    let mut born: Vec<(Loan, Vec<ClaimedJob>)> = loans.into_iter().map(with_jobs).collect();
    let mut waiting = Vec::new();
    for (row, Enqueued { birth, .. }) in rows.into_iter().zip(&enqueued) {
        let mut born = born.iter_mut();
        let of_queue = born.find(|(loan, _)| *loan.asks.queue == *row.queue);
        match (birth, of_queue) {
            (Some(birth), Some((_, jobs))) => jobs.push(ClaimedJob::at_birth(row, *birth)),
            _ => waiting.push(row),
        }
    }
    born.into_iter().for_each(|(loan, jobs)| loan.end(jobs));
    Written {
        rows: enqueued,
        waiting,
    }
}

impl fmt::Debug for Births {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Births")
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

impl fmt::Debug for Loan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loan")
            .field("queue", &self.asks.queue)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn asks() -> (Births, Arc<Asks>, Arc<AtomicU32>) {
        let (births, doubts) = (Births::default(), Arc::new(AtomicU32::new(0)));
        let told = Arc::clone(&doubts);
        let tell = move |birth| {
            if matches!(birth, Birth::InDoubt) {
                told.fetch_add(1, Ordering::Relaxed);
            }
        };
        let kinds = || Arc::new(Repertoire::new([("mail".to_owned(), 1)]));
        let asks = births.of_queue(&"default".into(), NodeId::from_i64(1), kinds, tell);
        (births, asks, doubts)
    }

    #[test]
    fn no_more_is_lent_than_is_offered_and_what_ends_returns() {
        let (births, asks, doubts) = asks();
        assert!(asks.lend(5).is_none());
        asks.offer(3);
        let first = asks.lend(2).expect("three are offered");
        let second = asks.lend(5).expect("one is left");
        assert_eq!((second.count, asks.lent()), (1, 3));
        assert!(asks.lend(1).is_none());
        asks.offer(0);
        drop(first);
        assert!(births.is_any_lent());
        assert!(asks.lend(1).is_none(), "nothing is offered any more");
        second.end(Vec::new());
        assert!(!births.is_any_lent());
        assert_eq!(doubts.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_loan_that_was_sent_and_has_no_answer_leaves_a_doubt() {
        let (births, asks, doubts) = asks();
        asks.offer(1);
        let mut loan = asks.lend(1).expect("one is offered");
        loan.is_sent = true;
        drop(loan);
        assert_eq!(doubts.load(Ordering::Relaxed), 1);
        births.close();
        assert!(asks.lend(1).is_none(), "a closed board lends nothing");
    }
}
