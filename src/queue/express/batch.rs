//! A batch of the express lane: the jobs that one open transaction holds, and what became of them so far.
//!
//! Its leases answer to it. It ends when all have answered, when one of them wants out of the lane, or when its
//! bound is over; in each case by one transaction: what is completed is deleted, what is not is settled, and what
//! has not ended becomes an ordinary executing job, whose lease answers to the outbox from then on.
//!
//! If that transaction is lost, its jobs are free, and may run elsewhere: their holders are told, and their answers
//! refused. Whether it was lost or only its confirmation, is told by the batch's own row, which nobody can
//! strike out twice.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use crate::Error;
use crate::handler::{CancelReason, LaneExit};
use crate::job::{Attempt, Ids, JobId, Transition};
use crate::queue::{Answer, Lease, Office, Patience};
use crate::store::{BatchId, Hold, Notice, Settlement};

/// How often a closing board tries to learn how a batch has ended.
const LAST_TRIES: u32 = 20;

pub(in crate::queue) struct Batch {
    office: Arc<Office>,
    queue: Arc<str>,
    id: BatchId,
    bound: Duration,
    exit: Arc<LaneExit>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Vec<Held>,
    phase: Phase,
    /// Those that no end has taken along yet.
    answers: Vec<Answer>,
}

#[derive(Clone, Copy)]
struct Held {
    id: JobId,
    attempt: Attempt,
    priority: i16,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// It gathers answers.
    #[default]
    Open,
    /// Its end is being written.
    Ending,
    /// What had not answered is executing by its row.
    Spilled,
    /// Its transaction is lost.
    Lost,
}

/// What an end writes.
struct End {
    answers: Vec<Answer>,
    outstanding: Vec<Held>,
    /// Of the answers, what the transaction did; complete when it commits.
    settled: Ids,
}

