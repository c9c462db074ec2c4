//! The queue of answers that are owed to the board. It outlives the ledger: an answer leaves it only
//! when its write is confirmed, so the death of the ledger at any await loses nothing.
//!
//! Writing an answer twice is harmless, because of the fence. An answer that the database refuses by itself
//! is set aside, so that it holds up nobody, and stays owed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit};

use super::Story;
use crate::planted::{Bug, planted};
use crate::store::{OrderingKey, Settlement};

/// An answer, with what the ledger needs to know beside it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) settlement: Settlement,
    pub(crate) queue: Arc<str>,
    pub(crate) priority: i16,
    /// Others with this key may wait for the job's end.
    pub(crate) ordering: Option<OrderingKey>,
    /// It counted under the limits of its queue, where others may wait for its end.
    pub(crate) is_limited: bool,
    /// The handler has completed the job in a transaction of its own, so this answer will find no
    /// row, unless that transaction rolled back unnoticed.
    pub(crate) is_written: bool,
    /// What to tell of it, if somebody follows.
    pub(crate) story: Option<Story>,
    /// Of a suspect: the next one begins when this answer is written. Until then the row says that this
    /// one runs, and the death of the process would be charged to both.
    pub(crate) alone: Option<OwnedSemaphorePermit>,
}

type Wake = Arc<dyn Fn() + Send + Sync>;

/// Where leases put their answers, and the ledger takes them.
pub(crate) struct Outbox {
    sender: UnboundedSender<Answer>,
    unwritten: Arc<Mutex<Unwritten>>,
    /// Bounded by what is claimed: fetchers claim less when it grows.
    count: AtomicUsize,
    is_woken: AtomicBool,
    wake: RwLock<Option<Wake>>,
}

/// The answers in order; the batch being written stays here until it is confirmed.
pub(crate) struct Unwritten {
    receiver: UnboundedReceiver<Answer>,
    batch: Vec<Answer>,
    /// The batch was sent, and nobody has heard what came of it.
    was_sent: bool,
    /// What the database refused, one by one.
    set_aside: VecDeque<Answer>,
}

impl Unwritten {
    /// The next batch, or the last one if it was not confirmed.
    pub(crate) fn batch(&mut self, limit: usize) -> &[Answer] {
        let room = limit.saturating_sub(self.batch.len());
        self.batch.reserve_exact(self.receiver.len().min(room));
        while self.batch.len() < limit {
            match self.receiver.try_recv() {
                Ok(answer) => self.batch.push(answer),
                Err(_) => break,
            }
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

    /// How many answers are set aside.
    pub(crate) fn aside(&self) -> usize {
        self.set_aside.len()
    }
}

impl Outbox {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = unbounded_channel();
        Self {
            sender,
            unwritten: Arc::new(Mutex::new(Unwritten {
                receiver,
                batch: Vec::new(),
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
        // The receiver lives as long as self.
        let _never_closed = self.sender.send(answer);
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
