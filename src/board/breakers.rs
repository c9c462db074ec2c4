//! The breakers' actor: counts how guarded calls end on this node, writes what it finds, and makes the node obey
//! what all nodes agreed on.
//!
//! What holds is in the database. This node's finding counts if nobody changed the breaker meanwhile; others hear
//! of it by a notification, or look within a second. A finding that cannot be written is obeyed here at once, and
//! written when the database is back. Before the board was asked for the first time nothing guarded is let
//! through.
//!
//! What is lost if it is killed at any await: what it has counted since the last change of a breaker. A
//! transition is one statement.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{ActorProcessingErr, ActorRef};

use super::guarded::{Guarded, Step};
use super::pulse::{Pulse, Tick};
use crate::Error;
use crate::client::Interest;
use crate::event::Event;
use crate::job::{BreakerState, Repertoire, Verdict, bounded_text};
use crate::queue::{Fuse, Obeyed, Office, PROBES_LAST, Patience};
use crate::store::{BreakerCard, BreakerRow, Found, Notice};

/// How often to look at the board for what nobody announced.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looking for a job to probe with takes at most one part in so many of the time.
const LOOK_SHARE: u32 = 10;
/// The longest reason that is kept, in bytes.
const MAX_REASON_BYTES: usize = 600;

pub(super) const ROLE: &str = "breakers";

pub(super) enum BreakersMessage {
    /// Look how the breakers stand.
    Look(Tick),
    /// Somebody has changed a breaker.
    Changed,
    /// Calls have ended.
    Count,
}

#[cfg(feature = "cluster")]
impl ractor::Message for BreakersMessage {}

pub(super) struct BreakersState {
    office: Arc<Office>,
    pulse: Pulse,
    patience: Patience,
    /// What the judges count time from.
    began_at: Instant,
    guarded: Vec<Guarded>,
    /// What this node can run, as it was when this was taken up last.
    known: Arc<Repertoire>,
    standing: Declared,
}

/// Whether the board knows this node's breakers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Declared {
    /// There is none to know.
    Nothing,
    No,
    Yes,
}

#[derive(Clone, Copy)]
pub(super) struct Breakers;

#[ractor::actor(message = BreakersMessage, state = BreakersState, arguments = Arc<Office>)]
impl Breakers {
    async fn pre_start(
        &self,
        myself: ActorRef<BreakersMessage>,
        office: Arc<Office>,
    ) -> Result<BreakersState, ActorProcessingErr> {
        // Whoever is gone has a successor that looks and counts at its start.
        let told = myself.clone();
        office.wakeups.on(Interest::Breaker, move |_| {
            let _gone = told.cast(BreakersMessage::Changed);
        });
        office.breakers.calls.attend(move || {
            let _gone = myself.cast(BreakersMessage::Count);
        });
        let mut state = BreakersState {
            guarded: Vec::new(),
            known: Arc::default(),
            office,
            pulse: Pulse::default(),
            patience: Patience::default(),
            began_at: Instant::now(),
            standing: Declared::Nothing,
        };
        // Calls may come before the first look.
        state.take_up();
        Ok(state)
    }

    async fn post_start(
        &self,
        myself: ActorRef<BreakersMessage>,
        state: &mut BreakersState,
    ) -> Result<(), ActorProcessingErr> {
        let now = Duration::ZERO;
        state.pulse.tick_in(now, &myself, BreakersMessage::Look);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<BreakersMessage>,
        message: BreakersMessage,
        state: &mut BreakersState,
    ) -> Result<(), ActorProcessingErr> {
        let wait = match message {
            BreakersMessage::Look(tick) if state.pulse.is_current(tick) => state.look().await,
            BreakersMessage::Look(_) => return Ok(()),
            BreakersMessage::Changed => Duration::ZERO,
            BreakersMessage::Count => match state.count() {
                // While the database is away, the next look is due anyway.
                Counted::Found if state.patience == Patience::default() => Duration::ZERO,
                _ => return Ok(()),
            },
        };
        state.pulse.tick_in(wait, &myself, BreakersMessage::Look);
        Ok(())
    }
}

/// What came of counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    Nothing,
    /// There is something to write.
    Found,
}

