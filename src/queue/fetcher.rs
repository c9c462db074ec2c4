//! The fetcher of a queue: a producer that turns demand into claims.
//!
//! Workers ask; the fetcher claims as many jobs as are asked for, plus a look-ahead, in one statement
//! at a time. While a claim is in flight the asks gather, so batches form by themselves. After a claim
//! that came back short it rests until something is announced, or until the next poll. Meanwhile it lends
//! what it would claim to enqueues of this process, and gets jobs that are claimed from their birth.
//!
//! What is lost if it is killed at any await: nothing. The claim runs in a task of its own, which is
//! never cut off; leases that find nobody are dropped, and answer for themselves. Workers subscribe to
//! the successor.

mod orders;
mod rest;
mod wanted;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::arrivals::Arrivals;
use super::claim_hint::{ClaimHint, KEPT_FOR_SHORT, Yield};
use super::claimer::{Claimed, Claimer};
use super::lease::Lease;
use super::look_ahead::LookAhead;
use super::rationing::Rationing;
use super::{Desk, Office, Patience, Queue};
use crate::Error;
use crate::client::{Interest, Loan, Offer};
use crate::planted::{Bug, planted};
use crate::stage::{Mailbox, Outlet, Producer, StageResult};
use crate::store::Notice;
use rest::{Look, Rest};

/// How long a fetcher waits then.
const REST_WHEN_FULL: Duration = Duration::from_millis(5);
/// How often it looks at most for jobs that the rate of its queue has held back.
const SOONEST_START: Duration = Duration::from_millis(5);
/// So many jobs, in hand or about to be settled, are not walked over by each claim that comes back short.
const MANY: usize = 200;

pub(super) enum FetcherMessage {
    /// A claim has come back.
    Claimed(Claimed),
    /// These were claimed at birth. The asks that were lent for them return when they are taken in.
    Born(Vec<Lease>, Loan),
    /// An enqueue may have claimed some that nobody here holds.
    LookAfterBirths,
    /// Jobs of this priority have come, or the queue is paused, resumed or closed.
    Wake(i16),
    /// Look for what nobody announced.
    Poll,
    /// Try again what failed, or was held back.
    Retry,
    /// Look for what was announced during a rest.
    Rested,
}

/// What a fetcher is started with; it outlives the fetcher.
#[derive(Clone)]
pub(super) struct FetcherArgs {
    pub(super) office: Arc<Office>,
    pub(super) queue: Queue,
    pub(super) desk: Arc<Desk>,
    pub(super) claimer: Claimer,
    pub(super) arrivals: Arc<Arrivals>,
}

pub(super) struct Fetcher {
    args: FetcherArgs,
    role: String,
    hint: ClaimHint,
    look_ahead: LookAhead,
    /// The same for births: what the workers will finish while an enqueue is in flight.
    birth_ahead: LookAhead,
    rationing: Rationing,
    rest: Rest,
    patience: Patience,
    flow: Flow,
    /// The last claim for all has left nobody waiting.
    keeps_up: bool,
    myself: Option<Mailbox<FetcherMessage>>,
}

/// Whether a claim may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// There may be jobs.
    Open,
    /// A claim is in flight; `woken` says that something was announced meanwhile.
    InFlight { woken: bool },
    /// The last claim came back short.
    Dry,
    /// The last claim failed; a retry is due.
    Resting,
}

impl Producer for Fetcher {
    type Event = Lease;
    type Message = FetcherMessage;

    async fn started(
        &mut self,
        myself: Mailbox<FetcherMessage>,
        outlet: &mut Outlet<Lease>,
    ) -> StageResult {
        outlet.share();
        let wakes = myself.clone();
        let interest = Interest::Queue(self.args.queue.name.to_string());
        self.args.office.wakeups.on(interest, move |notice| {
            if let Notice::Available { priority, .. } = notice {
                // A fetcher that is gone has a successor that looks for itself.
                let _gone = wakes.send(FetcherMessage::Wake(*priority));
            }
        });
        self.args.arrivals.come_to(myself.clone());
        self.myself = Some(myself);
        self.poll_later();
        Ok(())
    }

    async fn produce(&mut self, _demand: usize, outlet: &mut Outlet<Lease>) -> StageResult {
        self.claim_if_needed(outlet);
        Ok(())
    }

