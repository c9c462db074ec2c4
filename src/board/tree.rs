//! The supervision tree of a board.
//!
//! Started in this order, stopped in the reverse: the gate closes first, then the queues go, the
//! ledger writes its last, and liveness says goodbye.

use std::sync::Arc;
use std::time::Duration;

use ractor::Actor;

use super::breakers::{self, Breakers};
use super::gate::{Gate, GateArgs};
#[cfg(unix)]
use super::isolates::{self, Isolates, IsolatesArgs};
use super::ledger::{self, Ledger};
use super::liveness::{self, Liveness, LivenessArgs};
use super::mourner::{self, Mourner, MournerArgs};
use super::notifier::{self, Notifier};
use super::pruner::{self, Pruner, PrunerArgs};
use super::rescuer::{self, Rescuer, RescuerArgs};
use super::sampler::{self, Sampler, SamplerArgs};
use super::scheduler::{self, Scheduler};
use super::steward::{self, Steward, StewardArgs};
use crate::event::Event;
#[cfg(unix)]
use crate::handler::isolation::Shelf;
use crate::queue::{Office, is_killed, queue_child};
use crate::supervision::{
    Backoff, ChildSpec, Events, Intensity, Shutdown, Strategy, SupervisorSpec,
};

/// How long the ledger's last write and the goodbye may take.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// What the tree is built from.
pub(super) struct Blueprint {
    pub(super) office: Arc<Office>,
    /// Of the application's own.
    pub(super) children: Vec<ChildSpec>,
    /// If the application wants to know of burials.
    pub(super) mourner: Option<MournerArgs>,
    /// Where the isolates of this node's kinds idle.
    #[cfg(unix)]
    pub(super) shelves: Vec<Shelf>,
    pub(super) liveness: LivenessArgs,
    pub(super) rescuer: RescuerArgs,
    pub(super) pruner: PrunerArgs,
    pub(super) sampler: Option<SamplerArgs>,
    pub(super) steward: StewardArgs,
    pub(super) gate: GateArgs,
}

impl Blueprint {
    pub(super) fn into_spec(self) -> SupervisorSpec {
        let office = self.office;
        let bulletin = office.bulletin.clone();
        let events = Events::default().listener(move |event| {
            bulletin.say_if_heard(|| Event::Supervised(event.clone()));
        });
        let spec = SupervisorSpec::new(Strategy::OneForOne)
            .events(events)
            // Crashes here are bugs, since trouble with the database is a state and not a crash.
            .intensity(Intensity {
                max_restarts: 20,
                within: Duration::from_secs(60),
            })
            .child(
                actor(liveness::ROLE, Liveness, self.liveness)
                    .shutdown(Shutdown::Timeout(LAST_WORDS)),
            )
            .child(office.facts.child().role("attempts").uncounted(is_killed));
        // Before those that bury, so that it hears of the last of them.
        let mourner = self.mourner.map(|args| actor(mourner::ROLE, Mourner, args));
        let spec = mourner
            .into_iter()
            .fold(spec, SupervisorSpec::child)
            .child(
                actor(ledger::ROLE, Ledger, Arc::clone(&office))
                    .shutdown(Shutdown::Timeout(LAST_WORDS)),
            )
            .child(
                actor(notifier::ROLE, Notifier, Arc::clone(&office)).shutdown(Shutdown::BrutalKill),
            )
            .child(actor(scheduler::ROLE, Scheduler, Arc::clone(&office)))
            .child(actor(rescuer::ROLE, Rescuer, self.rescuer))
            .child(actor(pruner::ROLE, Pruner, self.pruner))
            .child(actor(breakers::ROLE, Breakers, Arc::clone(&office)))
            .child(actor(steward::ROLE, Steward, self.steward));
        let sampler = self.sampler.map(|args| actor(sampler::ROLE, Sampler, args));
        let spec = sampler
            .into_iter()
            .fold(spec, SupervisorSpec::child)
            .child(application(self.children));
        #[cfg(unix)]
        let spec = IsolatesArgs::of(&office, self.shelves)
            .map(|args| actor(isolates::ROLE, Isolates, args))
            .map(|isolates| isolates.shutdown(Shutdown::Timeout(isolates::STOP_WITHIN)))
            .into_iter()
            .fold(spec, SupervisorSpec::child);
        spec.child(ChildSpec::supervisor("queues", queues(&office)).uncounted(is_killed))
            .child(actor("gate", Gate, self.gate).shutdown(Shutdown::Infinity))
    }
}

/// What the application hangs in. When it melts down it backs off and takes nobody along.
fn application(children: Vec<ChildSpec>) -> ChildSpec {
    let supervisor = children
        .into_iter()
        .fold(SupervisorSpec::new(Strategy::OneForOne), |all, child| {
            all.child(child)
        });
    let backoff = Backoff::exponential(Duration::from_millis(50), Duration::from_secs(30));
    ChildSpec::supervisor("application", supervisor)
        .backoff(backoff)
        .uncounted(is_killed)
}

/// The queues that there are at the time. Each backs off on its own when it melts down, and none takes
/// another along.
fn queues(office: &Arc<Office>) -> SupervisorSpec {
    let many = Intensity {
        max_restarts: u32::MAX,
        within: Duration::from_secs(60),
    };
    let office = Arc::clone(office);
    SupervisorSpec::new(Strategy::OneForOne)
        .intensity(many)
        .choose_children(move || {
            let desks = office.desks.all();
            desks
                .iter()
                .map(|desk| queue_child(desk, &office))
                .collect()
        })
}

/// An actor of the board as a child.
pub(super) fn actor<A>(role: &'static str, actor: A, args: A::Arguments) -> ChildSpec
where
    A: Actor + Copy + Sync,
    A::Arguments: Clone + Sync,
{
    ChildSpec::actor(role, actor, args)
        .role(role)
        .uncounted(is_killed)
}