impl Batch {
    pub(super) fn new(
        office: &Arc<Office>,
        queue: &Arc<str>,
        id: BatchId,
        bound: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            office: Arc::clone(office),
            queue: Arc::clone(queue),
            id,
            bound,
            exit: Arc::default(),
            state: Mutex::default(),
        })
    }

    /// The way out, for a handler that needs its executing row.
    pub(in crate::queue) fn exit(&self) -> &Arc<LaneExit> {
        &self.exit
    }

    /// Is there for these leases from now on, until it has ended.
    pub(in crate::queue) fn run(
        self: Arc<Self>,
        hold: Hold,
        leases: &[Lease],
        place: Option<OwnedSemaphorePermit>,
    ) {
        let held = |lease: &Lease| Held {
            id: lease.job().id,
            attempt: lease.job().attempt,
            priority: lease.job().priority,
        };
        self.lock().held = leases.iter().map(held).collect();
        self.due_if_answered();
        // A task of its own, never cut off: it owes an end to the transaction.
        tokio::spawn(async move {
            self.end(hold).await;
            drop(place);
        });
    }

    /// Takes the answer of one of its leases.
    pub(in crate::queue) fn answer(&self, answer: Answer) {
        let mut state = self.lock();
        match state.phase {
            Phase::Open | Phase::Ending => state.answers.push(answer),
            Phase::Spilled => self.office.outbox.push(answer),
            Phase::Lost => {
                drop(state);
                return self.refuse(&[answer]);
            }
        }
        drop(state);
        self.due_if_answered();
    }

    fn due_if_answered(&self) {
        let state = self.lock();
        if state.phase == Phase::Open && state.answers.len() == state.held.len() {
            self.exit.due();
        }
    }

    async fn end(&self, hold: Hold) {
        let until = hold.since() + self.bound;
        tokio::select! {
            biased;
            () = self.exit.until_due() => {}
            () = tokio::time::sleep_until(until.into()) => {}
        }
        let mut end = self.ending();
        let began = Instant::now();
        let has_ended = match self.write(hold, &mut end).await {
            Ok(()) => true,
            Err(error) => self.has_ended_after(&error, &end).await,
        };
        match has_ended {
            true => self.ended(end, began.elapsed()),
            false => self.lost(end),
        }
        self.exit.over();
    }

    fn ending(&self) -> End {
        let mut state = self.lock();
        state.phase = Phase::Ending;
        let answers = std::mem::take(&mut state.answers);
        let mut outstanding = Vec::new();
        if answers.len() < state.held.len() {
            let answered: Ids = answers.iter().map(|answer| answer.settlement.id).collect();
            let is_outstanding = |held: &&Held| !answered.contains(&held.id);
            outstanding.extend(state.held.iter().filter(is_outstanding));
        }
        End {
            answers,
            outstanding,
            settled: Ids::default(),
        }
    }

    async fn write(&self, mut hold: Hold, end: &mut End) -> Result<(), Error> {
        let (mut completed, mut others): (Vec<JobId>, Vec<&Settlement>) = (Vec::new(), Vec::new());
        for settlement in end.answers.iter().map(|answer| &answer.settlement) {
            match settlement.transition {
                // Its row is as it was before, and free with the end.
                Transition::Release { failure: None } => _ = end.settled.insert(settlement.id),
                _ if settlement.is_plain() => completed.push(settlement.id),
                _ => others.push(settlement),
            }
        }
        if !hold.finish(self.id, &completed).await? {
            return Err(Error::lease_lost("others have settled the batch"));
        }
        end.settled.extend(completed);
        let others_ids = others.iter().map(|settlement| settlement.id);
        let spilled: Vec<JobId> = others_ids
            .chain(end.outstanding.iter().map(|held| held.id))
            .collect();
        if !spilled.is_empty() {
            hold.spill(&spilled).await?;
        }
        if !others.is_empty() {
            let settled = hold.settle(&others).await?;
            end.settled.extend(settled);
        }
        hold.commit().await
    }

    /// Finds out whether a transaction whose end was not confirmed has ended the batch. It cannot any more
    /// when this returns.
    async fn has_ended_after(&self, error: &Error, end: &End) -> bool {
        tracing::warn!(
            %error,
            queue = &*self.queue,
            jobs = end.answers.len() + end.outstanding.len(),
            "the transaction of a batch in the express lane was lost, or its confirmation"
        );
        let (office, mut patience, mut tries) = (&self.office, Patience::default(), 0);
        let of = self.changed_by(end);
        loop {
            match office.store.withdraw(self.id, office.node, of).await {
                Ok(has_ended) => return has_ended,
                // Then it is left to the rescuers of other nodes.
                Err(_) if office.is_closing() && tries == LAST_TRIES => return false,
                Err(_) => tries += u32::from(office.is_closing()),
            }
            tokio::time::sleep(patience.after_failure(fastrand::f64())).await;
        }
    }

    /// One that the end changes.
    fn changed_by(&self, end: &End) -> Option<(JobId, Attempt)> {
        let is_release = |answer: &&Answer| {
            let transition = &answer.settlement.transition;
            matches!(transition, Transition::Release { failure: None })
        };
        let answered = end.answers.iter().find(|answer| !is_release(answer));
        let answered =
            answered.map(|Answer { settlement, .. }| (settlement.id, settlement.attempt));
        answered.or(end.outstanding.first().map(|held| (held.id, held.attempt)))
    }

    fn ended(&self, end: End, took: Duration) {
        let outstanding = end.outstanding.iter().map(|held| (held.id, held.attempt));
        self.office.custody.left_the_lane(outstanding);
        let is_settled = |answer: &Answer| end.settled.contains(&answer.settlement.id);
        let (settled, unsettled): (Vec<_>, Vec<_>) = end.answers.into_iter().partition(is_settled);
        for answer in self.over(Phase::Spilled).into_iter().chain(unsettled) {
            self.office.outbox.push(answer);
        }
        self.office.tell_written(&settled, &end.settled, took);
    }

    fn lost(&self, end: End) {
        for held in &end.outstanding {
            let custody = &self.office.custody;
            custody.stop_attempt(held.id, held.attempt, CancelReason::LeaseLost);
        }
        let mut answers = end.answers;
        answers.extend(self.over(Phase::Lost));
        let most_urgent = self.lock().held.iter().map(|held| held.priority).min();
        self.refuse(&answers);
        self.office.client.tell(Notice::Available {
            queue: self.queue.to_string(),
            priority: most_urgent.unwrap_or(i16::MAX),
        });
    }

    /// Answers go elsewhere from now on; those that came meanwhile are returned.
    fn over(&self, phase: Phase) -> Vec<Answer> {
        let mut state = self.lock();
        state.phase = phase;
        std::mem::take(&mut state.answers)
    }

    fn refuse(&self, answers: &[Answer]) {
        self.office
            .tell_written(answers, &Ids::default(), Duration::ZERO);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("id", &self.id)
            .field("phase", &self.lock().phase)
            .finish_non_exhaustive()
    }
}
