//! The ledger: writes what became of jobs, in group commits.
//!
//! It writes all that gathered during its last write in one statement, with no timer. What is lost if
//! it is killed at any await: nothing. A batch leaves the outbox only when its write is confirmed; its
//! successor writes it again, and the fence makes that harmless. What the fence refuses then, although the
//! first write had done it, is recalled from the rows and counted as what it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{ActorProcessingErr, ActorRef};
use tokio::sync::OwnedMutexGuard;

use super::pulse::{Pulse, Tick};
use crate::Error;
use crate::event::Event;
use crate::job::{Failure, Ids, JobId, Transition};
use crate::queue::{Answer, BATCH, Office, Patience, Unwritten};
use crate::store::{Settlement, TurnAfter};

/// How long the last write may take when the board stops.
const FLUSH_WITHIN: Duration = Duration::from_secs(5);
/// How long followers of attempts may take for the last of them when the board stops.
const TOLD_WITHIN: Duration = Duration::from_secs(1);
/// How soon answers are tried again that the database refused, one by one.
const REFUSED_AGAIN_IN: Duration = Duration::from_secs(5);

pub(super) const ROLE: &str = "ledger";

pub(super) enum LedgerMessage {
    /// Write what has gathered.
    Write,
    /// Try again what failed.
    Retry(Tick),
}

#[cfg(feature = "cluster")]
impl ractor::Message for LedgerMessage {}

pub(super) struct LedgerState {
    office: Arc<Office>,
    unwritten: OwnedMutexGuard<Unwritten>,
    patience: Patience,
    retry: Pulse,
    is_resting: bool,
}

#[derive(Clone, Copy)]
pub(super) struct Ledger;

#[ractor::actor(message = LedgerMessage, state = LedgerState, arguments = Arc<Office>)]
impl Ledger {
    async fn pre_start(
        &self,
        myself: ActorRef<LedgerMessage>,
        office: Arc<Office>,
    ) -> Result<LedgerState, ActorProcessingErr> {
        let wake = move || {
            // A ledger that is gone has a successor, which writes at its start.
            let _gone = myself.cast(LedgerMessage::Write);
        };
        let unwritten = office.outbox.attend(wake).await;
        let patience = Patience::default();
        Ok(LedgerState {
            office,
            unwritten,
            patience,
            retry: Pulse::default(),
            is_resting: false,
        })
    }

    async fn post_start(
        &self,
        myself: ActorRef<LedgerMessage>,
        _state: &mut LedgerState,
    ) -> Result<(), ActorProcessingErr> {
        myself.cast(LedgerMessage::Write)?;
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<LedgerMessage>,
        message: LedgerMessage,
        state: &mut LedgerState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            LedgerMessage::Write if state.is_resting => return Ok(()),
            LedgerMessage::Write => {}
            LedgerMessage::Retry(tick) if state.retry.is_current(tick) => {
                state.unwritten.take_back(BATCH);
            }
            LedgerMessage::Retry(_) => return Ok(()),
        }
        state.is_resting = false;
        if let Err(error) = state.write().await {
            state.rest(&error, &myself);
        } else if state.unwritten.aside() > 0 {
            let again = LedgerMessage::Retry;
            state.retry.tick_in(REFUSED_AGAIN_IN, &myself, again);
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<LedgerMessage>,
        state: &mut LedgerState,
    ) -> Result<(), ActorProcessingErr> {
        state.flush().await;
        state.office.facts.delivered(TOLD_WITHIN).await;
        Ok(())
    }
}

impl LedgerState {
    /// Writes one batch, if there is one.
    async fn write(&mut self) -> Result<(), Error> {
        self.office.outbox.looked();
        if self.unwritten.batch().is_empty() {
            return Ok(());
        }
        let was_sent = self.unwritten.sending();
        let batch = self.unwritten.current();
        let began = Instant::now();
        let mut written = write_batch(&self.office, batch).await?;
        let took = began.elapsed();
        self.unwritten.set_aside(&written.refused);
        if was_sent || written.is_singly {
            recall(
                &self.office,
                self.unwritten.current(),
                &mut written.accepted,
            )
            .await?;
        }
        let mut confirmed = self.office.outbox.confirm(&mut self.unwritten);
        self.patience.succeeded();
        self.say_how_it_goes(written.why_refused.as_ref());
        self.office
            .tell_written(&confirmed, &written.accepted, took);
        let is_next_suspect_free = confirmed.iter().any(|answer| answer.alone.is_some());
        let keys = confirmed
            .iter_mut()
            .filter_map(|answer| answer.ordering.take());
        self.office
            .client
            .turn(TurnAfter::End, keys.map(|key| *key));
        self.unwritten.reuse(confirmed);
        if is_next_suspect_free {
            self.office.wakeups.wake_queues();
        }
        if self.office.outbox.count() > 0 {
            self.office.outbox.wake();
        }
        Ok(())
    }

