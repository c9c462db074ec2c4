//! The asks of this process that wait for jobs, lent to its own enqueues: whoever finds some inserts jobs
//! that are claimed from their birth, without a claim of their own.
//!
//! A fetcher says how many jobs it would claim at the moment if there were any. An enqueue borrows of these, and while
//! it has them, the fetcher claims nothing for the same asks.
//!
//! Knows no actor: who serves a queue is a [`Recipient`].

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::asks::{Asks, Loan, Recipient};
use super::candidates::{Candidates, by_queue};
use crate::Error;
use crate::job::{JobId, NodeId};
use crate::store::{CallRow, ClaimedJob, Enqueued, Store, Wanted};

/// The asks of every queue here. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Births(Arc<RwLock<Register>>);

type Register = HashMap<Arc<str>, Arc<Asks>>;

impl Births {
    /// Lets enqueues ask for the queue's births from now on, in the place of an earlier one of its name.
    pub(crate) fn of_queue(
        &self,
        queue: &Arc<str>,
        node: NodeId,
        recipient: impl Recipient + 'static,
    ) -> Arc<Asks> {
        let asks = Asks::new(queue, node, recipient);
        let mut register = self.0.write().unwrap_or_else(PoisonError::into_inner);
        register.insert(Arc::clone(queue), Arc::clone(&asks));
        asks
    }

    /// Lends nothing any more.
    pub(crate) fn close(&self) {
        self.each(Asks::close);
    }

    fn register(&self) -> RwLockReadGuard<'_, Register> {
        // Nothing panics while it holds the lock.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn each(&self, mut of: impl FnMut(&Asks)) {
        self.register().values().for_each(|asks| of(asks));
    }

    /// Whether anybody here waits for jobs, in whatever queue.
    pub(super) fn is_any_offered(&self) -> bool {
        let mut is_any = false;
        self.each(|asks| is_any |= asks.room() > 0);
        is_any
    }

    /// Waits a moment, if these calls may be born then for all that is known.
    pub(super) async fn come_soon(&self, rows: &[CallRow]) {
        let queue_of = |row: &CallRow| self.register().get(&*row.queue).cloned();
        // Mostly all are of one queue.
        if let Some(asks) = rows.first().and_then(queue_of) {
            asks.come_soon(rows.len()).await;
        }
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
        let (mut loans, mut calls) = (Vec::new(), vec![false; rows.len()]);
        let mut of_node = None;
        let register = self.register();
        for (queue, places) in by_queue(rows) {
            let most = u32::try_from(places.len()).unwrap_or(u32::MAX);
            let asks = register.get(queue);
            let Some((asks, mut loan)) = asks.and_then(|asks| Some((asks, asks.lend(most)?)))
            else {
                continue;
            };
            // In this order: who shuts the queue either waits for the loan, or has been seen.
            let kinds = asks.kinds();
            let candidates = Candidates::of(rows, places, &kinds);
            loan.keep(candidates.count());
            if loan.count() > 0 {
                let lent = candidates.first(loan.count());
                lent.for_each(|place| calls[place] = true);
                loans.push(loan.sent());
                of_node = Some((asks.node, kinds));
            }
        }
        let (node, kinds) = of_node?;
        let wanted = Wanted {
            node,
            kinds,
            queues: loans
                .iter()
                .map(|loan| Arc::clone(&loan.asks().queue))
                .collect(),
            calls,
        };
        Some((loans, wanted))
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
        let jobs = Vec::with_capacity(loan.count() as usize);
        (loan, jobs)
    };
    let mut born: Vec<(Loan, Vec<ClaimedJob>)> = loans.into_iter().map(with_jobs).collect();
    let mut waiting = Vec::new();
    for (row, Enqueued { birth, .. }) in rows.into_iter().zip(&enqueued) {
        let mut born = born.iter_mut();
        let of_queue = born.find(|(loan, _)| *loan.asks().queue == *row.queue);
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
