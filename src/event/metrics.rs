//! Events as numbers, for the recorder of the `metrics` crate.
//!
//! Handles for what happens to every job are made once for each queue and kind, so that counting is an
//! addition. The recorder is the one that is installed when they are made.

use std::fmt;

use metrics::{Counter, Histogram, counter, gauge, histogram};

use super::catalogue::{self as names, describe};
use super::family::Family;
use super::{Attempted, Event, Sample};
use crate::job::{BreakerState, OpenReason, Transition};
use crate::store::Fate;
use crate::supervision::{self, ChildPath, EventKind};

/// Where events become numbers.
pub(super) struct Metrics {
    enqueued: Family<Counter>,
    attempts: Family<Attempts>,
    claims: Family<Claims>,
    settle_duration: Histogram,
    settle_answers: Histogram,
    stale: Counter,
    condemned: Counter,
    lapsed: Counter,
}

/// The attempts of a kind in a queue.
struct Attempts {
    started: Counter,
    latency: Histogram,
    duration: Histogram,
    /// In the order of [`OUTCOMES`].
    finished: [Counter; OUTCOMES.len()],
}

/// The claims of a queue.
struct Claims {
    duration: Histogram,
    jobs: Histogram,
}

/// How an attempt may end.
const OUTCOMES: [&str; 7] = [
    "completed",
    "retried",
    "snoozed",
    "cancelled",
    "buried",
    "released",
    "refused",
];

impl Attempts {
    fn new(queue: &str, kind: &str) -> Self {
        let labels = [("queue", queue.to_owned()), ("kind", kind.to_owned())];
        let finished = |outcome: &'static str| {
            let [queue, kind] = labels.clone();
            counter!(
                names::FINISHED,
                &[queue, kind, ("outcome", outcome.to_owned())]
            )
        };
        Self {
            started: counter!(names::STARTED, &labels),
            latency: histogram!(names::LATENCY, &labels),
            duration: histogram!(names::DURATION, &labels),
            finished: OUTCOMES.map(finished),
        }
    }

    fn finished(&self, attempted: &Attempted) {
        self.finished[outcome(attempted)].increment(1);
        if let Some(ran) = attempted.ran {
            self.duration.record(ran);
        }
    }
}

/// The place in [`OUTCOMES`].
const fn outcome(attempted: &Attempted) -> usize {
    match attempted.transition {
        _ if !attempted.is_accepted => 6,
        Transition::Complete { .. } => 0,
        Transition::Retry { .. } => 1,
        Transition::Snooze { .. } => 2,
        Transition::Cancel { .. } => 3,
        Transition::Bury { .. } => 4,
        Transition::Release { .. } => 5,
    }
}

impl Metrics {
    /// Describes all metrics to the recorder that is installed, and reports to it from now on.
    pub(super) fn new() -> Self {
        describe();
        Self {
            enqueued: Family::new(|queue, kind| {
                let labels = [("queue", queue.to_owned()), ("kind", kind.to_owned())];
                counter!(names::ENQUEUED, &labels)
            }),
            attempts: Family::new(Attempts::new),
            claims: Family::new(|queue, _| {
                let label = [("queue", queue.to_owned())];
                Claims {
                    duration: histogram!(names::CLAIM_DURATION, &label),
                    jobs: histogram!(names::CLAIM_JOBS, &label),
                }
            }),
            settle_duration: histogram!(names::SETTLE_DURATION),
            settle_answers: histogram!(names::SETTLE_ANSWERS),
            stale: counter!(names::STALE),
            condemned: counter!(names::CONDEMNED),
            lapsed: counter!(names::LAPSED),
        }
    }

    /// Counts what happened.
    pub(super) fn record(&self, event: &Event) {
        match event {
            Event::Enqueued {
                queue, kind, jobs, ..
            } => {
                let enqueued = |counter: &Counter| counter.increment(u64::from(*jobs));
                self.enqueued.with(queue, kind, enqueued);
            }
            Event::Started(started) => {
                self.attempts
                    .with(&started.queue, &started.kind, |attempts| {
                        attempts.started.increment(1);
                        attempts.latency.record(started.waited);
                    });
            }
            Event::Attempted(attempted) => {
                let finished = |attempts: &Attempts| attempts.finished(attempted);
                self.attempts
                    .with(&attempted.queue, &attempted.kind, finished);
            }
            Event::Claimed {
                queue, jobs, took, ..
            } => self.claims.with(queue, "", |claims| {
                claims.duration.record(*took);
                claims.jobs.record(*jobs);
            }),
            Event::Written {
                answers,
                refused,
                took,
            } => {
                self.settle_duration.record(*took);
                self.settle_answers.record(*answers);
                self.stale.increment(u64::from(*refused));
            }
            Event::NodeCondemned { .. } => self.condemned.increment(1),
            Event::LeaseLapsed { .. } => self.lapsed.increment(1),
            rare => record_rare(rare),
        }
    }
}

