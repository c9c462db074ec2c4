//! The scheduler: moves due jobs to available, and sleeps until the next one is due.
//!
//! Now and then it also looks for jobs whose ordering key came free while nobody could tell.
//!
//! Every node has one; they share the work row by row. What is lost if it is killed at any await:
//! nothing, a promotion is one statement.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{ActorProcessingErr, ActorRef};

use super::pulse::{Pulse, Tick};
use crate::Error;
use crate::client::Interest;
use crate::event::Event;
use crate::queue::{Office, Patience};
use crate::store::{Notice, TurnAfter};

/// The longest sleep: what another process scheduled may have been announced to nobody.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// How often jobs are looked for whose turn has come unnoticed. Whoever ends or enqueues a job of an
/// ordering key looks at once; this finds what long transactions and deaths at the wrong moment left.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// With very many keys that somebody waits for, a sweep takes at most one part in so many of the time.
const SWEEP_SHARE: u32 = 10;
/// The longest time between two sweeps, however long they take.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// How many jobs one statement promotes at most.
const BATCH: u32 = 1_000;

pub(super) const ROLE: &str = "scheduler";

pub(super) enum SchedulerMessage {
    /// Promote what is due.
    Promote(Tick),
    /// A job will be due, perhaps before the next tick.
    Wake,
}

#[cfg(feature = "cluster")]
impl ractor::Message for SchedulerMessage {}

pub(super) struct SchedulerState {
    office: Arc<Office>,
    pulse: Pulse,
    patience: Patience,
    next_sweep_at: Instant,
}

#[derive(Clone, Copy)]
pub(super) struct Scheduler;

#[ractor::actor(message = SchedulerMessage, state = SchedulerState, arguments = Arc<Office>)]
impl Scheduler {
    async fn pre_start(
        &self,
        myself: ActorRef<SchedulerMessage>,
        office: Arc<Office>,
    ) -> Result<SchedulerState, ActorProcessingErr> {
        office.wakeups.on(Interest::Schedule, move |_| {
            // A scheduler that is gone has a successor that looks at its start.
            let _gone = myself.cast(SchedulerMessage::Wake);
        });
        Ok(SchedulerState {
            office,
            pulse: Pulse::default(),
            patience: Patience::default(),
            next_sweep_at: Instant::now(),
        })
    }

    async fn post_start(
        &self,
        myself: ActorRef<SchedulerMessage>,
        state: &mut SchedulerState,
    ) -> Result<(), ActorProcessingErr> {
        state
            .pulse
            .tick_in(Duration::ZERO, &myself, SchedulerMessage::Promote);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<SchedulerMessage>,
        message: SchedulerMessage,
        state: &mut SchedulerState,
    ) -> Result<(), ActorProcessingErr> {
        let wait = match message {
            SchedulerMessage::Promote(tick) if state.pulse.is_current(tick) => {
                state.promote().await
            }
            SchedulerMessage::Promote(_) => return Ok(()),
            SchedulerMessage::Wake => Duration::ZERO,
        };
        state
            .pulse
            .tick_in(wait, &myself, SchedulerMessage::Promote);
        Ok(())
    }
}

impl SchedulerState {
    /// Promotes, and says when to look again.
    async fn promote(&mut self) -> Duration {
        match self.promote_and_sweep().await {
            Ok(next_due) => {
                self.patience.succeeded();
                self.office.vitals.working(ROLE);
                next_due.map_or(LONGEST_SLEEP, |due| due.min(LONGEST_SLEEP))
            }
            Err(error) => {
                self.office.vitals.degraded(ROLE, &error);
                self.patience.after_failure(fastrand::f64())
            }
        }
    }

    async fn promote_and_sweep(&mut self) -> Result<Option<Duration>, Error> {
        let next_due = promote_all(&self.office).await?;
        let began = Instant::now();
        if began >= self.next_sweep_at {
            let next = self.office.store.unblock_all().await?;
            self.office.client.tell_of_turns(next, TurnAfter::End);
            let rest = (began.elapsed() * SWEEP_SHARE).clamp(SWEEP_EVERY, LONGEST_REST);
            self.next_sweep_at = Instant::now() + rest;
        }
        Ok(next_due)
    }
}

/// Promotes everything that is due; answers with the time until the next job is.
async fn promote_all(office: &Office) -> Result<Option<Duration>, Error> {
    loop {
        let promoted = office.store.promote(BATCH).await?;
        let is_last = promoted.len() < BATCH as usize;
        let mut queues: HashMap<String, (u32, i16)> = HashMap::new();
        for (queue, priority) in promoted {
            let (jobs, most_urgent) = queues.entry(queue).or_insert((0, priority));
            *jobs += 1;
            *most_urgent = priority.min(*most_urgent);
        }
        for (queue, (jobs, priority)) in queues {
            office.bulletin.say_if_heard(|| Event::Promoted {
                queue: queue.clone(),
                jobs,
            });
            office.client.tell(Notice::Available { queue, priority });
        }
        if is_last {
            return office.store.next_due().await;
        }
    }
}
