//! The claims of a queue in the express lane.
//!
//! A claim holds jobs by the locks of a transaction. What it is about to begin is written down before, in another
//! one, so that a death of the process is found and charged. What cannot be left without an executing row of its
//! own (an ordering key, a suspect, an isolated kind) takes its whole claim out of the lane at once: that is an
//! ordinary claim then, in two statements.
//!
//! Jobs that a batch names although nobody holds them are left alone until the rescuer has said whether somebody
//! died of them; this claim goes on behind them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Batch, Express, LANES};
use crate::Error;
use crate::job::{Attempt, JobId};
use crate::queue::{Office, Patience};
use crate::random::random_bits;
use crate::store::{
    BatchId, CLAIM_TRIES, ClaimBound, ClaimRequest, ClaimedJob, Contested, Foretold, Held, Hold,
    Notes, is_behind_another,
};

/// How soon a claim looks again for what is contested.
const LOOK_AGAIN_IN: Duration = Duration::from_millis(25);

/// The express lane of one queue.
#[derive(Clone)]
pub(in crate::queue) struct Lane {
    office: Arc<Office>,
    queue: Arc<str>,
    options: Express,
    places: Arc<Semaphore>,
}

/// What a claim brought.
#[derive(Default)]
pub(in crate::queue) struct Taken {
    pub(in crate::queue) jobs: Vec<ClaimedJob>,
    /// The batch to which they answer; none, if they are ordinary executing jobs.
    pub(in crate::queue) batch: Option<(Arc<Batch>, Hold, Vec<Held>)>,
    /// Some were left alone: how soon to look for them.
    pub(in crate::queue) look_again_in: Option<Duration>,
}

impl Taken {
    /// Jobs that are executing by their rows.
    pub(in crate::queue) fn ordinary(jobs: Vec<ClaimedJob>) -> Self {
        Self {
            jobs,
            batch: None,
            look_again_in: None,
        }
    }
}

/// What one try brought.
#[derive(Default)]
struct Tried {
    taken: Taken,
    /// Other batches that name some of the jobs.
    contested: Vec<Contested>,
    /// The last job of those that are contested therefore, and given back.
    last: Option<ClaimBound>,
}

impl From<Taken> for Tried {
    fn from(taken: Taken) -> Self {
        Self {
            taken,
            ..Self::default()
        }
    }
}

impl Lane {
    pub(in crate::queue) fn new(office: &Arc<Office>, queue: &Arc<str>, options: Express) -> Self {
        Self {
            office: Arc::clone(office),
            queue: Arc::clone(queue),
            options,
            places: Arc::new(Semaphore::new(LANES)),
        }
    }

    /// Waits until a batch may be opened.
    pub(in crate::queue) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    pub(in crate::queue) async fn claim(&self, request: &ClaimRequest) -> Result<Taken, Error> {
        let tried = self.try_claim(request).await?;
        if tried.contested.is_empty() {
            return Ok(tried.taken);
        }
        self.office.contest.note(&tried.contested, &self.queue);
        let behind = ClaimRequest {
            node: request.node,
            queue: Arc::clone(&request.queue),
            kinds: Arc::clone(&request.kinds),
            above: tried.last.unwrap_or(request.above),
            limit: request.limit,
            suspects: request.suspects,
            are_quick: request.are_quick,
        };
        let Tried {
            taken, contested, ..
        } = self.try_claim(&behind).await?;
        if !contested.is_empty() {
            self.office.contest.note(&contested, &self.queue);
        }
        Ok(Taken {
            look_again_in: Some(LOOK_AGAIN_IN),
            ..taken
        })
    }

    /// As often as another node begins jobs of the same ordering keys at the same moment.
    async fn try_claim(&self, request: &ClaimRequest) -> Result<Tried, Error> {
        for _ in 1..CLAIM_TRIES {
            match self.claim_once(request).await {
                Err(error) if is_behind_another(&error) => {}
                tried => return tried,
            }
        }
        self.claim_once(request).await
    }

    async fn claim_once(&self, request: &ClaimRequest) -> Result<Tried, Error> {
        let store = &self.office.store;
        let (hold, notes, jobs) = store.hold(request).await?;
        if jobs.is_empty() {
            hold.release().await?;
            return Ok(Tried::default());
        }
        let batch = BatchId(random_bits() as i64);
        let held: Option<Vec<Held>> = jobs.iter().map(Held::of).collect();
        let held =
            held.ok_or_else(|| Error::database("cannot hold jobs whose places are unknown"))?;
        let attempts = held.iter().map(|held| (held.id, held.attempt)).collect();
        let contested = self.foretell(notes, batch, attempts).await?;
        if !contested.is_empty() {
            hold.release().await?;
            let plain = jobs.iter().filter(|job| job.rare().deaths == 0);
            return Ok(Tried {
                contested,
                last: plain.map(|job| job.bound()).max(),
                ..Tried::default()
            });
        }
        if self.needs_rows(&jobs) {
            let spilled = self.spill(hold, batch, &held).await;
            spilled.inspect_err(|_| self.withdraw(batch))?;
            return Ok(Taken::ordinary(jobs).into());
        }
        let batch = Batch::new(&self.office, &self.queue, batch, self.options.bound);
        let taken = Taken {
            jobs,
            batch: Some((batch, hold, held)),
            look_again_in: None,
        };
        Ok(taken.into())
    }

    /// Whether somebody looks for the executing row of one of them: for the one that runs of a key, for the suspect
    /// that a node runs, or out of a process that knows nothing of the lane.
    fn needs_rows(&self, jobs: &[ClaimedJob]) -> bool {
        let mut last = None;
        jobs.iter().any(|job| {
            let is_of_another_kind = last.replace(&*job.kind) != Some(&*job.kind);
            job.rare().deaths > 0
                || job.rare().ordering_key.is_some()
                || is_of_another_kind && self.is_isolated(&job.kind)
        })
    }

    #[cfg(unix)]
    fn is_isolated(&self, kind: &str) -> bool {
        let registry = self.office.registry.get();
        let handler = registry.handler(kind);
        handler.is_some_and(|handler| handler.isolated.is_some())
    }

    #[cfg(not(unix))]
    fn is_isolated(&self, _kind: &str) -> bool {
        false
    }

    async fn foretell(
        &self,
        notes: Notes,
        batch: BatchId,
        attempts: Vec<(JobId, Attempt)>,
    ) -> Result<Vec<Contested>, Error> {
        let foretold = Foretold {
            batch,
            queue: Arc::clone(&self.queue),
            attempts,
        };
        let told = notes.foretell(&foretold).await;
        // It may be written, and would name what nobody has begun.
        told.inspect_err(|_| self.withdraw(batch))
    }

    /// Makes ordinary executing jobs of all that is held.
    async fn spill(&self, mut hold: Hold, batch: BatchId, held: &[Held]) -> Result<(), Error> {
        if !hold.finish(batch, &self.queue, &[]).await? {
            return Err(Error::database(
                "cannot claim jobs: others have settled their batch",
            ));
        }
        let ids: Vec<JobId> = held.iter().map(|held| held.id).collect();
        hold.spill(&ids).await?;
        hold.commit().await
    }

    fn withdraw(&self, batch: BatchId) {
        tokio::spawn(withdraw(Arc::clone(&self.office), batch));
    }
}

/// Strikes out what may have been foretold in vain.
async fn withdraw(office: Arc<Office>, batch: BatchId) {
    let mut patience = Patience::default();
    while office.store.withdraw(batch, &[]).await.is_err() && !office.is_closing() {
        tokio::time::sleep(patience.after_failure(fastrand::f64())).await;
    }
}