    /// Works, unless answers are set aside.
    fn say_how_it_goes(&self, why_refused: Option<&Error>) {
        match (self.unwritten.aside(), why_refused) {
            (0, _) => self.office.vitals.working(ROLE),
            (answers, Some(error)) => {
                let reason = format!(
                    "{answers} answers are set aside and tried again, since the database refuses them: {error}"
                );
                self.office.vitals.degraded(ROLE, &reason);
            }
            (_, None) => {}
        }
    }

    fn rest(&mut self, error: &Error, myself: &ActorRef<LedgerMessage>) {
        self.office.vitals.degraded(ROLE, error);
        self.is_resting = true;
        let wait = self.patience.after_failure(fastrand::f64());
        self.retry.tick_in(wait, myself, LedgerMessage::Retry);
    }

    async fn flush(&mut self) {
        let until = Instant::now() + FLUSH_WITHIN;
        self.unwritten.take_back(BATCH);
        while self.office.outbox.count() > self.unwritten.aside() && Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, self.write()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    self.office.vitals.degraded(ROLE, &error);
                    tokio::time::sleep(self.patience.after_failure(fastrand::f64())).await;
                }
                Err(_) => break,
            }
        }
        let answers = self.office.outbox.count();
        if answers > 0 {
            self.office.bulletin.say(Event::Unwritten { answers });
        }
    }
}

/// What came of a batch.
#[derive(Debug, Default)]
struct Written {
    accepted: Ids,
    /// The places of answers that the database refuses in any form, and its last word on them.
    refused: Vec<usize>,
    why_refused: Option<Error>,
    is_singly: bool,
}

/// Writes a batch in one statement, or one by one if one of its answers cannot be written and must not
/// take the others along.
async fn write_batch(office: &Office, batch: &[Answer]) -> Result<Written, Error> {
    let settlements = batch.iter().map(|answer| &answer.settlement);
    match office.store.settle(office.node, settlements).await {
        Err(error) if error.is_database() => write_singly(office, batch).await,
        accepted => Ok(Written {
            accepted: accepted?.into_iter().collect(),
            ..Written::default()
        }),
    }
}

async fn write_singly(office: &Office, batch: &[Answer]) -> Result<Written, Error> {
    let mut written = Written {
        is_singly: true,
        ..Written::default()
    };
    for (place, answer) in batch.iter().enumerate() {
        match write_one(office, &answer.settlement).await {
            Ok(accepted) => written.accepted.extend(accepted),
            Err(error) if error.is_database() => {
                written.refused.push(place);
                written.why_refused = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

/// Writes one answer; without the texts from outside, if it is refused with them.
async fn write_one(office: &Office, settlement: &Settlement) -> Result<Vec<JobId>, Error> {
    let one = std::iter::once(settlement);
    match office.store.settle(office.node, one).await {
        Err(error) if error.is_database() => {
            let plain = plainly(settlement, &error);
            let plain = std::iter::once(&plain);
            let accepted = office.store.settle(office.node, plain).await?;
            office.bulletin.say(Event::WrittenPlainly {
                job: settlement.id,
                reason: error.to_string(),
            });
            Ok(accepted)
        }
        accepted => accepted,
    }
}

/// Adds what an earlier write had done whose own answer was lost.
async fn recall(office: &Office, batch: &[Answer], accepted: &mut Ids) -> Result<(), Error> {
    let refused = batch
        .iter()
        .map(|answer| (answer.settlement.id, answer.settlement.attempt))
        .filter(|(id, _)| !accepted.contains(id));
    let refused: Vec<_> = refused.collect();
    if refused.is_empty() {
        return Ok(());
    }
    match office.store.recall(office.node, &refused).await {
        Err(error) if error.is_database() => {
            // Only a count is at stake: the rows are right.
            tracing::warn!(%error, answers = refused.len(), "answers that may have been written count as refused");
        }
        recalled => accepted.extend(recalled?),
    }
    Ok(())
}

/// The same transition without any text from outside.
fn plainly(settlement: &Settlement, error: &Error) -> Settlement {
    let plain = |failure: &Failure| {
        Failure::new(
            failure.kind,
            &format!("the error's own text could not be stored ({error})"),
        )
    };
    let transition = match &settlement.transition {
        Transition::Complete { .. } => Transition::Complete { output: None },
        Transition::Retry { after, failure } => Transition::Retry {
            after: *after,
            failure: plain(failure),
        },
        Transition::Snooze { after } => Transition::Snooze { after: *after },
        Transition::Cancel { failure } => Transition::Cancel {
            failure: plain(failure),
        },
        Transition::Bury { reason, failure } => Transition::Bury {
            reason: *reason,
            failure: plain(failure),
        },
        Transition::Release { failure } => Transition::Release {
            failure: failure.as_ref().map(plain),
        },
    };
    Settlement {
        id: settlement.id,
        attempt: settlement.attempt,
        transition,
        diagnostics: None,
        has_trail: settlement.has_trail,
        ctid: settlement.ctid,
    }
}
