//! Custody of one attempt: an owned value, and whoever holds it owes the board an answer.
//!
//! `Drop` gives it. A lease that is dropped before its handler began is released: free, at once, no
//! failure charged. One that is dropped after its handler began is a crashed attempt. So a killed
//! worker, a mailbox thrown away or a fetcher that dies with jobs in hand can lose no job.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::express::Batch;
use super::fuse::Passage;
use super::seat::Bench;
use super::{Answer, Counters, Office, Stands, Story};
use crate::event::{Event, Started};
use crate::handler::{Attachments, Handler, LaneExit, Panicked, StopSignal};
use crate::job::{
    Budget, DEFAULT_MAX_ATTEMPTS, Ending, Failure, FailureKind, Kind, Transition, transition,
};
use crate::store::{ClaimedJob, OrderingKey, Settlement};

/// Custody of one attempt, as a [stage](super::Through) between the fetcher and the workers holds it.
///
/// Whoever holds it owes the board an answer; if it is dropped, that is the answer. Dropped before its
/// handler began, it is released: the job is available again at once, and nothing is charged. So a stage
/// that is stopped or killed loses no job and costs none an attempt. Only a panic is charged, to the jobs
/// in the hands of the callback that panicked: one that a stage cannot bear would come back for ever.
///
/// A stage can answer itself, with [`decide`](Self::decide) and [`fail`](Self::fail).
pub struct Lease(
    /// Boxed, since a lease goes through many hands.
    Box<Custodian>,
);

struct Custodian {
    job: ClaimedJob,
    signal: StopSignal,
    queue: Arc<str>,
    office: Arc<Office>,
    /// Kept while a suspect runs.
    alone: Option<OwnedSemaphorePermit>,
    /// To whom it answers, if it was claimed in the express lane, and its number there.
    batch: Option<(Arc<Batch>, usize)>,
    attachments: Attachments,
    /// How its breaker let it through, if its kind has one.
    passage: Option<Passage>,
    claimed_at: Instant,
    /// The job may have left something on its way, which goes with its completion.
    has_trail: bool,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Waiting,
    Begun {
        at: Instant,
        by: Arc<Bench>,
    },
    /// The handler has panicked; the answer follows.
    Panicked {
        ran: Duration,
        at: SystemTime,
        by: Arc<Bench>,
    },
    Answered,
}

impl Custodian {
    /// Whether somebody may wait for its end.
    fn needs_word(&self) -> bool {
        let rare = self.job.rare();
        rare.is_limited || rare.ordering_key.is_some() || self.alone.is_some()
    }
}

impl Lease {
    /// Takes claimed jobs into custody. `alone` goes to the suspect among them, `batch` to all.
    pub(super) fn take(
        jobs: Vec<ClaimedJob>,
        queue: &Arc<str>,
        office: &Arc<Office>,
        mut alone: Option<OwnedSemaphorePermit>,
        batch: Option<&Arc<Batch>>,
    ) -> Vec<Self> {
        let claimed_at = Instant::now();
        let stands = match batch {
            Some(_) => Stands::InTheLane,
            None => Stands::ByItsRow,
        };
        let admitted = office.custody.admit(&jobs, queue, stands);
        let mut numbers = 0..;
        let lease = |(job, signal): (ClaimedJob, Option<StopSignal>)| {
            let (signal, number) = (signal?, numbers.next()?);
            let is_suspect = job.rare().deaths > 0;
            Some(Self(Box::new(Custodian {
                signal,
                alone: if is_suspect { alone.take() } else { None },
                job,
                queue: Arc::clone(queue),
                office: Arc::clone(office),
                batch: batch.map(|batch| (Arc::clone(batch), number)),
                attachments: Attachments::default(),
                passage: None,
                claimed_at,
                has_trail: false,
                phase: Phase::Waiting,
            })))
        };
        let leases: Vec<Self> = jobs.into_iter().zip(admitted).filter_map(lease).collect();
        // Here, since whoever they are handed to may die before it sees them.
        Counters::add(&office.counters.claimed, leases.len());
        leases
    }

    /// What stages on the way have attached to it.
    pub(super) fn attachments(&self) -> &Attachments {
        &self.0.attachments
    }

    pub(super) fn attachments_mut(&mut self) -> &mut Attachments {
        &mut self.0.attachments
    }

    /// How its breaker let it through.
    pub(super) fn passage(&self) -> Option<&Passage> {
        self.0.passage.as_ref()
    }

