//! One claim: from a request to leases.
//!
//! A claim whose answer was lost (a time-out, a broken connection) may have given this node jobs that
//! are in nobody's hands here. It leaves a doubt, which outlives the fetcher, and the next claim first
//! looks for them by their rows. One claim at a time, whatever fetcher made it: a look must not find what
//! another one is about to hand over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::express::{Express, Lane, Taken};
use super::lease::Lease;
use super::{Office, Queue};
use crate::Error;
use crate::event::Event;
use crate::job::Limits;
use crate::planted::{Bug, planted};
use crate::store::{ClaimBound, ClaimRequest, ClaimedJob};

/// What a claim brought.
pub(super) struct Claimed {
    pub(super) leases: Result<Vec<Lease>, Error>,
    pub(super) last: Option<ClaimBound>,
    /// Whether there may be more.
    pub(super) is_full: bool,
    /// When a rate has held something back: how soon more may start.
    pub(super) look_again_in: Option<Duration>,
    pub(super) took: Duration,
    /// The breaker for whose kinds it was made, if they are claimed apart.
    pub(super) rationed_by: Option<Arc<str>>,
}

/// Makes the claims of a queue.
#[derive(Clone)]
pub(super) struct Claimer {
    office: Arc<Office>,
    queue: Arc<str>,
    doubt: Arc<Mutex<Option<Doubt>>>,
    /// The queue's limits, as the last claim found them.
    limits: Arc<Mutex<Option<Limits>>>,
    turn: Arc<tokio::sync::Mutex<()>>,
    express: Option<Lane>,
}

/// How a claim is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// As the queue is configured.
    OfTheQueue,
    /// By rows, whatever the queue is.
    Ordinary,
}

/// A claim is about to be sent, or under way, until this is dropped.
#[must_use = "the claim is over when this is dropped"]
pub(super) struct UnderWay(Claimer);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.office.custody.came(&self.0.queue);
    }
}

/// A claim failed, and may have been made.
#[derive(Debug)]
struct Doubt {
    /// What a suspect needs that it may have claimed.
    alone: Option<OwnedSemaphorePermit>,
}

impl Claimer {
    pub(super) fn new(office: &Arc<Office>, queue: &Queue) -> Self {
        let lane = |options: &Express| Lane::new(office, &queue.name, options.clone());
        Self {
            express: queue.express.as_ref().map(lane),
            office: Arc::clone(office),
            queue: Arc::clone(&queue.name),
            doubt: Arc::default(),
            limits: Arc::default(),
            turn: Arc::default(),
        }
    }

