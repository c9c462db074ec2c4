//! The steward: reads how the queues are to be served, and sees to it that they are; tells the other
//! nodes which queues are served here, and by whom.
//!
//! Told at once by whoever said so, in this process or another; and it looks every second, since a
//! notification may be lost. Everything it does is done again the next time, so what is lost if it is
//! killed at any await is a moment: what people asked for is in the database, and how the queues are
//! served is on their desks.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use ractor::{ActorProcessingErr, ActorRef};
use tokio::sync::watch;

use super::pulse::{Pulse, Tick};
use super::roll::roll;
use crate::Error;
use crate::client::{Applied, Interest};
use crate::queue::{Office, Patience, staff};
use crate::store::{NodeCard, Steering, WorkerReport};
use crate::supervision::SupervisorRef;

/// How often it looks without being told.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it tells who works here, if that has changed.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// How many workers it tells of at most.
const MAX_REPORTED: usize = 1_000;
/// How long somebody waits for what he said to be in effect, at most.
const APPLIED_WITHIN: Duration = Duration::from_secs(10);

pub(super) const ROLE: &str = "steward";

pub(super) enum StewardMessage {
    /// Look how the queues are to be served.
    Look(Tick),
    /// Somebody has said something.
    Steered,
}

#[cfg(feature = "cluster")]
impl ractor::Message for StewardMessage {}

/// The root of the tree, known once it is up.
pub(super) type Root = Arc<OnceLock<SupervisorRef>>;

/// What the steward is started with.
#[derive(Debug, Clone)]
pub(super) struct StewardArgs {
    pub(super) office: Arc<Office>,
    pub(super) root: Root,
}

pub(super) struct StewardState {
    args: StewardArgs,
    /// What others are to know of this node, and whether they know it.
    card: watch::Receiver<NodeCard>,
    /// What was told last of the workers, and when.
    told: Option<(Instant, Vec<WorkerReport>)>,
    pulse: Pulse,
    patience: Patience,
}

#[derive(Clone, Copy)]
pub(super) struct Steward;

#[ractor::actor(message = StewardMessage, state = StewardState, arguments = StewardArgs)]
impl Steward {
    async fn pre_start(
        &self,
        myself: ActorRef<StewardMessage>,
        args: StewardArgs,
    ) -> Result<StewardState, ActorProcessingErr> {
        args.office.wakeups.on(Interest::Steered, move |_| {
            // A steward that is gone has a successor that looks at its start.
            let _gone = myself.cast(StewardMessage::Steered);
        });
        let mut card = args.office.card.subscribe();
        // A steward before this one may not have got to it.
        card.mark_changed();
        Ok(StewardState {
            card,
            told: None,
            args,
            pulse: Pulse::default(),
            patience: Patience::default(),
        })
    }

    async fn post_start(
        &self,
        myself: ActorRef<StewardMessage>,
        state: &mut StewardState,
    ) -> Result<(), ActorProcessingErr> {
        state
            .pulse
            .tick_in(Duration::ZERO, &myself, StewardMessage::Look);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<StewardMessage>,
        message: StewardMessage,
        state: &mut StewardState,
    ) -> Result<(), ActorProcessingErr> {
        let wait = match message {
            StewardMessage::Look(tick) if state.pulse.is_current(tick) => state.look().await,
            StewardMessage::Look(_) => return Ok(()),
            StewardMessage::Steered => Duration::ZERO,
        };
        state.pulse.tick_in(wait, &myself, StewardMessage::Look);
        Ok(())
    }
}

impl StewardState {
    /// Looks, and says when to look again.
    async fn look(&mut self) -> Duration {
        let office = Arc::clone(&self.args.office);
        let look = office.looks.begin();
        let wait = match self.read_and_tell().await {
            Ok(()) => {
                self.patience.succeeded();
                office.vitals.working(ROLE);
                LOOK_EVERY
            }
            Err(error) => {
                office.vitals.degraded(ROLE, &error);
                self.patience.after_failure(fastrand::f64())
            }
        };
        self.args.staff().await;
        office.looks.end(look);
        wait
    }

    async fn read_and_tell(&mut self) -> Result<(), Error> {
        self.args.read().await?;
        if self.card.has_changed().unwrap_or_default() {
            let card = self.card.borrow_and_update().clone();
            let told = self.args.office.store.serve(&card).await;
            told.inspect_err(|_| self.card.mark_changed())?;
        }
        self.report().await
    }

    /// Tells who works here, if it is time and there is something new.
    async fn report(&mut self) -> Result<(), Error> {
        let is_early = |at: Instant| at.elapsed() < REPORT_EVERY;
        let Some(root) = self.args.root.get() else {
            return Ok(());
        };
        if self.told.as_ref().is_some_and(|(at, _)| is_early(*at)) {
            return Ok(());
        }
        let office = &self.args.office;
        let mut workers = roll(office, root);
        workers.truncate(MAX_REPORTED);
        let is_old_news = self.told.as_ref().is_some_and(|(_, told)| {
            let mut pairs = workers.iter().zip(told);
            workers.len() == told.len() && pairs.all(|(worker, told)| worker.is_as(told))
        });
        if !is_old_news {
            office.store.report(office.node, &workers).await?;
        }
        self.told = Some((Instant::now(), workers));
        Ok(())
    }
}

impl StewardArgs {
    async fn read(&self) -> Result<(), Error> {
        let settings = self.office.store.settings(self.office.node).await?;
        self.office.steer(|queue| Steering::of(queue, &settings));
        Ok(())
    }

    /// Brings the workers of every queue to their number.
    async fn staff(&self) {
        let Some(queues) = self.root.get().and_then(|root| root.child("queues")) else {
            return;
        };
        for desk in self.office.desks.all() {
            let workers = queues
                .child(&desk.queue.name)
                .and_then(|queue| queue.child("workers"));
            let Some(workers) = workers.filter(|_| !self.office.is_closing()) else {
                continue;
            };
            if let Err(error) = staff(&self.office, &desk, &workers).await {
                // While their supervisor is away; it comes back with the right number.
                tracing::debug!(queue = &*desk.queue.name, %error, "workers are not brought to their number yet");
            }
        }
    }
}

/// Waits until whatever was said of a queue before the call is in effect on this node: of a pause, when no claim of
/// the queue is under way any more.
pub(super) fn applied(office: &Arc<Office>, queue: &str) -> Applied {
    let (office, queue) = (Arc::downgrade(office), Arc::<str>::from(queue));
    Arc::new(move || {
        let (office, queue) = (office.clone(), Arc::clone(&queue));
        let look = office.upgrade().map(|office| office.looks.next());
        async move {
            let Some(look) = look else { return };
            let in_effect = async {
                look.await;
                if let Some(office) = office.upgrade() {
                    office.halted(&queue).await;
                }
            };
            patiently(in_effect).await;
        }
        .boxed()
    })
}

/// Waits until the steward has seen whatever was said before the call.
pub(super) async fn looked(office: &Office) {
    patiently(office.looks.next()).await;
}

/// Waits, but not for ever: the steward goes on trying.
async fn patiently(in_effect: impl Future<Output = ()>) {
    let waited = tokio::time::timeout(APPLIED_WITHIN, in_effect);
    if waited.await.is_err() {
        tracing::warn!("how a queue is to be served is written down, but not in effect yet");
    }
}