/// What happens seldom looks its series up each time.
fn record_rare(event: &Event) {
    match event {
        Event::Promoted { queue, jobs } => {
            counter!(names::PROMOTED, "queue" => queue.clone()).increment(u64::from(*jobs));
        }
        Event::Requeued { queue, jobs } => {
            counter!(names::REQUEUED, "queue" => queue.clone()).increment(u64::from(*jobs));
        }
        Event::Rescued { queue, fate, .. } => count_rescued(queue, *fate, 1),
        Event::Degraded { part, .. } => set_part(part, 0.0),
        Event::Recovered { part, .. } => set_part(part, 1.0),
        Event::Supervised(supervision::Event {
            path,
            kind: EventKind::Restarted { .. },
            ..
        }) => count_restart(path, 1),
        // The series is there before it counts, so that the first restart is an increase.
        Event::Supervised(supervision::Event {
            path,
            kind: EventKind::Started { .. },
            ..
        }) => count_restart(path, 0),
        Event::BreakerOpened { breaker, reason } => count_opening(breaker, *reason, 1),
        Event::BreakerChanged(breaker) => show_breaker(&breaker.name, breaker.state),
        Event::HandlersSwapped(swapped) => {
            for change in &swapped.changes {
                counter!(names::SWAPPED, "change" => change.verb()).increment(1);
            }
        }
        Event::Sampled(sample) => show(sample),
        _ => {}
    }
}

fn count_rescued(queue: &str, fate: Fate, times: u64) {
    let fate = match fate {
        Fate::Rescued => "rescued",
        Fate::Quarantined => "quarantined",
        Fate::Cancelled => "cancelled",
    };
    counter!(names::RESCUED, "queue" => queue.to_owned(), "fate" => fate).increment(times);
}

fn count_restart(path: &ChildPath, times: u64) {
    counter!(names::RESTARTS, "role" => role(path)).increment(times);
}

/// What an actor is by its place in the tree: one of few words.
fn role(path: &ChildPath) -> String {
    let ids: Vec<&str> = path.ids().collect();
    let role = match ids[..] {
        ["queues", _] => "queue",
        ["queues", _, "fetcher"] => "fetcher",
        ["queues", _, "workers"] => "workers",
        ["queues", _, "workers", ..] => "worker",
        ["queues", _, ..] => "stage",
        // The board's own parts, and what the application hangs in.
        [part, ..] => part,
        [] => "board",
    };
    role.to_owned()
}

fn set_part(part: &str, works: f64) {
    gauge!(names::PART, "part" => part.to_owned()).set(works);
}

/// A series for each state, of which one is 1.
fn show_breaker(breaker: &str, stands: BreakerState) {
    for state in BreakerState::ALL {
        let labels = [
            ("breaker", breaker.to_owned()),
            ("state", state.to_string()),
        ];
        gauge!(names::BREAKER_STATE, &labels).set(f64::from(u8::from(*state == stands)));
    }
    OpenReason::ALL
        .iter()
        .for_each(|reason| count_opening(breaker, *reason, 0));
}

fn count_opening(breaker: &str, reason: OpenReason, times: u64) {
    let labels = [
        ("breaker", breaker.to_owned()),
        ("reason", reason.to_string()),
    ];
    counter!(names::BREAKER_OPENINGS, &labels).increment(times);
}

fn show(sample: &Sample) {
    for queue in &sample.queues {
        let label = [("queue", queue.depth.queue.clone())];
        let oldest = queue.depth.oldest.unwrap_or_default();
        // What happens seldom is there before it does, so that the first time is an increase.
        counter!(names::PROMOTED, &label).increment(0);
        counter!(names::REQUEUED, &label).increment(0);
        [Fate::Rescued, Fate::Quarantined, Fate::Cancelled]
            .into_iter()
            .for_each(|fate| count_rescued(&queue.depth.queue, fate, 0));
        gauge!(names::AVAILABLE, &label).set(queue.depth.available);
        gauge!(names::OLDEST, &label).set(oldest);
        gauge!(names::DEMAND, &label).set(queue.demand as f64);
        gauge!(names::WORKERS, &label).set(queue.workers as f64);
        gauge!(names::EXECUTING, &label).set(queue.executing as f64);
        gauge!(names::IN_HAND, &label).set(queue.in_hand as f64);
    }
    for pool in &sample.pools {
        let connections = |state: &'static str, count: usize| {
            let labels = [("lane", pool.lane), ("state", state)];
            gauge!(names::CONNECTIONS, &labels).set(count as f64);
        };
        connections("in_use", pool.in_use);
        connections("idle", pool.idle);
        gauge!(names::CONNECTIONS_MAX, "lane" => pool.lane).set(pool.max as f64);
        gauge!(names::WAITERS, "lane" => pool.lane).set(pool.waiting as f64);
    }
    for (part, works) in &sample.parts {
        set_part(part, f64::from(u8::from(*works)));
    }
    for (breaker, state) in &sample.breakers {
        show_breaker(breaker, *state);
    }
    let vitality = &sample.vitality;
    let oldest = vitality.oldest_transaction.unwrap_or_default();
    gauge!(names::WAITING).set(vitality.waiting);
    gauge!(names::UNCONFIRMED).set(sample.unconfirmed as f64);
    gauge!(names::DEAD_ROWS).set(vitality.dead_rows as f64);
    gauge!(names::OLDEST_TRANSACTION).set(oldest);
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
