//! The sampler: says now and then how things stand, for gauges.
//!
//! It asks the database two cheap questions each time, and nobody else anything. It is only there if it
//! is asked for. What is lost if it is killed at any await: a sample.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ractor::{ActorProcessingErr, ActorRef};

use super::pulse::{Pulse, Tick};
use crate::Error;
use crate::event::{Event, QueueSample, Sample};
use crate::queue::{Condition, Office, Seat};
use crate::stage::{StageInfo, SubscriptionInfo};
use crate::supervision::{Snapshot, SupervisorRef};

/// How soon to look again while the tree is still starting.
const LOOK_AGAIN_IN: Duration = Duration::from_millis(10);

pub(super) const ROLE: &str = "sampler";

pub(super) enum SamplerMessage {
    /// Take a sample.
    Take(Tick),
}

#[cfg(feature = "cluster")]
impl ractor::Message for SamplerMessage {}

/// What the sampler is started with.
#[derive(Debug, Clone)]
pub(super) struct SamplerArgs {
    pub(super) office: Arc<Office>,
    pub(super) every: Duration,
    /// The tree, once it has started.
    pub(super) root: Arc<OnceLock<SupervisorRef>>,
}

pub(super) struct SamplerState {
    args: SamplerArgs,
    pulse: Pulse,
}

#[derive(Clone, Copy)]
pub(super) struct Sampler;

#[ractor::actor(message = SamplerMessage, state = SamplerState, arguments = SamplerArgs)]
impl Sampler {
    async fn pre_start(
        &self,
        _myself: ActorRef<SamplerMessage>,
        args: SamplerArgs,
    ) -> Result<SamplerState, ActorProcessingErr> {
        Ok(SamplerState {
            args,
            pulse: Pulse::default(),
        })
    }

    async fn post_start(
        &self,
        myself: ActorRef<SamplerMessage>,
        state: &mut SamplerState,
    ) -> Result<(), ActorProcessingErr> {
        state
            .pulse
            .tick_in(Duration::ZERO, &myself, SamplerMessage::Take);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<SamplerMessage>,
        SamplerMessage::Take(tick): SamplerMessage,
        state: &mut SamplerState,
    ) -> Result<(), ActorProcessingErr> {
        if !state.pulse.is_current(tick) {
            return Ok(());
        }
        let wait = match state.args.root.get() {
            Some(root) => {
                state.take(&root.snapshot()).await;
                state.args.every
            }
            None => LOOK_AGAIN_IN,
        };
        state.pulse.tick_in(wait, &myself, SamplerMessage::Take);
        Ok(())
    }
}

impl SamplerState {
    async fn take(&self, tree: &Snapshot) {
        let office = &self.args.office;
        match sample(office, tree).await {
            Ok(sample) => {
                office.vitals.working(ROLE);
                office.bulletin.say(Event::Sampled(sample));
            }
            Err(error) => office.vitals.degraded(ROLE, &error),
        }
    }
}

async fn sample(office: &Office, tree: &Snapshot) -> Result<Sample, Error> {
    let mut demands = demands(tree);
    let names: Vec<&str> = demands.keys().copied().collect();
    let depths = office.store.depths(&names).await?;
    let vitality = office.store.vitality().await?;
    let desks = office.desks.all().into_iter();
    let seats: HashMap<_, _> = desks
        .map(|desk| (Arc::clone(&desk.queue.name), desk.seats_taken()))
        .collect();
    let fuses = office.breakers.fuses();
    let mut in_hand = office.custody.count_by_queue();
    let parts = office.vitals.all().into_iter();
    Ok(Sample {
        queues: depths
            .into_iter()
            .map(|depth| QueueSample {
                workers: seats.get(&*depth.queue).map_or(0, Vec::len),
                executing: seats.get(&*depth.queue).map_or(0, |seats| executing(seats)),
                in_hand: in_hand.remove(&*depth.queue).unwrap_or_default(),
                demand: demands.remove(&*depth.queue).unwrap_or_default(),
                depth,
            })
            .collect(),
        vitality,
        pools: office.store.pools(),
        unconfirmed: office.outbox.count(),
        parts: parts
            .map(|(part, condition)| (part, matches!(condition, Condition::Working)))
            .collect(),
        breakers: fuses
            .iter()
            .filter_map(|fuse| Some((Arc::clone(&fuse.name), fuse.stands()?)))
            .collect(),
    })
}

/// How many attempts the workers on these seats run.
fn executing(seats: &[Arc<Seat>]) -> u64 {
    let at = seats.iter().filter_map(|seat| seat.occupation());
    at.map(|occupation| u64::from(occupation.jobs)).sum()
}

/// What the workers of each queue have asked for and not got.
fn demands(tree: &Snapshot) -> HashMap<&str, u64> {
    let queues = tree.find(&["queues"]).map_or(&[][..], |q| &q.children);
    let demand = |queue: &Snapshot| -> Option<u64> {
        let workers = queue.find(&["workers"])?.children.iter();
        let stages = workers.filter_map(|worker| StageInfo::of(&worker.info));
        let asked = stages.flat_map(|stage| &stage.upstream);
        Some(asked.map(SubscriptionInfo::outstanding).sum())
    };
    queues
        .iter()
        .map(|queue| (&*queue.info.id, demand(queue).unwrap_or_default()))
        .collect()
}