    /// What is claimed ahead runs low.
    async fn delivered(&mut self, outlet: &mut Outlet<Lease>) -> StageResult {
        self.claim_if_needed(outlet);
        Ok(())
    }

    async fn handle(&mut self, message: FetcherMessage, outlet: &mut Outlet<Lease>) -> StageResult {
        match message {
            // What it brought is to be delivered first.
            FetcherMessage::Claimed(claimed) => return self.claimed(claimed, outlet),
            FetcherMessage::Born(leases, loan) => self.born(leases, loan, outlet),
            FetcherMessage::LookAfterBirths => self.look_after_births(),
            FetcherMessage::Wake(priority) => self.woken(priority, outlet),
            FetcherMessage::Poll => self.poll(outlet),
            FetcherMessage::Retry => self.retry(),
            FetcherMessage::Rested => self.look(),
        }
        self.claim_if_needed(outlet);
        Ok(())
    }
}

impl Fetcher {
    pub(super) fn new(args: FetcherArgs) -> Self {
        Self {
            role: format!("fetcher of {}", args.queue.name),
            hint: ClaimHint::new(Instant::now()),
            look_ahead: LookAhead::new(args.queue.look_ahead),
            birth_ahead: LookAhead::new(args.queue.look_ahead),
            rationing: Rationing::new(&args.office),
            rest: Rest::default(),
            patience: Patience::default(),
            flow: Flow::Open,
            keeps_up: false,
            myself: None,
            args,
        }
    }

    fn claimed(&mut self, claimed: Claimed, outlet: &mut Outlet<Lease>) -> StageResult {
        let was_woken = self.flow == Flow::InFlight { woken: true };
        let leases = match claimed.leases {
            Ok(leases) => leases,
            Err(error) => {
                self.claim_failed(&error);
                return Ok(());
            }
        };
        self.patience.succeeded();
        self.args.office.vitals.working(&self.role);
        self.look_ahead.claim_took(claimed.took);
        self.look_ahead
            .claim_brought(leases.len(), bytes_of(&leases));
        let is_dry = match claimed.rationed_by {
            Some(breaker) => {
                if !claimed.is_full {
                    self.rationing.came_short(&breaker);
                }
                // It says nothing about all others.
                true
            }
            None => {
                let now = Instant::now();
                self.rest.claimed(leases.len(), claimed.took, now);
                let brought = self.brought(claimed.is_full, outlet);
                if brought != Yield::Full && self.hint.is_set() {
                    // It may have passed somebody over.
                    self.send_after(KEPT_FOR_SHORT, FetcherMessage::Retry);
                }
                self.hint.claimed(claimed.last, brought, now);
                self.keeps_up = brought != Yield::Full;
                self.keeps_up
            }
        };
        self.flow = if is_dry { Flow::Dry } else { Flow::Open };
        if was_woken {
            self.look();
        }
        if let Some(wait) = claimed.look_again_in.filter(|_| self.flow == Flow::Dry) {
            let wait = wait.max(SOONEST_START);
            if wait < self.args.queue.poll_every {
                self.send_after(wait, FetcherMessage::Retry);
            }
        }
        if !self.args.desk.is_open() {
            // Dropped, they are released.
            return Ok(());
        }
        outlet.emit_all(leases);
        Ok(())
    }

    /// What a claim brought, as the hint for the next one takes it.
    fn brought(&self, is_full: bool, outlet: &Outlet<Lease>) -> Yield {
        let executing = outlet.buffered() + self.args.office.outbox.count();
        match is_full {
            true => Yield::Full,
            false if executing < MANY => Yield::Short,
            false => Yield::ShortAmongMany,
        }
    }

    fn born(&mut self, leases: Vec<Lease>, loan: Loan, outlet: &mut Outlet<Lease>) {
        self.birth_ahead.claim_took(loan.age());
        self.birth_ahead
            .claim_brought(leases.len(), bytes_of(&leases));
        if self.args.desk.is_open() {
            outlet.emit_all(leases);
        }
        // Before the asks return, which are met now.
        self.offer(outlet);
        drop(loan);
    }

