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
use crate::store::{BatchId, Held, Hold, Notice, Settlement};

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
    /// How many leases there are.
    held: usize,
    phase: Phase,
    /// The numbers of those that are completed, and no more is to be said.
    completed: Vec<usize>,
    /// What others say, each with the number of its lease; those that no end has taken along yet.
    answers: Vec<(usize, Answer)>,
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
    /// By the numbers of their leases.
    held: Vec<Held>,
    completed: Vec<usize>,
    answers: Vec<(usize, Answer)>,
    /// The numbers of those that have not answered.
    outstanding: Vec<usize>,
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

    /// Is there for these leases from now on, until it has ended. They are of `held`, in the same order.
    pub(in crate::queue) fn run(
        self: Arc<Self>,
        hold: Hold,
        mut held: Vec<Held>,
        leases: &[Lease],
        place: Option<OwnedSemaphorePermit>,
    ) {
        if held.len() > leases.len() {
            // The others were in somebody's hands here already.
            let mut leases = leases.iter().map(|lease| lease.job().id).peekable();
            held.retain(|held| leases.next_if_eq(&held.id).is_some());
        }
        {
            let mut state = self.lock();
            state.held = held.len();
            state.completed.reserve_exact(held.len());
            self.due_if_answered(&state);
        }
        // A task of its own, never cut off: it owes an end to the transaction.
        tokio::spawn(async move {
            self.end(hold, held).await;
            drop(place);
        });
    }

    /// The job of the lease with this number is completed, which is its whole answer. `false`: it is to be given as
    /// any other.
    pub(in crate::queue) fn complete(&self, number: usize) -> bool {
        let mut state = self.lock();
        let is_open = state.phase == Phase::Open;
        if is_open {
            state.completed.push(number);
            self.due_if_answered(&state);
        }
        is_open
    }

    /// Takes the answer of the lease with this number.
    pub(in crate::queue) fn answer(&self, number: usize, answer: Answer) {
        let mut state = self.lock();
        match state.phase {
            Phase::Open | Phase::Ending => {
                state.answers.push((number, answer));
                self.due_if_answered(&state);
            }
            Phase::Spilled => self.office.outbox.push(answer),
            Phase::Lost => {
                drop(state);
                self.refuse(&[answer]);
            }
        }
    }

    fn due_if_answered(&self, state: &State) {
        let answered = state.completed.len() + state.answers.len();
        if state.phase == Phase::Open && answered == state.held {
            self.exit.due();
        }
    }

    async fn end(&self, hold: Hold, held: Vec<Held>) {
        let until = hold.since() + self.bound;
        tokio::select! {
            biased;
            () = self.exit.until_due() => {}
            () = tokio::time::sleep_until(until.into()) => {}
        }
        let end = self.ending(held);
        // Of the answers, what the transaction did; complete when it commits.
        let mut settled = Ids::default();
        let began = Instant::now();
        let has_ended = match self.write(hold, &end, &mut settled).await {
            Ok(()) => true,
            // It is not this node's to end any more.
            Err(error) if error.is_lease_lost() => false,
            Err(error) => self.has_ended_after(&error, &end).await,
        };
        match has_ended {
            true => self.ended(end, &settled, began.elapsed()),
            false => self.lost(end),
        }
        self.exit.over();
    }

    fn ending(&self, held: Vec<Held>) -> End {
        let mut state = self.lock();
        state.phase = Phase::Ending;
        let answers = std::mem::take(&mut state.answers);
        let completed = std::mem::take(&mut state.completed);
        drop(state);
        let mut outstanding = Vec::new();
        if completed.len() + answers.len() < held.len() {
            let mut is_outstanding = vec![true; held.len()];
            let answered = answers.iter().map(|(number, _)| number).chain(&completed);
            answered.for_each(|number| is_outstanding[*number] = false);
            outstanding.extend((0..held.len()).filter(|number| is_outstanding[*number]));
        }
        End {
            held,
            completed,
            answers,
            outstanding,
        }
    }

    async fn write(&self, mut hold: Hold, end: &End, settled: &mut Ids) -> Result<(), Error> {
        let mut completed: Vec<&Held> = end.completed().collect();
        let (mut others, mut plain): (Vec<&Settlement>, Vec<JobId>) = Default::default();
        for (number, Answer { settlement, .. }) in &end.answers {
            match settlement.transition {
                // Its row is as it was before, and free with the end.
                Transition::Release { failure: None } => _ = settled.insert(settlement.id),
                _ if settlement.is_plain() => {
                    completed.push(&end.held[*number]);
                    plain.push(settlement.id);
                }
                _ => others.push(settlement),
            }
        }
        if !hold.finish(self.id, &self.queue, &completed).await? {
            return Err(Error::lease_lost("others have settled the batch"));
        }
        settled.extend(plain);
        let others_ids = others.iter().map(|settlement| settlement.id);
        let spilled: Vec<JobId> = others_ids
            .chain(end.outstanding().map(|held| held.id))
            .collect();
        if !spilled.is_empty() {
            hold.spill(&spilled).await?;
        }
        if !others.is_empty() {
            settled.extend(hold.settle(&others).await?);
        }
        hold.commit().await
    }

    /// Finds out whether a transaction whose end was not confirmed has ended the batch. It cannot any more
    /// when this returns.
    async fn has_ended_after(&self, error: &Error, end: &End) -> bool {
        tracing::warn!(
            %error,
            queue = &*self.queue,
            jobs = end.held.len(),
            "the transaction of a batch in the express lane was lost, or its confirmation"
        );
        let (office, mut patience, mut tries) = (&self.office, Patience::default(), 0);
        let changed = end.changed();
        loop {
            match office.store.withdraw(self.id, &changed).await {
                Ok(has_ended) => return has_ended,
                // Then it is left to the rescuers of other nodes.
                Err(_) if office.is_closing() && tries == LAST_TRIES => return false,
                Err(_) => tries += u32::from(office.is_closing()),
            }
            tokio::time::sleep(patience.after_failure(fastrand::f64())).await;
        }
    }

    fn ended(&self, end: End, settled: &Ids, took: Duration) {
        let outstanding = end.outstanding().map(|held| (held.id, held.attempt));
        self.office.custody.left_the_lane(outstanding);
        self.tell_completed(&end, true, took);
        let answers = end.answers.into_iter().map(|(_, answer)| answer);
        let is_settled = |answer: &Answer| settled.contains(&answer.settlement.id);
        let (written, unwritten): (Vec<_>, Vec<_>) = answers.partition(is_settled);
        for answer in self.over(Phase::Spilled).into_iter().chain(unwritten) {
            self.office.outbox.push(answer);
        }
        self.office.tell_written(&written, settled, took);
    }

    fn lost(&self, end: End) {
        for held in end.outstanding() {
            let custody = &self.office.custody;
            custody.stop_attempt(held.id, held.attempt, CancelReason::LeaseLost);
        }
        self.tell_completed(&end, false, Duration::ZERO);
        let most_urgent = end.held.iter().map(|held| held.priority).min();
        let answers = end.answers.into_iter().map(|(_, answer)| answer);
        let mut answers: Vec<Answer> = answers.collect();
        answers.extend(self.over(Phase::Lost));
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
        let answers = std::mem::take(&mut state.answers);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    fn tell_completed(&self, end: &End, is_accepted: bool, took: Duration) {
        let of = |number: &usize| (end.held[*number].id, end.held[*number].attempt);
        let completed = end.completed.iter().map(of);
        self.office.tell_completed(completed, is_accepted, took);
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

impl End {
    fn completed(&self) -> impl Iterator<Item = &Held> {
        self.completed.iter().map(|number| &self.held[*number])
    }

    /// What it changes: all that are not given back as they were.
    fn changed(&self) -> Vec<(JobId, Attempt)> {
        let is_release = |answer: &Answer| {
            let transition = &answer.settlement.transition;
            matches!(transition, Transition::Release { failure: None })
        };
        let answered = self
            .answers
            .iter()
            .filter(|(_, answer)| !is_release(answer));
        let answered = answered.map(|(number, _)| &self.held[*number]);
        let changed = self.completed().chain(answered).chain(self.outstanding());
        changed.map(|held| (held.id, held.attempt)).collect()
    }

    fn outstanding(&self) -> impl Iterator<Item = &Held> {
        self.outstanding.iter().map(|number| &self.held[*number])
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
