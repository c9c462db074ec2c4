//! How the calls of guarded kinds ended, on their way from the workers to who judges them.
//!
//! It outlives the actor that counts, and workers never wait for it. Bounded by what is claimed.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::fuse::Passage;
use crate::job::{Called, Failure, bounded_text};

/// How much of an error a breaker keeps as its reason, in bytes.
const MAX_ERROR_BYTES: usize = 300;

/// How one call ended.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) breaker: Arc<str>,
    /// In which its attempt began.
    pub(crate) epoch: u64,
    pub(crate) called: Called,
    /// What was said, if it failed.
    pub(crate) error: Option<Box<str>>,
}

impl Call {
    pub(super) fn new(passage: &Passage, called: Called, failure: Option<&Failure>) -> Self {
        let error = failure.map(|failure| bounded_text(&failure.message, MAX_ERROR_BYTES).into());
        Self {
            breaker: Arc::clone(&passage.fuse().name),
            epoch: passage.epoch(),
            called,
            error,
        }
    }
}

type Wake = Arc<dyn Fn() + Send + Sync>;

/// The calls that nobody has counted yet.
pub(crate) struct Calls {
    sender: UnboundedSender<Call>,
    /// Locked by the one actor that counts.
    receiver: Mutex<UnboundedReceiver<Call>>,
    is_woken: AtomicBool,
    wake: RwLock<Option<Wake>>,
}

impl Calls {
    pub(super) fn new() -> Self {
        let (sender, receiver) = unbounded_channel();
        Self {
            sender,
            receiver: Mutex::new(receiver),
            is_woken: AtomicBool::new(false),
            wake: RwLock::new(None),
        }
    }

    /// Adds a call, and wakes who counts, once for all calls until it looks.
    pub(super) fn push(&self, call: Call) {
        // The receiver lives as long as self.
        let _never_closed = self.sender.send(call);
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            let wake = self.wake.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(wake) = wake.as_ref() {
                wake();
            }
        }
    }

    /// Somebody comes to count: `wake` reaches it from now on. It looks at once for what has come before.
    pub(crate) fn attend(&self, wake: impl Fn() + Send + Sync + 'static) {
        *self.wake.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(wake));
    }

    /// All calls that have come by now.
    pub(crate) fn take(&self) -> Vec<Call> {
        // What comes from here on wakes again.
        self.is_woken.store(false, Ordering::Release);
        let mut receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| receiver.try_recv().ok()).collect()
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Calls")
    }
}
