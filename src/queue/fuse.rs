//! One breaker as this node obeys it: whether attempts of its kinds may begin.
//!
//! What holds is set by the board's actor `breakers`, which asks the database. An attempt asks by one load;
//! only those that are rationed, while it is half open and for a while after, count what they take.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::handler::DeclaredBreaker;
use crate::job::{Breaker, BreakerState, Repertoire, ramp_share};

/// How long the probes of a breaker are a node's own, unless it says again that they are: long enough to say so
/// several times, short enough that nobody waits long for the probes of a node that died.
pub(crate) const PROBES_LAST: Duration = Duration::from_secs(5);

/// What a breaker lets through on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Everything.
    All,
    /// Nothing.
    Nothing,
    /// Probes, so many in this epoch, while they are this node's.
    Probes { left: u32, until: Instant },
    /// A share of the workers that grows since it was closed.
    Ramp { since: Instant },
}

impl Rule {
    /// Whether its kinds may be claimed with all others.
    pub(crate) const fn is_free(self) -> bool {
        matches!(self, Self::All)
    }

    /// Whether some of its kinds may be claimed, apart from all others.
    pub(crate) const fn is_rationed(self) -> bool {
        matches!(self, Self::Probes { .. } | Self::Ramp { .. })
    }
}

/// What holds, and since which change of the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) epoch: u64,
    pub(crate) rule: Rule,
}

/// One breaker as this node obeys it.
#[derive(Debug)]
pub(crate) struct Fuse {
    pub(crate) name: Arc<str>,
    pub(crate) options: Breaker,
    kinds: RwLock<Arc<Repertoire>>,
    order: RwLock<Order>,
    /// How the breaker stands by the board, as this node has read it last.
    stands: RwLock<Option<BreakerState>>,
    /// The order in one word, for attempts that begin: the epoch and what they need to be let through.
    gate: AtomicU64,
    rations: Mutex<Rations>,
}

/// What rationed attempts have taken.
#[derive(Debug, Default)]
struct Rations {
    epoch: u64,
    /// Claimed, or about to be.
    running: u32,
    /// Probes that have told something.
    spent: u32,
}

/// What the lowest bits of a gate say.
const SHUT: u64 = 0;
const FREE: u64 = 1;
const RATIONED: u64 = 2;
const BITS: u32 = 2;

impl Fuse {
    /// Lets nothing through until it is told how the breaker stands.
    pub(super) fn new(declared: &DeclaredBreaker) -> Self {
        Self {
            name: Arc::clone(&declared.name),
            options: declared.breaker.clone(),
            kinds: RwLock::new(Arc::clone(&declared.kinds)),
            order: RwLock::new(Order {
                epoch: 0,
                rule: Rule::Nothing,
            }),
            stands: RwLock::default(),
            gate: AtomicU64::new(SHUT),
            rations: Mutex::default(),
        }
    }