    pub(super) fn pass(&mut self, passage: Option<Passage>) {
        self.0.passage = passage;
    }

    pub(crate) fn job(&self) -> &ClaimedJob {
        &self.0.job
    }

    /// Its arguments, for whoever decodes them after the lease has gone on.
    pub(crate) fn take_payload(&mut self) -> Bytes {
        std::mem::take(&mut self.0.job.payload)
    }

    pub(crate) fn signal(&self) -> &StopSignal {
        &self.0.signal
    }

    /// The way out of the express lane, for a handler that needs the executing row of its job.
    pub(super) fn lane_exit(&self) -> Option<Arc<LaneExit>> {
        let batch = self.0.batch.as_ref();
        batch.map(|(batch, _)| Arc::clone(batch.exit()))
    }

    /// When this process came to hold it.
    pub(crate) fn claimed_at(&self) -> Instant {
        self.0.claimed_at
    }

    /// Whether its handler may begin: its arguments are not newer than the handler, and its breaker has not
    /// opened since the claim.
    pub(super) fn is_let_through(&mut self, handler: &Handler) -> bool {
        self.0.job.version <= handler.kind.newest_version()
            && self.0.office.breakers.lets(handler, &mut self.0.passage)
    }

    /// A handler of this kind begins: from here on the attempt counts.
    pub(super) fn begin(&mut self, at: Instant, by: &Arc<Bench>) {
        self.0.office.bulletin.say_if_heard(|| {
            Event::Started(Started {
                job: self.0.job.id,
                attempt: self.0.job.attempt,
                kind: self.0.job.kind.to_string(),
                queue: Arc::clone(&self.0.queue),
                worker: Arc::clone(&by.worker),
                waited: self.0.job.waited() + at.saturating_duration_since(self.0.claimed_at),
            })
        });
        self.0.phase = Phase::Begun {
            at,
            by: Arc::clone(by),
        };
    }

    /// Whether the job may have left something on its way, as its context knows.
    pub(crate) fn note_trail(&mut self, has_trail: bool) {
        self.0.has_trail = has_trail;
    }

    /// Answers the board.
    pub(crate) fn answer(self, ending: Ending) {
        self.settle(ending, false);
    }

    /// Answers for a panic, without keeping the worker waiting for the names in its backtrace.
    pub(crate) fn answer_panic(mut self, panicked: Panicked) {
        static ASIDE: Semaphore = Semaphore::const_new(2);
        if let Phase::Begun { at, by } = &self.0.phase {
            self.0.phase = Phase::Panicked {
                ran: at.elapsed(),
                at: SystemTime::now(),
                by: Arc::clone(by),
            };
        }
        let answer = move || self.answer(Ending::Failed(panicked.into_failure()));
        match ASIDE.try_acquire() {
            // If the runtime ends before it runs, the lease answers as it is dropped.
            Ok(permit) => drop(tokio::task::spawn_blocking(move || {
                answer();
                drop(permit);
            })),
            // So many panic that their workers had better wait.
            Err(_) => answer(),
        }
    }

    /// Answers the board, where the handler has completed the job in its own transaction.
    pub(crate) fn answer_written(self, ending: Ending) {
        self.settle(ending, true);
    }

    fn settle(mut self, ending: Ending, is_written: bool) {
        self.push(ending, is_written);
    }

    /// How many failures the job may have, and how it waits.
    pub(crate) fn budget(&self, kind: Option<&Kind>) -> Budget {
        let defaults = kind.map(|kind| &kind.defaults);
        let of_kind = defaults.map_or(DEFAULT_MAX_ATTEMPTS, |defaults| defaults.max_attempts);
        Budget {
            failures: self.0.job.rare().failures,
            max_attempts: u32::from(self.0.job.rare().max_attempts.unwrap_or(of_kind)),
            backoff: self
                .0
                .job
                .rare()
                .backoff
                .or(defaults.map(|d| d.backoff))
                .unwrap_or_default(),
        }
    }