impl BreakersState {
    /// Looks how the breakers stand, and says when to look again.
    async fn look(&mut self) -> Duration {
        match self.try_look().await {
            Ok(()) => {
                self.patience.succeeded();
                match self.standing {
                    Declared::Nothing => self.office.vitals.forget(ROLE),
                    Declared::No | Declared::Yes => self.office.vitals.working(ROLE),
                }
                let now = Instant::now();
                let next = self
                    .guarded
                    .iter()
                    .filter_map(|guarded| guarded.next_at(now));
                // Jitter keeps nodes from looking in step.
                let longest = LOOK_EVERY.mul_f64(0.9 + 0.2 * fastrand::f64());
                next.min().map_or(longest, |next| next.min(longest))
            }
            Err(error) => {
                self.office.vitals.degraded(ROLE, &error);
                self.patience.after_failure(fastrand::f64())
            }
        }
    }

    /// Takes in how calls have ended. What they tell is obeyed here at once.
    fn count(&mut self) -> Counted {
        let (now, mut obeyed) = (self.began_at.elapsed(), Obeyed::AsBefore);
        for call in self.office.breakers.calls.take() {
            let mut guarded = self.guarded.iter_mut();
            if let Some(guarded) = guarded.find(|guarded| guarded.fuse.name == call.breaker)
                && let Some(order) = guarded.record(now, call)
                && self.office.breakers.obey(&guarded.fuse, order) == Obeyed::Anew
            {
                obeyed = Obeyed::Anew;
            }
        }
        self.wake_if(obeyed);
        let is_found = self.guarded.iter().any(|guarded| guarded.finding.is_some());
        if is_found {
            Counted::Found
        } else {
            Counted::Nothing
        }
    }

    async fn try_look(&mut self) -> Result<(), Error> {
        self.take_up();
        match self.standing {
            Declared::Nothing => return Ok(()),
            Declared::No => self.declare().await?,
            Declared::Yes => {}
        }
        self.count();
        for index in 0..self.guarded.len() {
            self.write(index).await?;
        }
        self.read().await?;
        for index in 0..self.guarded.len() {
            self.probe(index).await?;
        }
        if self.guarded.iter().any(Guarded::is_ramping) {
            // More may run by now.
            self.office.wakeups.wake_queues();
        }
        Ok(())
    }

    /// Guards what this node guards, which a swap of handlers may have changed.
    fn take_up(&mut self) {
        let known = self.office.breakers.known();
        let fuses = self.office.breakers.fuses();
        let has_the_same = |guarded: &Guarded, fuse: &Arc<Fuse>| Arc::ptr_eq(&guarded.fuse, fuse);
        let mut pairs = self.guarded.iter().zip(&*fuses);
        let are_same = self.guarded.len() == fuses.len()
            && pairs.all(|(guarded, fuse)| has_the_same(guarded, fuse));
        if are_same && Arc::ptr_eq(&self.known, &known) {
            return;
        }
        self.known = known;
        let mut earlier = std::mem::take(&mut self.guarded);
        let guarded = |fuse: &Arc<Fuse>| {
            let kept = earlier
                .iter()
                .position(|guarded| has_the_same(guarded, fuse));
            let kept = kept.map(|place| earlier.swap_remove(place));
            kept.unwrap_or_else(|| Guarded::new(fuse, self.office.node))
        };
        self.guarded = fuses.iter().map(guarded).collect();
        if self.standing == Declared::Yes || !self.guarded.is_empty() {
            self.standing = Declared::No;
        }
    }

    async fn declare(&mut self) -> Result<(), Error> {
        let fuses = self.guarded.iter().map(|guarded| &guarded.fuse);
        let of_fuses: Vec<_> = fuses
            .clone()
            .map(|fuse| (fuse.kinds(), &*fuse.name))
            .collect();
        let kinds = of_fuses.iter().flat_map(|(kinds, name)| {
            let kinds = kinds.kinds().iter();
            kinds.map(|kind| (&**kind, *name))
        });
        let (kinds, breakers) = kinds.unzip();
        let card = BreakerCard {
            names: fuses.map(|fuse| &*fuse.name).collect(),
            kinds,
            breakers,
            known: self.known.kinds(),
            node: &self.office.node_name,
        };
        self.office.store.declare_breakers(&card).await?;
        self.standing = match self.guarded.is_empty() {
            true => Declared::Nothing,
            false => Declared::Yes,
        };
        Ok(())
    }