    /// What it guards, as far as this node can run it.
    pub(crate) fn kinds(&self) -> Arc<Repertoire> {
        Arc::clone(&self.kinds.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Guards these from now on, if it is the breaker that is declared so.
    pub(super) fn guard(&self, declared: &DeclaredBreaker) -> bool {
        let is_it = self.name == declared.name && self.options == declared.breaker;
        if is_it {
            let kinds = Arc::clone(&declared.kinds);
            *self.kinds.write().unwrap_or_else(PoisonError::into_inner) = kinds;
        }
        is_it
    }

    pub(crate) fn order(&self) -> Order {
        *self.order.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the breaker stands. `None`: the board was not asked yet.
    pub(crate) fn stands(&self) -> Option<BreakerState> {
        *self.stands.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The board says that the breaker stands so.
    pub(crate) fn note(&self, state: BreakerState) {
        *self.stands.write().unwrap_or_else(PoisonError::into_inner) = Some(state);
    }

    /// Obeys this from now on.
    pub(super) fn obey(&self, order: Order) {
        let mut rations = self.lock();
        if rations.epoch != order.epoch {
            *rations = Rations {
                epoch: order.epoch,
                ..Rations::default()
            };
        }
        let bits = match order.rule {
            Rule::Nothing => SHUT,
            Rule::All => FREE,
            Rule::Probes { .. } | Rule::Ramp { .. } => RATIONED,
        };
        self.gate
            .store(order.epoch << BITS | bits, Ordering::Release);
        *self.order.write().unwrap_or_else(PoisonError::into_inner) = order;
    }

    /// Lets an attempt begin, or not; `rationed` is the epoch in which it was claimed apart from others.
    pub(super) fn lets(&self, rationed: Option<u64>) -> Option<u64> {
        let gate = self.gate.load(Ordering::Acquire);
        let epoch = gate >> BITS;
        let is_let = match gate & ((1 << BITS) - 1) {
            FREE => true,
            RATIONED => rationed == Some(epoch),
            _ => false,
        };
        is_let.then_some(epoch)
    }

    /// Whether some attempts are let through, apart from all others.
    pub(super) fn is_rationed(&self) -> bool {
        self.gate.load(Ordering::Acquire) & ((1 << BITS) - 1) == RATIONED
    }

    /// Takes rations for up to `asked` attempts in a queue with so many workers.
    pub(super) fn ration(
        self: &Arc<Self>,
        asked: u32,
        workers: u32,
        now: Instant,
    ) -> Option<Rationed> {
        let mut rations = self.lock();
        let Order { epoch, rule } = self.order();
        let allowed = match rule {
            Rule::Probes { left, until } if now < until => left,
            Rule::Ramp { since } => {
                let elapsed = now.saturating_duration_since(since);
                ramp_share(elapsed, self.options.ramp, workers)
            }
            _ => 0,
        };
        let taken = rations.running + rations.spent;
        let count = allowed.saturating_sub(taken).min(asked);
        rations.running += count;
        (count > 0).then(|| Rationed {
            fuse: Arc::clone(self),
            epoch,
            left: count,
        })
    }

    /// Whether rationed attempts of this epoch run, or are about to be claimed.
    pub(crate) fn is_running(&self) -> bool {
        self.lock().running > 0
    }

    fn return_rations(&self, epoch: u64, count: u32, spent: u32) {
        let mut rations = self.lock();
        if rations.epoch == epoch {
            rations.running = rations.running.saturating_sub(count);
            rations.spent += spent;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rations> {
        // Nothing panics while it holds the lock.
        self.rations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rations for attempts that are about to be claimed. Those that find no job are returned.
#[derive(Debug)]
pub(super) struct Rationed {
    fuse: Arc<Fuse>,
    epoch: u64,
    left: u32,
}

impl Rationed {
    pub(super) const fn count(&self) -> u32 {
        self.left
    }

    pub(super) const fn fuse(&self) -> &Arc<Fuse> {
        &self.fuse
    }

    /// Gives one of them to an attempt.
    pub(super) fn one(&mut self) -> Option<Passage> {
        self.left = self.left.checked_sub(1)?;
        Some(Passage {
            fuse: Arc::clone(&self.fuse),
            epoch: self.epoch,
            ration: Ration::Held,
        })
    }
}

impl Drop for Rationed {
    fn drop(&mut self) {
        if self.left > 0 {
            self.fuse.return_rations(self.epoch, self.left, 0);
        }
    }
}

/// How an attempt was let through: in which epoch, and with what it has to give back.
#[derive(Debug)]
pub(super) struct Passage {
    fuse: Arc<Fuse>,
    epoch: u64,
    ration: Ration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ration {
    /// It was claimed with all others.
    None,
    Held,
    /// A probe that has told something is spent.
    Spent,
}

impl Passage {
    /// Lets an attempt begin that was claimed with all others.
    pub(super) fn free(fuse: &Arc<Fuse>) -> Option<Self> {
        Some(Self {
            epoch: fuse.lets(None)?,
            fuse: Arc::clone(fuse),
            ration: Ration::None,
        })
    }

    /// Whether what was let through once may still begin.
    pub(super) fn is_valid(&self) -> bool {
        self.fuse.lets(Some(self.epoch)).is_some()
    }

    pub(super) const fn fuse(&self) -> &Arc<Fuse> {
        &self.fuse
    }

    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The attempt has ended and told something.
    pub(super) fn spend(&mut self) {
        let is_probe = matches!(self.fuse.order().rule, Rule::Probes { .. });
        if is_probe && self.ration == Ration::Held {
            self.ration = Ration::Spent;
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        match self.ration {
            Ration::None => {}
            Ration::Held => self.fuse.return_rations(self.epoch, 1, 0),
            Ration::Spent => self.fuse.return_rations(self.epoch, 1, 1),
        }
    }
}

/// A fuse for a test.
#[cfg(test)]
pub(crate) fn fuse_of(breaker: Breaker) -> Arc<Fuse> {
    let declared = DeclaredBreaker {
        name: "smtp".into(),
        breaker,
        kinds: Arc::new(Repertoire::new([("mail".to_owned(), 1)])),
    };
    Arc::new(Fuse::new(&declared))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fuse() -> Arc<Fuse> {
        fuse_of(Breaker::named("smtp").ramp(Duration::from_secs(10)))
    }

    fn probes(epoch: u64, left: u32, now: Instant) -> Order {
        let until = now + PROBES_LAST;
        Order {
            epoch,
            rule: Rule::Probes { left, until },
        }
    }

    #[test]
    fn nothing_passes_before_the_board_was_asked() {
        let fuse = fuse();
        assert!(Passage::free(&fuse).is_none());
        assert!(fuse.ration(5, 5, Instant::now()).is_none());
    }

    #[test]
    fn what_was_let_through_may_not_begin_after_it_has_opened() {
        let (fuse, now) = (fuse(), Instant::now());
        let order = |epoch, rule| Order { epoch, rule };
        fuse.obey(order(3, Rule::All));
        let passage = Passage::free(&fuse).unwrap();
        assert!(passage.is_valid());
        fuse.obey(order(4, Rule::Nothing));
        assert!(!passage.is_valid());
        fuse.obey(probes(5, 3, now));
        assert!(!passage.is_valid() && Passage::free(&fuse).is_none());
    }

    #[test]
    fn no_more_probes_are_given_than_there_are() {
        let (fuse, now) = (fuse(), Instant::now());
        fuse.obey(probes(5, 3, now));
        let mut two = fuse.ration(2, 9, now).unwrap();
        let one = fuse.ration(9, 9, now).unwrap();
        assert_eq!((two.count(), one.count()), (2, 1));
        assert!(fuse.ration(1, 9, now).is_none());
        // One finds a job, which tells something; the others find none.
        let mut probe = two.one().unwrap();
        assert!(probe.is_valid());
        probe.spend();
        drop((probe, two, one));
        assert_eq!(fuse.ration(9, 9, now).unwrap().count(), 2);
        assert!(fuse.ration(9, 9, now + PROBES_LAST).is_none());
    }

    #[test]
    fn a_probe_that_told_nothing_can_be_tried_again() {
        let (fuse, now) = (fuse(), Instant::now());
        fuse.obey(probes(5, 1, now));
        drop(fuse.ration(1, 9, now).unwrap().one());
        assert_eq!(fuse.ration(1, 9, now).unwrap().count(), 1);
    }

    #[test]
    fn a_ramp_counts_what_runs() {
        let (fuse, now) = (fuse(), Instant::now());
        let rule = Rule::Ramp { since: now };
        fuse.obey(Order { epoch: 6, rule });
        let mut rations = fuse.ration(9, 4, now).unwrap();
        assert_eq!(rations.count(), 1);
        let mut running = rations.one().unwrap();
        assert!(fuse.ration(9, 4, now).is_none());
        let half = now + Duration::from_secs(5);
        assert_eq!(fuse.ration(9, 4, half).unwrap().count(), 1);
        running.spend();
        drop(running);
        assert_eq!(fuse.ration(9, 4, half).unwrap().count(), 2);
        let (old, order) = (probes(7, 1, now), Order { epoch: 8, rule });
        fuse.obey(old);
        let late = fuse.ration(1, 4, now).unwrap();
        fuse.obey(order);
        let current = fuse.ration(9, 4, half).unwrap();
        drop(late);
        assert_eq!(fuse.ration(9, 4, half).map(|more| more.count()), None);
        drop(current);
    }
}