    /// Looks again when the server has given the statement up for certain.
    fn look_after_births(&self) {
        let again = FetcherMessage::Wake(i16::MAX);
        self.send_after(self.args.arrivals.settled_after(), again);
    }

    fn claim_failed(&mut self, error: &Error) {
        self.args.office.vitals.degraded(&self.role, error);
        self.flow = Flow::Resting;
        let wait = self.patience.after_failure(fastrand::f64());
        self.send_after(wait, FetcherMessage::Retry);
    }

    fn woken(&mut self, priority: i16, outlet: &mut Outlet<Lease>) {
        self.hint.announced(priority, Instant::now());
        self.rationing.look_again();
        if self.rationing.has_changed() {
            // What may not begin any more is returned.
            outlet.retain(|lease| self.rationing.is_let(lease));
        }
        self.look();
        if !self.args.desk.is_open() {
            outlet.retain(|_| false);
        }
    }

    /// Looks for what was announced: now, after the claim that is in flight, or when there was rest enough.
    fn look(&mut self) {
        match self.flow {
            Flow::Dry => match self.rest.announced(Instant::now()) {
                Look::Now => self.flow = Flow::Open,
                Look::In(wait) => self.send_after(wait, FetcherMessage::Rested),
                Look::IsDue => {}
            },
            Flow::InFlight { .. } => self.flow = Flow::InFlight { woken: true },
            Flow::Open | Flow::Resting => {}
        }
    }

    fn retry(&mut self) {
        match self.flow {
            Flow::Dry => self.look(),
            Flow::Resting => self.flow = Flow::Open,
            Flow::Open | Flow::InFlight { .. } => {}
        }
    }

    fn poll(&mut self, outlet: &mut Outlet<Lease>) {
        if self.flow == Flow::Dry && !planted(Bug::NotifyWithoutPoll) {
            self.flow = Flow::Open;
            self.rationing.look_again();
        }
        // What nobody asked for in a whole period is returned to the board.
        let period = self.args.queue.poll_every;
        outlet.retain(|lease| lease.claimed_at().elapsed() < period);
        self.poll_later();
    }

    fn poll_later(&self) {
        // Jitter keeps nodes from polling in step.
        let period = self
            .args
            .queue
            .poll_every
            .mul_f64(0.9 + 0.2 * fastrand::f64());
        self.send_after(period, FetcherMessage::Poll);
    }

    fn claim_if_needed(&mut self, outlet: &Outlet<Lease>) {
        let is_in_doubt = self.args.claimer.is_in_doubt();
        if is_in_doubt && self.flow == Flow::Dry {
            self.flow = Flow::Open;
        }
        self.offer(outlet);
        if is_in_doubt {
            // What is on its way into its hands is not to be found by a look; its end wakes.
            if self.flow == Flow::Open && !self.args.arrivals.is_any_lent() {
                let limit = match self.args.desk.is_open() {
                    true => self.wanted(outlet),
                    false => 0,
                };
                self.claim_up_to(limit, outlet);
            }
            return;
        }
        if !self.args.desk.is_open() {
            return;
        }
        let may_claim = matches!(self.flow, Flow::Open | Flow::Dry);
        if may_claim && self.claim_rationed(outlet) {
            return;
        }
        if self.flow == Flow::Open {
            self.claim_free(outlet);
        }
    }

    fn claim_free(&mut self, outlet: &Outlet<Lease>) {
        let limit = self.wanted(outlet);
        if limit == 0 {
            return self.rest_if_full(outlet);
        }
        self.claim_up_to(limit, outlet);
    }

    /// Jobs are asked for, but too many answers are unconfirmed: looks again when the ledger has had
    /// some time.
    fn rest_if_full(&mut self, outlet: &Outlet<Lease>) {
        if outlet.demand() > 0 && self.room() == 0 {
            self.flow = Flow::Resting;
            self.send_after(REST_WHEN_FULL, FetcherMessage::Retry);
        }
    }

    fn send_after(&self, wait: Duration, message: FetcherMessage) {
        if let Some(myself) = &self.myself {
            myself.send_after(wait, message);
        }
    }
}

/// How many bytes of arguments there are.
fn bytes_of(leases: &[Lease]) -> usize {
    leases.iter().map(|lease| lease.job().payload.len()).sum()
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.args.arrivals.offer(Offer::Nothing);
    }
}
