//! Handlers that come, go and change while the board runs.
//!
//! A swap is decided purely, from one registry to the next (`handler/swap.rs`), and takes effect between two
//! awaits, so nobody sees half of it and no cancellation leaves one.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, PoisonError};

use chrono::{DateTime, Utc};

use super::{Board, steward};
use crate::Error;
use crate::event::{Event, Swapped};
use crate::handler::{Handler, Registered, Swap};

/// The handlers of a board, to be changed while it runs. Cheap to clone.
///
/// Attempts that run go on with the code with which they began; what begins later runs the new code. Of a kind that
/// was removed nothing is claimed any more, and what this node had claimed of it and not begun goes back to the
/// board, where it waits for a node that runs it: no attempt is spent, nothing is buried. A kind that was added is
/// looked for at once.
///
/// A batch that gathers has not begun: it gathers anew under the new handler's limits, its first job's waiting time
/// included, or goes back to the board. A breaker that comes with a handler is declared; until the database has told
/// how it stands, its kinds wait. One that stays as it is goes on as it stands.
///
/// A swap is for this node and until it ends: a board that is started again has the handlers of its builder. What
/// workers keep belongs to their queue and stays. Two things take a new start: a handler that is
/// [isolated](Handler::isolated) cannot come while the node runs, since what isolates run is in the program from its
/// start (it may go, or make way for one that is not); and a queue's
/// [`worker_state`](crate::Queue::worker_state), unless the queue is
/// [removed](Board::remove_queue) and [added](Board::add_queue) anew.
///
/// # Examples
///
/// ```no_run
/// # use callboard::{Board, BoxError, Handler, Swap, function};
/// # async fn send(_to: String) -> Result<(), BoxError> { Ok(()) }
/// # async fn archive(_year: u16) -> Result<(), BoxError> { Ok(()) }
/// # async fn example(board: Board) -> Result<(), callboard::Error> {
/// let swap = Swap::new()
///     .replace(Handler::from(function!(send)).code_version("2.1"))
///     .add(function!(archive));
/// let swapped = board.handlers().swap(swap).await?;
/// println!("{swapped}");
/// for handler in board.handlers().list() {
///     println!("{} {}: {} running", handler.kind, handler.code_version, handler.running);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Handlers(Board);

/// A handler of this node, or one that still runs what it has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandlerInfo {
    /// The kind that it runs.
    pub kind: String,
    /// Older names of the kind.
    pub aliases: Vec<String>,
    /// How its code is called; see [`Handler::code_version`].
    pub code_version: String,
    /// The newest version of arguments that it reads.
    pub args_version: i32,
    /// Since when this node has it, by the node's clock.
    pub since: DateTime<Utc>,
    /// How many attempts it runs at this moment; of a batch, all of its jobs.
    pub running: u32,
    /// Whether it runs what begins from now on. If not, it is gone when its last attempt has ended.
    pub is_current: bool,
}

impl Board {
    /// The handlers of this node, to be listed and swapped while it runs; see [`Handlers`].
    #[must_use]
    pub fn handlers(&self) -> Handlers {
        Handlers(self.clone())
    }
}

impl Handlers {
    /// Makes all changes of a swap at once, or none of them. It is in effect when this returns, and others see it in
    /// [`Client::nodes`](crate::Client::nodes) and [`Client::explain`](crate::Client::explain), unless the board is
    /// in trouble ([`Board::health`]); then they see it as soon as the database can be reached. Not awaited to its
    /// end, it is in effect all the same.
    ///
    /// # Errors
    ///
    /// [`Error::is_config`] names the change that cannot be made and says what to do; nothing has changed then.
    /// [`Error::is_start`] when the board is ending.
    pub async fn swap(&self, swap: Swap) -> Result<Swapped, Error> {
        let swapped = self.make(swap)?;
        steward::looked(&self.0.0.office).await;
        Ok(swapped)
    }

    fn make(&self, swap: Swap) -> Result<Swapped, Error> {
        let inner = &self.0.0;
        #[cfg(feature = "testing")]
        let swap = match &inner.map_handlers {
            Some(map) => swap.map_handlers(&*map.0),
            None => swap,
        };
        // Nothing panics while it holds the lock.
        let _alone = inner.swaps.lock().unwrap_or_else(PoisonError::into_inner);
        let office = &inner.office;
        if office.is_closing() {
            return Err(Error::start("cannot swap handlers: the board is ending"));
        }
        let (registry, swapped) = office.registry.get().swapped(swap)?;
        office.run_with(registry);
        office.bulletin.say(Event::HandlersSwapped(swapped.clone()));
        Ok(swapped)
    }

    /// Runs jobs of this handler's kind too, which this node does not run. A [swap](Self::swap) of this alone.
    ///
    /// # Errors
    ///
    /// As [`swap`](Self::swap).
    pub async fn add(&self, handler: impl Into<Handler>) -> Result<Swapped, Error> {
        self.swap(Swap::new().add(handler)).await
    }

    /// Runs jobs of this handler's kind with it from now on, instead of the handler that this node has. A
    /// [swap](Self::swap) of this alone.
    ///
    /// # Errors
    ///
    /// As [`swap`](Self::swap).
    pub async fn replace(&self, handler: impl Into<Handler>) -> Result<Swapped, Error> {
        self.swap(Swap::new().replace(handler)).await
    }

    /// Runs jobs of this kind no longer on this node. A [swap](Self::swap) of this alone.
    ///
    /// # Errors
    ///
    /// As [`swap`](Self::swap).
    pub async fn remove(&self, kind: impl Into<Cow<'static, str>>) -> Result<Swapped, Error> {
        self.swap(Swap::new().remove(kind)).await
    }

    /// The handlers of this node, in the order in which they came, and after them those that were swapped out and
    /// still run attempts. Asks nobody.
    #[must_use]
    pub fn list(&self) -> Vec<HandlerInfo> {
        let office = &self.0.0.office;
        let registry = office.registry.get();
        let desks = office.desks.all().into_iter();
        let seats = desks.flat_map(|desk| desk.seats_taken());
        let busy: Vec<(Arc<Registered>, u32)> = seats
            .filter_map(|seat| seat.occupation())
            .map(|now| (Arc::clone(&now.by.handler), now.jobs))
            .collect();
        let info = |handler: &Arc<Registered>, is_current| {
            let by_it = busy.iter().filter(|(by, _)| Arc::ptr_eq(by, handler));
            info(handler, by_it.map(|(_, jobs)| jobs).sum(), is_current)
        };
        let mut listed: HashSet<_> = registry.handlers().iter().map(Arc::as_ptr).collect();
        let former = busy.iter().map(|(by, _)| by);
        let former = former.filter(|by| listed.insert(Arc::as_ptr(by)));
        let former = former.map(|by| info(by, false));
        let current = registry
            .handlers()
            .iter()
            .map(|handler| info(handler, true));
        current.chain(former).collect()
    }

    /// How many swaps there were since the start of the board.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.0.office.registry.get().generation()
    }
}

fn info(handler: &Registered, running: u32, is_current: bool) -> HandlerInfo {
    HandlerInfo {
        kind: handler.kind.name.clone(),
        aliases: handler.kind.aliases.clone(),
        code_version: handler.code_version.clone(),
        args_version: handler.kind.newest_version(),
        since: handler.since,
        running,
        is_current,
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list()).finish()
    }
}