    /// Whether the next claim has to look for jobs that nobody here holds.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.lock().is_some() || self.office.custody.is_in_doubt(&self.queue)
    }

    /// A claim will be made. A board that ends waits for it, since what it brings is this node's.
    pub(super) fn begin(&self) -> UnderWay {
        self.office.custody.send_for(&self.queue);
        UnderWay(self.clone())
    }

    /// Claims what is wanted, which may be nothing, or finds again what a lost answer gave.
    pub(super) async fn claim(
        &self,
        request: ClaimRequest,
        alone: Option<OwnedSemaphorePermit>,
        way: Way,
    ) -> Claimed {
        let _turn = self.turn.lock().await;
        let lane = self.express.as_ref().filter(|_| way == Way::OfTheQueue);
        // The wait for a place is a part of what a claim takes: so much more is claimed ahead.
        let began = Instant::now();
        let place = match lane {
            Some(lane) => lane.place().await,
            None => None,
        };
        let doubt = self.lock().take();
        let is_in_doubt = self.office.custody.take_doubt(&self.queue, began) || doubt.is_some();
        let alone = alone.or(doubt.and_then(|doubt| doubt.alone));
        let found = self.jobs(&request, is_in_doubt, lane).await;
        let Found {
            taken,
            is_reclaimed,
        } = match found {
            Ok(found) => found,
            Err(error) => {
                if !planted(Bug::ErrorMeansNotCommitted) {
                    *self.lock() = Some(Doubt { alone });
                }
                return Claimed {
                    leases: Err(error),
                    last: None,
                    is_full: false,
                    look_again_in: None,
                    took: began.elapsed(),
                    rationed_by: None,
                };
            }
        };
        let Taken {
            jobs,
            batch,
            look_again_in,
        } = taken;
        // What was found again says nothing about what is available.
        let is_full = is_reclaimed || jobs.len() >= request.limit as usize;
        let bound = jobs
            .iter()
            .filter(|job| job.rare().deaths == 0 && !is_reclaimed && look_again_in.is_none())
            .map(ClaimedJob::bound)
            .max();
        let took = began.elapsed();
        self.office.bulletin.say_if_heard(|| Event::Claimed {
            queue: Arc::clone(&self.queue),
            jobs: jobs.len() as u32,
            wanted: request.limit,
            took,
        });
        let leases = match batch {
            None => Lease::take(jobs, &self.queue, &self.office, alone, None),
            Some((batch, hold, held)) => {
                let leases = Lease::take(jobs, &self.queue, &self.office, alone, Some(&batch));
                batch.run(hold, held, &leases, place);
                leases
            }
        };
        let next_start_in = || self.limits().and_then(|limits| limits.next_start_in());
        Claimed {
            leases: Ok(leases),
            last: bound,
            is_full,
            look_again_in: look_again_in.or_else(next_start_in),
            took: began.elapsed(),
            rationed_by: None,
        }
    }

    async fn jobs(
        &self,
        request: &ClaimRequest,
        is_in_doubt: bool,
        lane: Option<&Lane>,
    ) -> Result<Found, Error> {
        let store = &self.office.store;
        if is_in_doubt {
            let held = self.office.custody.held_in(&self.queue);
            let jobs = store.reclaim(request.node, &request.queue, &held).await?;
            if !jobs.is_empty() {
                return Ok(Found {
                    taken: Taken::ordinary(jobs),
                    is_reclaimed: true,
                });
            }
        }
        // Breakers may keep every kind waiting, and looking for none of them would read all that wait.
        let wants_none = request.limit == 0 && request.suspects == 0;
        let taken = match request.kinds.is_empty() || wants_none {
            true => Taken::default(),
            false => self.available(request, lane).await?,
        };
        Ok(Found {
            taken,
            is_reclaimed: false,
        })
    }

    /// By the way that the last claim found right: with limits, or without. Only an empty answer may mean
    /// that it is the other.
    async fn available(&self, request: &ClaimRequest, lane: Option<&Lane>) -> Result<Taken, Error> {
        let was_limited = self.limits().is_some();
        let taken = self.by_way(request, was_limited, lane).await?;
        if !taken.jobs.is_empty() {
            return Ok(taken);
        }
        let limits = self.office.store.limits_of_claims(&request.queue).await?;
        let is_limited = limits.is_some();
        *self.lock_limits() = limits;
        match was_limited == is_limited {
            true => Ok(taken),
            false => self.by_way(request, is_limited, lane).await,
        }
    }

    async fn by_way(
        &self,
        request: &ClaimRequest,
        is_limited: bool,
        lane: Option<&Lane>,
    ) -> Result<Taken, Error> {
        let store = &self.office.store;
        match lane {
            _ if is_limited => store.claim_limited(request).await.map(Taken::ordinary),
            Some(lane) => lane.claim(request).await,
            None => store.claim(request).await.map(Taken::ordinary),
        }
    }

    /// The queue's limits, as the last claim found them.
    pub(super) fn limits(&self) -> Option<Limits> {
        self.lock_limits().clone()
    }

    fn lock_limits(&self) -> MutexGuard<'_, Option<Limits>> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Doubt>> {
        // Nothing panics while it holds the lock.
        self.doubt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Found {
    taken: Taken,
    /// They were this node's already, by a claim whose answer was lost.
    is_reclaimed: bool,
}
