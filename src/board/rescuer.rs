//! The rescuer: takes back the jobs of nodes that are gone.
//!
//! Every node sweeps; there is no leader. A node whose lease ran out is dead. One whose session lock is
//! free in two sweeps on end is taken for dead too, long before its lease runs out; should it live
//! after all, the fence refuses its answers. After trouble with the database this node judges nobody
//! for a lease: the others had the same trouble and are on their way back.
//!
//! What a process has begun in the express lane is free when it dies, and charged by what it has
//! foretold: with the sweep, or as soon as a claim finds some of it.
//!
//! What is lost if it is killed at any await: nothing, a rescue is one statement.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ractor::{ActorProcessingErr, ActorRef};

use super::doubts::{Doubts, LOOKS_APART};
use super::pulse::{Pulse, Tick};
use crate::Error;
use crate::event::Event;
use crate::job::{BuryReason, Failure, FailureKind, NodeId, Transition};
use crate::queue::{Attempted, Counters, Office, Patience};
use crate::store::{Fate, Notice, RescuedJob, Troubled, TurnAfter};

/// How often to look for jobs whose node is on no list, which reads the whole table.
const SEARCH_EVERY: Duration = Duration::from_secs(10 * 60);

pub(super) const ROLE: &str = "rescuer";

pub(super) enum RescuerMessage {
    /// Look for dead nodes.
    Sweep(Tick),
    /// Find out whether processes died of batches of the express lane that claims have found.
    Judge(Tick),
    /// Claims have found some.
    Contested,
}

#[cfg(feature = "cluster")]
impl ractor::Message for RescuerMessage {}

/// What the rescuer is started with.
#[derive(Debug, Clone)]
pub(super) struct RescuerArgs {
    pub(super) office: Arc<Office>,
    pub(super) sweep_every: Duration,
    pub(super) max_deaths: u32,
}

pub(super) struct RescuerState {
    args: RescuerArgs,
    pulse: Pulse,
    patience: Patience,
    judging: Pulse,
    /// Batches of the express lane, until it is known whether somebody died of them.
    doubts: Doubts,
    /// Who was silent in the last sweep.
    silent: HashSet<NodeId>,
    searched_at: Option<Instant>,
    /// When the database last was in trouble.
    trouble_at: Option<Instant>,
}

#[derive(Clone, Copy)]
pub(super) struct Rescuer;

#[ractor::actor(message = RescuerMessage, state = RescuerState, arguments = RescuerArgs)]
impl Rescuer {
    async fn pre_start(
        &self,
        myself: ActorRef<RescuerMessage>,
        args: RescuerArgs,
    ) -> Result<RescuerState, ActorProcessingErr> {
        args.office.contest.attend(move || {
            // A rescuer that is gone has a successor, who is told again: the claims find them again.
            let _gone = myself.cast(RescuerMessage::Contested);
        });
        Ok(RescuerState {
            args,
            pulse: Pulse::default(),
            patience: Patience::default(),
            judging: Pulse::default(),
            doubts: Doubts::default(),
            silent: HashSet::new(),
            searched_at: None,
            trouble_at: None,
        })
    }

    async fn post_start(
        &self,
        myself: ActorRef<RescuerMessage>,
        state: &mut RescuerState,
    ) -> Result<(), ActorProcessingErr> {
        state
            .pulse
            .tick_in(Duration::ZERO, &myself, RescuerMessage::Sweep);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<RescuerMessage>,
        message: RescuerMessage,
        state: &mut RescuerState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RescuerMessage::Sweep(tick) if state.pulse.is_current(tick) => {
                let wait = state.sweep_and_rest().await;
                state.pulse.tick_in(wait, &myself, RescuerMessage::Sweep);
            }
            RescuerMessage::Judge(tick) if !state.judging.is_current(tick) => {}
            RescuerMessage::Sweep(_) => {}
            RescuerMessage::Judge(_) | RescuerMessage::Contested => {
                if let Some(wait) = state.judge_and_rest().await {
                    state.judging.tick_in(wait, &myself, RescuerMessage::Judge);
                }
            }
        }
        Ok(())
    }
}

impl RescuerState {
    async fn sweep_and_rest(&mut self) -> Duration {
        match self.sweep().await {
            Ok(()) => {
                self.patience.succeeded();
                self.args.office.vitals.working(ROLE);
                // Jitter keeps nodes from sweeping in step.
                self.args.sweep_every.mul_f64(0.9 + 0.2 * fastrand::f64())
            }
            Err(error) => {
                self.args.office.vitals.degraded(ROLE, &error);
                self.silent.clear();
                self.trouble_at = Some(Instant::now());
                self.patience.after_failure(fastrand::f64())
            }
        }
    }

    async fn sweep(&mut self) -> Result<(), Error> {
        let office = &self.args.office;
        let troubled = office.store.suspects(office.lease).await?;
        if self.has_had_trouble() {
            return Ok(());
        }
        let (dead, silent) = judge(&troubled, &self.silent, office.node);
        self.silent = silent;
        if !dead.is_empty() {
            for node in office.store.condemn(&dead).await? {
                office.bulletin.say(Event::NodeCondemned { node });
            }
        }
        let is_search_due = self
            .searched_at
            .is_none_or(|at| at.elapsed() >= SEARCH_EVERY);
        if dead.is_empty() && !is_search_due {
            return Ok(());
        }
        let (max_deaths, recent) = (self.args.max_deaths, office.recent_errors.by_kind());
        // First, while a suspect that their nodes ran can still be seen.
        let charged = office.store.charge(&[], is_search_due, max_deaths, &recent);
        let mut rescued = charged.await?;
        let taken_back = office.store.rescue(is_search_due, max_deaths, &recent);
        rescued.extend(taken_back.await?);
        if is_search_due {
            self.searched_at = Some(Instant::now());
        }
        self.tell_of(rescued).await
    }

