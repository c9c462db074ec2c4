//! The fetcher of a queue: a producer that turns demand into claims.
//!
//! Workers ask; the fetcher claims as many jobs as are asked for, plus a look-ahead, in one statement
//! at a time. While a claim is in flight the asks gather, so batches form by themselves. After a claim
//! that came back short it rests until something is announced, or until the next poll.
//!
//! What is lost if it is killed at any await: nothing. The claim runs in a task of its own, which is
//! never cut off; leases that find nobody are dropped, and answer for themselves. Workers subscribe to
//! the successor.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::claim_hint::ClaimHint;
use super::claimer::{Claimed, Claimer};
use super::lease::Lease;
use super::look_ahead::LookAhead;
use super::{Counters, Office, Patience, Queue};
use crate::Error;
use crate::client::Interest;
use crate::planted::{Bug, planted};
use crate::stage::{
    ConsumerMessage, ConsumerRef, DemandDispatcher, ProducerAddress, ProducerMessage,
    SubscriptionId,
};
use crate::store::{ClaimRequest, Notice};
use ractor::{ActorProcessingErr, ActorRef, MessagingErr};

/// How many jobs one claim takes at most.
const MAX_CLAIM: u32 = 5_000;
/// How many unconfirmed answers a process may have before its fetchers claim less.
const MAX_UNCONFIRMED: usize = 20_000;
/// How long a fetcher waits then.
const REST_WHEN_FULL: Duration = Duration::from_millis(5);

pub(super) enum FetcherMessage {
    /// From a worker.
    Producer(ProducerMessage<Lease>),
    /// A claim has come back.
    Claimed(Claimed),
    /// Jobs of this priority have come, or the board closes.
    Wake(i16),
    /// Look for what nobody announced.
    Poll,
    /// Try again what failed.
    Retry,
}

#[cfg(feature = "cluster")]
impl ractor::Message for FetcherMessage {}

impl From<ProducerMessage<Lease>> for FetcherMessage {
    fn from(message: ProducerMessage<Lease>) -> Self {
        Self::Producer(message)
    }
}

impl TryFrom<FetcherMessage> for ProducerMessage<Lease> {
    type Error = ();

    fn try_from(message: FetcherMessage) -> Result<Self, ()> {
        match message {
            FetcherMessage::Producer(message) => Ok(message),
            _ => Err(()),
        }
    }
}

/// What a fetcher is started with; it outlives the fetcher.
#[derive(Clone)]
pub(super) struct FetcherArgs {
    pub(super) office: Arc<Office>,
    pub(super) queue: Queue,
    pub(super) address: Arc<ProducerAddress<Lease>>,
    pub(super) claimer: Claimer,
}

pub(super) struct FetcherState {
    args: FetcherArgs,
    role: String,
    dispatcher: DemandDispatcher,
    consumers: HashMap<SubscriptionId, Consumer>,
    /// Claimed ahead, and what came back from workers that are gone.
    buffer: VecDeque<Lease>,
    hint: ClaimHint,
    look_ahead: LookAhead,
    patience: Patience,
    flow: Flow,
}

struct Consumer {
    actor: ConsumerRef<Lease>,
    /// When it was last given jobs, and how many.
    served: Option<(Instant, u32)>,
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

#[derive(Clone, Copy)]
pub(super) struct Fetcher;

#[ractor::actor(message = FetcherMessage, state = FetcherState, arguments = FetcherArgs)]
impl Fetcher {
    async fn pre_start(
        &self,
        myself: ActorRef<FetcherMessage>,
        args: FetcherArgs,
    ) -> Result<FetcherState, ActorProcessingErr> {
        let wakes = myself.clone();
        let interest = Interest::Queue(args.queue.name.to_string());
        args.office.wakeups.on(interest, move |notice| {
            if let Notice::Available { priority, .. } = notice {
                // A fetcher that is gone has a successor that looks for itself.
                let _gone = wakes.cast(FetcherMessage::Wake(*priority));
            }
        });
        Ok(FetcherState {
            role: format!("fetcher of {}", args.queue.name),
            dispatcher: DemandDispatcher::new(),
            consumers: HashMap::new(),
            buffer: VecDeque::new(),
            hint: ClaimHint::new(Instant::now()),
            look_ahead: LookAhead::new(args.queue.look_ahead),
            patience: Patience::default(),
            flow: Flow::Open,
            args,
        })
    }

    async fn post_start(
        &self,
        myself: ActorRef<FetcherMessage>,
        state: &mut FetcherState,
    ) -> Result<(), ActorProcessingErr> {
        state.args.address.announce(myself.get_derived());
        state.poll_later(&myself);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<FetcherMessage>,
        message: FetcherMessage,
        state: &mut FetcherState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            FetcherMessage::Producer(message) => state.heard(message),
            FetcherMessage::Claimed(claimed) => state.claimed(claimed, &myself),
            FetcherMessage::Wake(priority) => state.woken(priority),
            FetcherMessage::Poll => state.poll(&myself),
            FetcherMessage::Retry => state.flow = Flow::Open,
        }
        state.deliver();
        state.claim_if_needed(&myself);
        Ok(())
    }
}

