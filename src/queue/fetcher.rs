//! The fetcher of a queue: a producer that turns demand into claims.
//!
//! Workers ask; the fetcher claims as many jobs as are asked for, plus a look-ahead, in one statement
//! at a time. While a claim is in flight the asks gather, so batches form by themselves. After a claim
//! that came back short it rests until something is announced, or until the next poll.
//!
//! What is lost if it is killed at any await: nothing. The claim runs in a task of its own, which is
//! never cut off; leases that find nobody are dropped, and answer for themselves. Workers subscribe to
//! the successor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::claim_hint::ClaimHint;
use super::claimer::{Claimed, Claimer};
use super::lease::Lease;
use super::look_ahead::LookAhead;
use super::{Counters, Desk, Office, Patience, Queue};
use crate::Error;
use crate::client::Interest;
use crate::planted::{Bug, planted};
use crate::stage::{Mailbox, Outlet, Producer, StageResult};
use crate::store::{ClaimRequest, Notice};

/// How many jobs one claim takes at most.
const MAX_CLAIM: u32 = 5_000;
/// How many answers a process may have that are unconfirmed, or untold to who must know, before its fetchers claim less.
const MAX_UNCONFIRMED: usize = 20_000;
/// How often it looks at most for jobs that the rate of its queue has held back.
const SOONEST_START: Duration = Duration::from_millis(5);
/// How long a fetcher waits then.
const REST_WHEN_FULL: Duration = Duration::from_millis(5);

pub(super) enum FetcherMessage {
    /// A claim has come back.
    Claimed(Claimed),
    /// Jobs of this priority have come, or the queue is paused, resumed or closed.
    Wake(i16),
    /// Look for what nobody announced.
    Poll,
    /// Try again what failed, or was held back.
    Retry,
}

/// What a fetcher is started with; it outlives the fetcher.
#[derive(Clone)]
pub(super) struct FetcherArgs {
    pub(super) office: Arc<Office>,
    pub(super) queue: Queue,
    pub(super) desk: Arc<Desk>,
    pub(super) claimer: Claimer,
}

pub(super) struct Fetcher {
    args: FetcherArgs,
    role: String,
    hint: ClaimHint,
    look_ahead: LookAhead,
    patience: Patience,
    flow: Flow,
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
        outlet.measure_service_time();
        let wakes = myself.clone();
        let interest = Interest::Queue(self.args.queue.name.to_string());
        self.args.office.wakeups.on(interest, move |notice| {
            if let Notice::Available { priority, .. } = notice {
                // A fetcher that is gone has a successor that looks for itself.
                let _gone = wakes.send(FetcherMessage::Wake(*priority));
            }
        });
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
            FetcherMessage::Wake(priority) => self.woken(priority, outlet),
            FetcherMessage::Poll => self.poll(outlet),
            FetcherMessage::Retry => self.retry(),
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
            patience: Patience::default(),
            flow: Flow::Open,
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
        self.hint
            .claimed(claimed.last, claimed.is_full, Instant::now());
        self.flow = if claimed.is_full || was_woken {
            Flow::Open
        } else {
            Flow::Dry
        };
        if let Some(wait) = claimed.look_again_in.filter(|_| self.flow == Flow::Dry) {
            let wait = wait.max(SOONEST_START);
            if wait < self.args.queue.poll_every {
                self.send_after(wait, FetcherMessage::Retry);
            }
        }
        Counters::add(&self.args.office.counters.claimed, leases.len());
        if !self.args.desk.is_open() {
            // Dropped, they are released.
            return Ok(());
        }
        outlet.emit_all(leases);
        Ok(())
    }

    fn claim_failed(&mut self, error: &Error) {
        self.args.office.vitals.degraded(&self.role, error);
        self.flow = Flow::Resting;
        let wait = self.patience.after_failure(fastrand::f64());
        self.send_after(wait, FetcherMessage::Retry);
    }

    fn woken(&mut self, priority: i16, outlet: &mut Outlet<Lease>) {
        self.hint.announced(priority, Instant::now());
        match self.flow {
            Flow::Dry => self.flow = Flow::Open,
            Flow::InFlight { .. } => self.flow = Flow::InFlight { woken: true },
            Flow::Open | Flow::Resting => {}
        }
        if !self.args.desk.is_open() {
            outlet.retain(|_| false);
        }
    }

    fn retry(&mut self) {
        if matches!(self.flow, Flow::Dry | Flow::Resting) {
            self.flow = Flow::Open;
        }
    }

    fn poll(&mut self, outlet: &mut Outlet<Lease>) {
        if self.flow == Flow::Dry && !planted(Bug::NotifyWithoutPoll) {
            self.flow = Flow::Open;
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

    /// How many jobs to claim: what is asked for and the look-ahead, less what is in hand.
    fn wanted(&self, outlet: &Outlet<Lease>) -> u32 {
        let asked = u32::try_from(outlet.demand()).unwrap_or(u32::MAX);
        let workers = outlet.consumers();
        let ahead = self.look_ahead.size(workers, outlet.service_time());
        let in_hand = outlet.buffered() as u32;
        // Without an ask, only when half of what is claimed ahead is used up.
        if asked == 0 && in_hand >= ahead.div_ceil(2) {
            return 0;
        }
        let room = self.room();
        let wanted = asked.saturating_add(ahead.saturating_sub(in_hand));
        wanted.min(MAX_CLAIM).min(room as u32)
    }

    /// How many jobs may be claimed before the ledger, or a follower of attempts that is to get them
    /// all, has caught up.
    fn room(&self) -> usize {
        let office = &self.args.office;
        let behind = office.outbox.count() + office.facts.held_up();
        MAX_UNCONFIRMED.saturating_sub(behind)
    }

    fn claim_if_needed(&mut self, outlet: &Outlet<Lease>) {
        if self.flow != Flow::Open || !self.args.desk.is_open() {
            return;
        }
        let limit = self.wanted(outlet);
        if limit == 0 {
            return self.rest_if_full(outlet);
        }
        let alone = Arc::clone(&self.args.office.suspects)
            .try_acquire_owned()
            .ok();
        let request = ClaimRequest {
            node: self.args.office.node,
            queue: self.args.queue.name.to_string(),
            kinds: self.args.office.registry.names(),
            above: self.hint.above(Instant::now()),
            limit,
            suspects: u32::from(alone.is_some()),
        };
        self.flow = Flow::InFlight { woken: false };
        let (claimer, myself) = (self.args.claimer.clone(), self.myself.clone());
        // A task of its own, never cut off: once the statement is sent, its answer must become leases.
        tokio::spawn(async move {
            let claimed = claimer.claim(request, alone).await;
            // If the fetcher is gone, the leases are dropped, which releases them.
            let _gone = myself.map(|myself| myself.send(FetcherMessage::Claimed(claimed)));
        });
    }

    /// Jobs are asked for, but too many answers are unconfirmed: looks again when the ledger has had
    /// some time.
    fn rest_if_full(&mut self, outlet: &Outlet<Lease>) {
        if outlet.demand() > 0 {
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
