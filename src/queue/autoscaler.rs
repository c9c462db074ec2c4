//! The autoscaler of a queue: takes a reading each period, and has the queue's workers brought to the number
//! that comes of it.
//!
//! What is lost if it is killed at any await: nothing but its running means. The number that it wanted last
//! is on the queue's desk, which outlives it.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use ractor::{ActorProcessingErr, ActorRef};

use super::autoscale::{Autoscale, MAX_WAITING, Reading, Steps};
use super::host::Host;
use super::{Desk, Office};
use crate::store::{Depth, Notice};

pub(super) enum AutoscalerMessage {
    /// Take a reading, and a step.
    Look,
}

#[cfg(feature = "cluster")]
impl ractor::Message for AutoscalerMessage {}

#[derive(Debug, Clone)]
pub(super) struct AutoscalerArgs {
    pub(super) office: Arc<Office>,
    pub(super) desk: Arc<Desk>,
    pub(super) options: Autoscale,
}

pub(super) struct AutoscalerState {
    args: AutoscalerArgs,
    role: String,
    steps: Steps,
    host: Host,
    means: Means,
}

#[derive(Clone, Copy)]
pub(super) struct Autoscaler;

#[ractor::actor(message = AutoscalerMessage, state = AutoscalerState, arguments = AutoscalerArgs)]
impl Autoscaler {
    async fn pre_start(
        &self,
        myself: ActorRef<AutoscalerMessage>,
        args: AutoscalerArgs,
    ) -> Result<AutoscalerState, ActorProcessingErr> {
        myself.send_after(args.options.every, || AutoscalerMessage::Look);
        Ok(AutoscalerState {
            role: format!("autoscaler of {}", args.desk.queue.name),
            steps: Steps::default(),
            host: Host::new(),
            means: Means::new(&args.desk),
            args,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<AutoscalerMessage>,
        AutoscalerMessage::Look: AutoscalerMessage,
        state: &mut AutoscalerState,
    ) -> Result<(), ActorProcessingErr> {
        state.look().await;
        myself.send_after(state.args.options.every, || AutoscalerMessage::Look);
        Ok(())
    }
}

impl AutoscalerState {
    async fn look(&mut self) {
        let (office, desk) = (Arc::clone(&self.args.office), Arc::clone(&self.args.desk));
        let worked = self.means.read(&desk);
        let by_hand = desk.steering().workers.is_some();
        if by_hand || !desk.is_open() {
            // Somebody has said how many, or that nothing is to run: that holds until it is taken back.
            return;
        }
        match office.store.depth(&desk.queue.name, MAX_WAITING).await {
            Ok(depth) => self.scale(&worked, &depth),
            Err(error) => office.vitals.degraded(&self.role, &error),
        }
    }

    /// How many jobs this node holds that no worker has begun: they were claimed ahead.
    fn unbegun(&self) -> u32 {
        let AutoscalerArgs { office, desk, .. } = &self.args;
        let held = office.custody.held_in(&desk.queue.name).len() as u32;
        let seats = desk.seats_taken().into_iter();
        let running: u32 = seats
            .filter_map(|seat| seat.occupation())
            .map(|occupation| occupation.jobs)
            .sum();
        held.saturating_sub(running)
    }

    fn scale(&mut self, worked: &Worked, depth: &Depth) {
        let AutoscalerArgs {
            office,
            desk,
            options,
        } = &self.args;
        let (cpu, memory) = self.host.load();
        let workers = desk.wanted_workers();
        let reading = Reading {
            workers,
            busy: worked.busy,
            busy_lately: worked.busy_lately,
            waiting: depth.waiting.saturating_add(self.unbegun()),
            oldest: depth.oldest,
            nodes: depth.nodes.max(1),
            finished_per_second: worked.finished_per_second,
            seconds_per_job: worked.seconds_per_job,
            cpu,
            memory,
        };
        let asked = catch_unwind(AssertUnwindSafe(|| options.policy.wants(&reading)));
        let Ok(wanted) = asked else {
            return office.vitals.degraded(
                &self.role,
                "its policy panicked; the workers stay as they are",
            );
        };
        office.vitals.working(&self.role);
        let next = self.steps.next(workers, wanted, options);
        if next != workers {
            let queue = &*desk.queue.name;
            tracing::info!(queue, workers, next, ?reading, "a queue is scaled");
            desk.autoscale(next);
            office.wakeups.wake(&Notice::Steered);
        }
    }
}

/// What the workers did since the reading before.
struct Worked {
    busy: f64,
    busy_lately: f64,
    finished_per_second: f64,
    seconds_per_job: Option<f64>,
}

/// Running means over the seats of a queue's workers.
struct Means {
    read_at: Instant,
    /// Of each seat: how long its workers were busy, in seconds, and how many attempts they ended.
    seats: HashMap<u32, (f64, u64)>,
    busy_lately: f64,
    seconds_per_job: Option<f64>,
}

impl Means {
    fn new(desk: &Desk) -> Self {
        let now = Instant::now();
        Self {
            read_at: now,
            seats: seats(desk, now),
            busy_lately: 0.0,
            seconds_per_job: None,
        }
    }

    fn read(&mut self, desk: &Desk) -> Worked {
        let now = Instant::now();
        let period = now.duration_since(self.read_at).as_secs_f64().max(1e-6);
        let seats = seats(desk, now);
        let (mut busy, mut finished) = (0.0, 0);
        for (number, (busy_by, done_by)) in &seats {
            // A new seat may have the number of one that is gone, and then has done less.
            let (busy_before, done_before) = self.seats.get(number).copied().unwrap_or_default();
            busy += (busy_by - busy_before).max(0.0);
            finished += done_by.saturating_sub(done_before);
        }
        if finished > 0 && busy > 0.0 {
            let newest = busy / finished as f64;
            self.seconds_per_job = Some(match self.seconds_per_job {
                Some(earlier) => Reading::smoothed(earlier, newest),
                None => newest,
            });
        }
        let busy = busy / period;
        self.busy_lately = Reading::smoothed(self.busy_lately, busy);
        (self.read_at, self.seats) = (now, seats);
        Worked {
            busy,
            busy_lately: self.busy_lately,
            finished_per_second: finished as f64 / period,
            seconds_per_job: self.seconds_per_job,
        }
    }
}

fn seats(desk: &Desk, now: Instant) -> HashMap<u32, (f64, u64)> {
    let seats = desk.seats_taken().into_iter();
    seats
        .map(|seat| (seat.number, (seat.busy_for(now).as_secs_f64(), seat.done())))
        .collect()
}