impl FetcherState {
    fn heard(&mut self, message: ProducerMessage<Lease>) {
        match message {
            ProducerMessage::Subscribe {
                subscription,
                consumer,
            } => {
                self.dispatcher.subscribe(subscription);
                self.consumers.insert(
                    subscription,
                    Consumer {
                        actor: consumer,
                        served: None,
                    },
                );
            }
            ProducerMessage::Ask {
                subscription,
                demand,
            } => {
                if let Some(consumer) = self.consumers.get_mut(&subscription) {
                    if let Some((at, jobs)) = consumer.served.take() {
                        self.look_ahead.job_took(at.elapsed() / jobs);
                    }
                    self.dispatcher.ask(subscription, demand);
                }
            }
            ProducerMessage::Cancel { subscription } => {
                self.dispatcher.cancel(subscription);
                self.consumers.remove(&subscription);
            }
        }
    }

    fn claimed(&mut self, claimed: Claimed, myself: &ActorRef<FetcherMessage>) {
        let was_woken = self.flow == Flow::InFlight { woken: true };
        let leases = match claimed.leases {
            Ok(leases) => leases,
            Err(error) => return self.claim_failed(&error, myself),
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
        Counters::add(&self.args.office.counters.claimed, leases.len());
        if self.args.office.is_closing() {
            // Dropped, they are released.
            return;
        }
        self.buffer.extend(leases);
    }

    fn claim_failed(&mut self, error: &Error, myself: &ActorRef<FetcherMessage>) {
        self.args.office.vitals.degraded(&self.role, error);
        self.flow = Flow::Resting;
        let wait = self.patience.after_failure(fastrand::f64());
        drop(myself.send_after(wait, || FetcherMessage::Retry));
    }

    fn woken(&mut self, priority: i16) {
        self.hint.announced(priority, Instant::now());
        match self.flow {
            Flow::Dry => self.flow = Flow::Open,
            Flow::InFlight { .. } => self.flow = Flow::InFlight { woken: true },
            Flow::Open | Flow::Resting => {}
        }
        if self.args.office.is_closing() {
            self.buffer.clear();
        }
    }

    fn poll(&mut self, myself: &ActorRef<FetcherMessage>) {
        if self.flow == Flow::Dry && !planted(Bug::NotifyWithoutPoll) {
            self.flow = Flow::Open;
        }
        // What nobody asked for in a whole period is returned to the board.
        let period = self.args.queue.poll_every;
        self.buffer.retain(|lease| lease.waited() < period);
        self.poll_later(myself);
    }

    fn poll_later(&self, myself: &ActorRef<FetcherMessage>) {
        // Jitter keeps nodes from polling in step.
        let period = self
            .args
            .queue
            .poll_every
            .mul_f64(0.9 + 0.2 * fastrand::f64());
        drop(myself.send_after(period, || FetcherMessage::Poll));
    }

    fn deliver(&mut self) {
        while !self.buffer.is_empty() {
            let deliveries = self.dispatcher.dispatch(&mut self.buffer);
            if deliveries.is_empty() {
                return;
            }
            for (subscription, events) in deliveries {
                self.deliver_to(subscription, events);
            }
        }
    }

    fn deliver_to(&mut self, subscription: SubscriptionId, events: Vec<Lease>) {
        let Some(consumer) = self.consumers.get_mut(&subscription) else {
            return;
        };
        consumer.served = Some((Instant::now(), events.len() as u32));
        let sent = consumer.actor.send_message(ConsumerMessage::Events {
            subscription,
            events,
        });
        if let Err(failed) = sent {
            self.dispatcher.cancel(subscription);
            self.consumers.remove(&subscription);
            // The worker is gone; its jobs go to the next who asks.
            if let MessagingErr::SendErr(ConsumerMessage::Events { events, .. }) = failed {
                events
                    .into_iter()
                    .rev()
                    .for_each(|lease| self.buffer.push_front(lease));
            }
        }
    }

    /// How many jobs to claim: what is asked for and the look-ahead, less what is in hand.
    fn wanted(&self) -> u32 {
        let asked = u32::try_from(self.dispatcher.outstanding()).unwrap_or(u32::MAX);
        let ahead = self.look_ahead.size(self.dispatcher.consumers());
        let in_hand = self.buffer.len() as u32;
        // Without an ask, only when half of what is claimed ahead is used up.
        if asked == 0 && in_hand >= ahead.div_ceil(2) {
            return 0;
        }
        let room = MAX_UNCONFIRMED.saturating_sub(self.args.office.outbox.count());
        let wanted = asked.saturating_add(ahead.saturating_sub(in_hand));
        wanted.min(MAX_CLAIM).min(room as u32)
    }

    fn claim_if_needed(&mut self, myself: &ActorRef<FetcherMessage>) {
        if self.flow != Flow::Open || self.args.office.is_closing() {
            return;
        }
        let limit = self.wanted();
        if limit == 0 {
            return self.rest_if_full(myself);
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
        let (claimer, myself) = (self.args.claimer.clone(), myself.clone());
        // A task of its own, never cut off: once the statement is sent, its answer must become leases.
        tokio::spawn(async move {
            let claimed = claimer.claim(request, alone).await;
            // If the fetcher is gone, the leases are dropped, which releases them.
            let _gone = myself.cast(FetcherMessage::Claimed(claimed));
        });
    }

    /// Jobs are asked for, but too many answers are unconfirmed: looks again when the ledger has had
    /// some time.
    fn rest_if_full(&mut self, myself: &ActorRef<FetcherMessage>) {
        if self.dispatcher.outstanding() > 0 {
            self.flow = Flow::Resting;
            drop(myself.send_after(REST_WHEN_FULL, || FetcherMessage::Retry));
        }
    }
}