    fn push(&mut self, ending: Ending, is_written: bool) {
        if let Some(passage) = self.0.passage.take()
            && let (_, Some(ran)) = self.begun()
        {
            self.0.office.breakers.ended(passage, &ending, ran);
        }
        let budget = self.budget_of_handler();
        let transition = transition(ending, &budget, fastrand::f64());
        let is_buried = matches!(transition, Transition::Bury { .. });
        let diagnostics = is_buried.then(|| self.diagnostics());
        if let Transition::Retry { failure, .. } | Transition::Bury { failure, .. } = &transition {
            let (kind, recent) = (&self.0.job.kind, &self.0.office.recent_errors);
            recent.note(kind, self.0.job.id, self.0.job.attempt, failure);
        }
        let is_told = is_buried || self.0.office.facts.is_followed();
        let story = is_told.then(|| Box::new(self.story()));
        self.0.phase = Phase::Answered;
        if let Some((batch, number)) = &self.0.batch
            && matches!(transition, Transition::Complete { output: None })
            && story.is_none()
            && !(is_written || self.0.has_trail || self.0.needs_word())
            && batch.complete(*number)
        {
            return;
        }
        let answer = Answer {
            settlement: Settlement {
                id: self.0.job.id,
                attempt: self.0.job.attempt,
                transition,
                diagnostics,
                has_trail: self.0.has_trail,
                ctid: self.0.job.ctid,
            },
            queue: Arc::clone(&self.0.queue),
            priority: self.0.job.priority,
            ordering: self.0.job.take_ordering_key().map(|key| {
                let queue = self.0.queue.to_string();
                Box::new(OrderingKey { queue, key })
            }),
            is_limited: self.0.job.rare().is_limited,
            is_written,
            story,
            alone: self.0.alone.take(),
        };
        match self.0.batch.take() {
            Some((batch, number)) => batch.answer(number, answer),
            None => self.0.office.outbox.push(answer),
        }
    }

    /// Its budget by the handler that ran, whatever came into its place since, or that would run.
    fn budget_of_handler(&self) -> Budget {
        match &self.0.phase {
            Phase::Begun { by, .. } | Phase::Panicked { by, .. } => {
                self.budget(Some(&by.handler.kind))
            }
            Phase::Waiting | Phase::Answered => {
                let registry = self.0.office.registry.get();
                let handler = registry.handler(&self.0.job.kind);
                self.budget(handler.map(|handler| &*handler.kind))
            }
        }
    }

    /// Who ran it, and how long.
    fn begun(&self) -> (Option<&Arc<str>>, Option<Duration>) {
        match &self.0.phase {
            Phase::Begun { at, by } => (Some(&by.worker), Some(at.elapsed())),
            Phase::Panicked { ran, by, .. } => (Some(&by.worker), Some(*ran)),
            _ => (None, None),
        }
    }

    /// What followers are told.
    fn story(&self) -> Story {
        let ended_at = match &self.0.phase {
            Phase::Panicked { at, .. } => *at,
            _ => SystemTime::now(),
        };
        let (worker, ran) = self.begun();
        Story {
            worker: worker.cloned(),
            ran,
            kind: Arc::clone(&self.0.job.kind),
            ended_at,
        }
    }

    /// How things stand when a job is given up.
    fn diagnostics(&self) -> serde_json::Value {
        let (worker, ran) = self.begun();
        json!({
            "node": self.0.office.node.to_string(),
            "node_name": self.0.office.node_name,
            "worker": worker.map(|name| &**name),
            "ran_ms": ran.map(|ran| ran.as_millis() as u64),
            "waited_ms": (chrono::Utc::now() - self.0.job.enqueued_at()).num_milliseconds(),
            "node_holds": self.0.office.custody.count(),
            "load_average": load_average(),
            "recent_errors": self.0.office.recent_errors.beside(&self.0.job.kind, self.0.job.id),
        })
    }
}

/// The system's load over the last minute, where the system tells.
fn load_average() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

impl Drop for Lease {
    fn drop(&mut self) {
        let crashed = |kind, text: &str| Failure::new(kind, text);
        let ending = match &self.0.phase {
            Phase::Answered => return,
            Phase::Waiting if std::thread::panicking() => Ending::Failed(crashed(
                FailureKind::Crashed,
                "a stage of the queue panicked with the job in its hands",
            )),
            Phase::Waiting => Ending::Released,
            Phase::Panicked { .. } => Ending::Failed(crashed(FailureKind::Panic, "panicked")),
            Phase::Begun { .. } if self.0.office.custody.is_interrupting(&self.0.queue) => {
                Ending::Interrupted(crashed(
                    FailureKind::Interrupted,
                    "the node shut down, or gave its queue up, before the handler was done",
                ))
            }
            Phase::Begun { .. } => Ending::Failed(crashed(
                FailureKind::Crashed,
                "the worker was killed while the handler ran",
            )),
        };
        self.push(ending, false);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("id", &self.0.job.id)
            .field("attempt", &self.0.job.attempt)
            .field("phase", &self.0.phase)
            .finish_non_exhaustive()
    }
}
