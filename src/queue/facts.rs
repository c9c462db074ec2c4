//! What became of attempts, as it is written: the stage that tells [`Attempted`] to all who follow, and
//! lets them set its pace.
//!
//! The ledger publishes each answer after the database has confirmed it, and never waits; the bulletin
//! hears it first. Consumers subscribe side by side. One that holds the others up can in the end hold up the claims too, and
//! nothing else; one that would rather miss some holds up nobody. Nobody pays for what nobody
//! follows.
//!
//! What is lost if the stage is killed: the news that it holds. The rows are right.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;

use super::Answer;
use crate::event::{Attempted, Bulletin, Event};
use crate::job::Transition;
use crate::stage::{
    self, BroadcastDispatcher, BufferOptions, Mailbox, Outlet, Producer, Produces, Source,
    StageResult, StageSpec, SubscriptionId,
};
use crate::supervision::ChildSpec;

/// What is told of an attempt if somebody follows.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) kind: Arc<str>,
    pub(crate) worker: Option<Arc<str>>,
    pub(crate) ran: Option<Duration>,
    pub(crate) ended_at: SystemTime,
}

/// The attempts that ended on this node, as a stage.
#[derive(Clone)]
pub(crate) struct Facts {
    stage: StageSpec<Produces<Herald>>,
    standing: Arc<Standing>,
    bulletin: Bulletin,
}

/// How the stage stands, for those who must not ask it.
#[derive(Debug, Default)]
struct Standing {
    followers: AtomicUsize,
    /// What followers have not asked for yet.
    held_up: AtomicUsize,
}

impl Facts {
    /// The stage, whose news are to be had at this source.
    pub(crate) fn new(source: Source<Attempted>, bulletin: Bulletin) -> Self {
        let standing = Arc::new(Standing::default());
        let of_stage = Arc::clone(&standing);
        let build = move || Herald {
            standing: Arc::clone(&of_stage),
        };
        Self {
            stage: stage::producer(Arc::clone(source.name()), build)
                .announce_at(source)
                .dispatcher(BroadcastDispatcher::new)
                // Bounded by what is claimed: fetchers claim less when it grows.
                .buffer(BufferOptions::unbounded()),
            standing,
            bulletin,
        }
    }

    pub(crate) fn source(&self) -> Source<Attempted> {
        self.stage.source()
    }

    pub(crate) fn child(&self) -> ChildSpec {
        self.stage.child()
    }

    /// How many attempts wait for a slow follower that was to have them all.
    pub(crate) fn held_up(&self) -> usize {
        self.standing.held_up.load(Ordering::Relaxed)
    }

    /// Whether stories are worth their writing.
    pub(crate) fn is_followed(&self) -> bool {
        self.bulletin.is_heard() || self.has_followers()
    }

    fn has_followers(&self) -> bool {
        self.standing.followers.load(Ordering::Relaxed) > 0
    }

    /// Tells what became of attempts that have a story, and whether they were accepted.
    pub(crate) fn publish<'a>(&self, answers: impl Iterator<Item = (&'a Answer, bool)>) {
        let told = answers.filter_map(|(answer, is_accepted)| Attempted::of(answer, is_accepted));
        self.tell(told.collect());
    }

    /// Tells this to everybody who listens or follows.
    pub(crate) fn tell(&self, told: Vec<Attempted>) {
        for attempted in told.iter().filter(|attempted| self.is_news(attempted)) {
            self.bulletin.say(Event::Attempted(attempted.clone()));
        }
        if !told.is_empty() && self.has_followers() {
            self.standing
                .held_up
                .fetch_add(told.len(), Ordering::Relaxed);
            // A stage that is gone has lost its followers; they come to its successor.
            let _gone = self.stage.handle().send(HeraldMessage::Tell(told));
        }
    }

    /// Waits until everything published so far is delivered, for a while.
    pub(crate) async fn delivered(&self, within: Duration) {
        let (reply, done) = oneshot::channel();
        let asked = HeraldMessage::Delivered(reply);
        if self.stage.handle().send_after_buffered(asked).is_ok()
            && tokio::time::timeout(within, done).await.is_err()
        {
            let held_up = self.held_up();
            self.bulletin.say(Event::FollowersBehind { held_up });
        }
    }

    /// A job that was given up is worth a line of the log, whoever listens.
    fn is_news(&self, attempted: &Attempted) -> bool {
        matches!(attempted.transition, Transition::Bury { .. }) || self.bulletin.is_heard()
    }
}

impl Attempted {
    /// `None`: nobody followed when it ended.
    pub(crate) fn of(answer: &Answer, is_accepted: bool) -> Option<Self> {
        let story = answer.story.as_ref()?;
        Some(Self {
            job: answer.settlement.id,
            attempt: answer.settlement.attempt,
            kind: story.kind.to_string(),
            queue: Arc::clone(&answer.queue),
            worker: story.worker.clone(),
            ran: story.ran,
            ended_at: story.ended_at,
            transition: answer.settlement.transition.clone(),
            is_accepted,
        })
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts")
            .field("standing", &self.standing)
            .finish_non_exhaustive()
    }
}

/// Tells what became of attempts.
pub(crate) struct Herald {
    standing: Arc<Standing>,
}

pub(crate) enum HeraldMessage {
    /// Tell this to everybody.
    Tell(Vec<Attempted>),
    /// Everything told before is delivered.
    Delivered(oneshot::Sender<()>),
}

impl Herald {
    fn show(&self, outlet: &Outlet<Attempted>) {
        let (followers, held_up) = (outlet.consumers(), outlet.buffered());
        self.standing.followers.store(followers, Ordering::Relaxed);
        self.standing.held_up.store(held_up, Ordering::Relaxed);
    }
}

impl Producer for Herald {
    type Event = Attempted;
    type Message = HeraldMessage;

    async fn started(
        &mut self,
        _myself: Mailbox<HeraldMessage>,
        outlet: &mut Outlet<Attempted>,
    ) -> StageResult {
        self.show(outlet);
        Ok(())
    }

    /// Nobody can ask for attempts to end.
    async fn produce(&mut self, _demand: usize, _outlet: &mut Outlet<Attempted>) -> StageResult {
        Ok(())
    }

    async fn handle(
        &mut self,
        message: HeraldMessage,
        outlet: &mut Outlet<Attempted>,
    ) -> StageResult {
        match message {
            HeraldMessage::Tell(attempts) if outlet.consumers() > 0 => outlet.emit_all(attempts),
            // The last follower has just left.
            HeraldMessage::Tell(_) => {}
            HeraldMessage::Delivered(reply) => {
                // Who asked may have waited long enough.
                let _gone = reply.send(());
            }
        }
        self.show(outlet);
        Ok(())
    }

    async fn delivered(&mut self, outlet: &mut Outlet<Attempted>) -> StageResult {
        self.show(outlet);
        Ok(())
    }

    async fn joined(&mut self, _: SubscriptionId, outlet: &mut Outlet<Attempted>) -> StageResult {
        self.show(outlet);
        Ok(())
    }

    async fn left(&mut self, _: SubscriptionId, outlet: &mut Outlet<Attempted>) -> StageResult {
        if outlet.consumers() == 0 {
            outlet.retain(|_| false);
        }
        self.show(outlet);
        Ok(())
    }
}
