//! The queue of answers that are owed to the board. It outlives the ledger: an answer leaves it only
//! when its write is confirmed, so the death of the ledger at any await loses nothing.
//!
//! Writing an answer twice is harmless, because of the fence. An answer that the database refuses by itself
//! is set aside, so that it holds up nobody, and stays owed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit};

use super::Story;
use crate::planted::{Bug, planted};
use crate::store::{OrderingKey, Settlement};

/// How many answers one statement takes at most.
pub(crate) const BATCH: usize = 2_000;

/// An answer, with what the ledger needs to know beside it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) settlement: Settlement,
    pub(crate) queue: Arc<str>,
    pub(crate) priority: i16,
    /// Others with this key may wait for the job's end.
    pub(crate) ordering: Option<Box<OrderingKey>>,
    /// It counted under the limits of its queue, where others may wait for its end.
    pub(crate) is_limited: bool,
    /// The handler has completed the job in a transaction of its own, so this answer will find no
    /// row, unless that transaction rolled back unnoticed.
    pub(crate) is_written: bool,
    /// What to tell of it, if somebody follows.
    pub(crate) story: Option<Box<Story>>,
    /// Of a suspect: the next one begins when this answer is written. Until then the row says that this
    /// one runs, and the death of the process would be charged to both.
    pub(crate) alone: Option<OwnedSemaphorePermit>,
}

type Wake = Arc<dyn Fn() + Send + Sync>;

/// Where leases put their answers, and the ledger takes them.
pub(crate) struct Outbox {
    fresh: Arc<Fresh>,
    unwritten: Arc<Mutex<Unwritten>>,
    /// Bounded by what is claimed: fetchers claim less when it grows.
    count: AtomicUsize,
    is_woken: AtomicBool,
    wake: RwLock<Option<Wake>>,
}

/// Answers that no batch has taken yet, on sheets that become batches as they are. Only for moments, and nothing
/// panics meanwhile.
type Fresh = std::sync::Mutex<VecDeque<Vec<Answer>>>;

fn sheets(fresh: &Fresh) -> std::sync::MutexGuard<'_, VecDeque<Vec<Answer>>> {
    fresh.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The answers in order; the batch being written stays here until it is confirmed.
pub(crate) struct Unwritten {
    fresh: Arc<Fresh>,
    batch: Vec<Answer>,
    /// Kept for its memory.
    spare: Vec<Answer>,
    /// The batch was sent, and nobody has heard what came of it.
    was_sent: bool,
    /// What the database refused, one by one.
    set_aside: VecDeque<Answer>,
}

impl Unwritten {
    /// The next batch, or the last one if it was not confirmed, with as many new ones as it has room for.
    pub(crate) fn batch(&mut self) -> &[Answer] {
        let mut sheets = sheets(&self.fresh);
        while let Some(sheet) = sheets.front_mut()
            && self.batch.len() + sheet.len() <= BATCH
        {
            match self.batch.is_empty() {
                true => std::mem::swap(&mut self.batch, sheet),
                false => self.batch.append(sheet),
            }
            sheets.pop_front();
        }
        if sheets.is_empty() && self.spare.capacity() > 0 {
            sheets.push_back(std::mem::take(&mut self.spare));
        }
        &self.batch
    }

    /// The batch as it is, with nothing added.
    pub(crate) fn current(&self) -> &[Answer] {
        &self.batch
    }

    /// The batch is about to be sent. Tells whether it was sent before, or a part of it: then what the
    /// fence refuses now may have been accepted then.
    pub(crate) fn sending(&mut self) -> bool {
        std::mem::replace(&mut self.was_sent, true)
    }

    /// Takes these answers, by their places in the batch in ascending order, out of the way of others.
    pub(crate) fn set_aside(&mut self, refused: &[usize]) {
        for index in refused.iter().rev() {
            let mut answer = self.batch.swap_remove(*index);
            // It may take for ever, and other suspects need not wait for that.
            answer.alone = None;
            self.set_aside.push_back(answer);
        }
    }

    /// Gives what was set aside another try with the next batch, up to `limit` answers.
    pub(crate) fn take_back(&mut self, limit: usize) {
        let count = limit.min(self.set_aside.len());
        self.was_sent |= count > 0;
        self.batch.extend(self.set_aside.drain(..count));
    }

    /// The memory of a batch that was confirmed, for another one.
    pub(crate) fn reuse(&mut self, mut batch: Vec<Answer>) {
        batch.clear();
        self.spare = batch;
    }

    /// How many answers are set aside.
    pub(crate) fn aside(&self) -> usize {
        self.set_aside.len()
    }
}

impl Outbox {
    pub(crate) fn new() -> Self {
        let fresh = Arc::default();
        Self {
            fresh: Arc::clone(&fresh),
            unwritten: Arc::new(Mutex::new(Unwritten {
                fresh,
                batch: Vec::new(),
                spare: Vec::new(),
                was_sent: false,
                set_aside: VecDeque::new(),
            })),
            count: AtomicUsize::new(0),
            is_woken: AtomicBool::new(false),
            wake: RwLock::new(None),
        }
    }

    /// Adds an answer and wakes the ledger, once for all answers until it looks.
    pub(crate) fn push(&self, answer: Answer) {
        self.count.fetch_add(1, Ordering::AcqRel);
        {
            let mut sheets = sheets(&self.fresh);
            match sheets.back_mut().filter(|sheet| sheet.len() < BATCH) {
                Some(sheet) => sheet.push(answer),
                None => sheets.push_back(vec![answer]),
            }
        }
        self.wake();
    }

    /// Wakes the ledger unless it is awake.
    pub(crate) fn wake(&self) {
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            let wake = self
                .wake
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            if let Some(wake) = wake {
                wake();
            }
        }
    }

    /// A ledger comes to work: `wake` reaches it from now on, and the answers are its own while it
    /// keeps them.
    pub(crate) async fn attend(
        &self,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> OwnedMutexGuard<Unwritten> {
        let mut unwritten = Arc::clone(&self.unwritten).lock_owned().await;
        if planted(Bug::SettlementLostWithLedger) {
            drop(self.confirm(&mut unwritten));
        }
        *self.wake.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(wake));
        self.is_woken.store(false, Ordering::Release);
        unwritten
    }

    /// The ledger is about to look: what comes from now on wakes it again.
    pub(crate) fn looked(&self) {
        self.is_woken.store(false, Ordering::Release);
    }

    /// The batch was written. Returns it.
    pub(crate) fn confirm(&self, unwritten: &mut Unwritten) -> Vec<Answer> {
        let batch = std::mem::take(&mut unwritten.batch);
        unwritten.was_sent = false;
        self.count.fetch_sub(batch.len(), Ordering::AcqRel);
        batch
    }

    /// Answers that are not confirmed yet.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}