    /// After trouble with the database the others are on their way back.
    fn has_had_trouble(&self) -> bool {
        let lease = self.args.office.lease;
        self.trouble_at.is_some_and(|at| at.elapsed() < lease)
    }

    /// Judges what claims have found, and says when to look again.
    async fn judge_and_rest(&mut self) -> Option<Duration> {
        match self.judge().await {
            Ok(wait) => wait,
            Err(error) => {
                self.args.office.vitals.degraded(ROLE, &error);
                self.trouble_at = Some(Instant::now());
                Some(self.patience.after_failure(fastrand::f64()))
            }
        }
    }

    async fn judge(&mut self) -> Result<Option<Duration>, Error> {
        let office = &self.args.office;
        self.doubts.add(office.contest.take());
        if self.doubts.is_empty() {
            return Ok(None);
        }
        let troubled = office.store.suspects(office.lease).await?;
        let verdict = match self.has_had_trouble() {
            true => self.doubts.acquit_all(),
            false => self.doubts.judge(&troubled, office.node, Instant::now()),
        };
        if !verdict.alive.is_empty() {
            office.store.disown(&verdict.alive).await?;
        }
        if !verdict.dead.is_empty() {
            let (max_deaths, recent) = (self.args.max_deaths, office.recent_errors.by_kind());
            let charged = office
                .store
                .charge(&verdict.dead, false, max_deaths, &recent);
            let charged = charged.await?;
            self.tell_of(charged).await?;
        }
        for queue in self.doubts.settle(&verdict) {
            self.args.office.client.tell(Notice::Available {
                queue: queue.to_string(),
                priority: i16::MAX,
            });
        }
        Ok((!self.doubts.is_empty()).then_some(LOOKS_APART))
    }

    async fn tell_of(&self, rescued: Vec<RescuedJob>) -> Result<(), Error> {
        let office = &self.args.office;
        // Who ended for good may have kept others of its ordering key waiting.
        if rescued.iter().any(|job| !matches!(job.fate, Fate::Rescued)) {
            let next = office.store.unblock_all().await?;
            office.client.tell_of_turns(next, TurnAfter::End);
        }
        self.tell_of_buried(&rescued);
        self.tell(rescued);
        Ok(())
    }

    /// The nodes that ran them cannot tell any more.
    fn tell_of_buried(&self, rescued: &[RescuedJob]) {
        let office = &self.args.office;
        let buried: Vec<_> = rescued.iter().filter_map(quarantined).collect();
        if let Some(burials) = &office.burials {
            burials.tell(buried.iter().filter_map(Attempted::buried));
        }
        office.facts.tell(buried);
    }

    fn tell(&self, rescued: Vec<RescuedJob>) {
        let office = &self.args.office;
        Counters::add(&office.counters.rescued, rescued.len());
        let mut available: HashMap<String, i16> = HashMap::new();
        for job in rescued {
            office.bulletin.say(Event::Rescued {
                job: job.id,
                queue: job.queue.clone(),
                fate: job.fate,
            });
            if job.fate == Fate::Rescued {
                let most_urgent = available.entry(job.queue).or_insert(i16::MAX);
                *most_urgent = job.priority.min(*most_urgent);
            }
        }
        for (queue, priority) in available {
            office.client.tell(Notice::Available { queue, priority });
        }
    }
}

/// The end of a job that is taken back no more.
fn quarantined(job: &RescuedJob) -> Option<Attempted> {
    (job.fate == Fate::Quarantined).then(|| {
        let text = job.message.as_deref().unwrap_or_default();
        Attempted {
            job: job.id,
            attempt: job.attempt,
            kind: job.kind.clone(),
            queue: job.queue.as_str().into(),
            worker: None,
            ran: None,
            ended_at: SystemTime::now(),
            transition: Transition::Bury {
                reason: BuryReason::Quarantined,
                failure: Failure::new(FailureKind::ProcessDied, text),
            },
            is_accepted: true,
        }
    })
}

/// Who is dead, and who is silent now. A node never judges itself.
fn judge(
    troubled: &[Troubled],
    silent_before: &HashSet<NodeId>,
    own: NodeId,
) -> (Vec<NodeId>, HashSet<NodeId>) {
    let (mut dead, mut silent) = (Vec::new(), HashSet::new());
    for node in troubled {
        match *node {
            Troubled::Dead(id) | Troubled::Silent(id) if id == own => {}
            Troubled::Dead(id) => dead.push(id),
            Troubled::Silent(id) if silent_before.contains(&id) => dead.push(id),
            Troubled::Silent(id) => {
                silent.insert(id);
            }
        }
    }
    (dead, silent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_node_is_dead_in_the_second_sweep_and_nobody_judges_itself() {
        let [own, other, late] = [1, 2, 3].map(NodeId::from_i64);
        let first = [
            Troubled::Silent(own),
            Troubled::Silent(other),
            Troubled::Dead(late),
        ];
        let (dead, silent) = judge(&first, &HashSet::new(), own);
        assert_eq!((dead, &silent), (vec![late], &HashSet::from([other])));
        let (dead, silent) = judge(&[Troubled::Silent(other)], &silent, own);
        assert_eq!((dead, silent), (vec![other], HashSet::new()));
    }
}