    /// Writes what was found, if it still counts.
    async fn write(&mut self, index: usize) -> Result<(), Error> {
        let guarded = &self.guarded[index];
        let (fuse, Some(finding)) = (&guarded.fuse, &guarded.finding) else {
            return Ok(());
        };
        let (store, options) = (&self.office.store, &fuse.options);
        let found = Found {
            breaker: &fuse.name,
            epoch: finding.epoch,
            node: &self.office.node_name,
        };
        let asked_at = Instant::now();
        let written = match &finding.verdict {
            Verdict::Open(reason) => {
                let error = finding.error.as_deref();
                let reason = error.map_or(reason.to_string(), |error| {
                    format!("{reason}; the last: {error}")
                });
                let reason = bounded_text(&reason, MAX_REASON_BYTES);
                let (open_for, longest) = (options.open_for, options.longest_open);
                store
                    .trip_breaker(found, open_for, longest, &reason)
                    .await?
            }
            Verdict::Proven(succeeded) => {
                store
                    .prove_breaker(found, *succeeded, options.probes)
                    .await?
            }
            Verdict::Close => {
                store
                    .prove_breaker(found, options.probes, options.probes)
                    .await?
            }
        };
        let found = self.guarded[index].finding.take();
        // Otherwise somebody has changed it meanwhile, which is read next.
        if let Some(row) = written {
            if let Some(Verdict::Open(reason)) = found.map(|finding| finding.verdict) {
                let (breaker, reason) = (Arc::clone(&self.guarded[index].fuse.name), reason.word());
                let opened = Event::BreakerOpened { breaker, reason };
                self.office.bulletin.say(opened);
            }
            self.adopt(index, &row, asked_at);
        }
        Ok(())
    }

    /// Reads how the breakers stand.
    async fn read(&mut self) -> Result<(), Error> {
        let asked_at = Instant::now();
        let rows = self.office.store.breakers().await?;
        for index in 0..self.guarded.len() {
            let name = &self.guarded[index].fuse.name;
            match rows.iter().find(|row| row.info.name == **name) {
                Some(row) => self.adopt(index, row, asked_at),
                // Somebody has taken it off the list, and it is declared anew by the next look.
                None => self.standing = Declared::No,
            }
        }
        Ok(())
    }

    /// Makes probes this node's, or keeps them, where it is time for that.
    async fn probe(&mut self, index: usize) -> Result<(), Error> {
        let (guarded, asked_at) = (&self.guarded[index], Instant::now());
        if guarded.step(asked_at) == Step::Wait || self.office.is_closing() {
            return Ok(());
        }
        let (office, fuse) = (&self.office, &guarded.fuse);
        // A queue that is paused has nothing to try.
        let open = office.desks.all().into_iter().filter(|desk| desk.is_open());
        let queues: Vec<String> = open.map(|desk| desk.queue.name.to_string()).collect();
        let kinds = fuse.kinds();
        let probing =
            office
                .store
                .probe_breaker(&fuse.name, office.node, PROBES_LAST, &queues, &kinds);
        match probing.await? {
            Some(row) => self.adopt(index, &row, asked_at),
            // Where nothing waits for it among very many others, looking takes its time.
            None => self.guarded[index].rest(asked_at.elapsed() * LOOK_SHARE),
        }
        Ok(())
    }

    /// What the board said at `asked_at` holds from now on.
    fn adopt(&mut self, index: usize, row: &BreakerRow, asked_at: Instant) {
        let guarded = &mut self.guarded[index];
        let known = guarded.epoch();
        let order = guarded.adopt(row, asked_at);
        guarded.fuse.note(row.info.state);
        let obeyed = self.office.breakers.obey(&guarded.fuse, order);
        self.wake_if(obeyed);
        if known == Some(row.epoch) {
            return;
        }
        // Closed is as it should be at a start.
        if known.is_none() && row.info.state == BreakerState::Closed {
            return;
        }
        let changed = Event::BreakerChanged(row.info.clone());
        self.office.bulletin.say(changed);
        if row.info.changed_by == self.office.node_name {
            self.office.client.tell(Notice::Breaker);
        }
    }

    /// Fetchers look again, also at what is older than what they have claimed since.
    fn wake_if(&self, obeyed: Obeyed) {
        if obeyed == Obeyed::Anew {
            self.office.wakeups.wake_queues_for(i16::MIN);
        }
    }
}
