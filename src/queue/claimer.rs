//! One claim: from a request to leases.
//!
//! A claim whose answer was lost (a time-out, a broken connection) may have given this node jobs that
//! are in nobody's hands here. It leaves a doubt, which outlives the fetcher, and the next claim first
//! looks for them by their rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::Office;
use super::lease::Lease;
use crate::Error;
use crate::planted::{Bug, planted};
use crate::store::{ClaimBound, ClaimRequest, ClaimedJob};

/// What a claim brought.
pub(super) struct Claimed {
    pub(super) leases: Result<Vec<Lease>, Error>,
    pub(super) last: Option<ClaimBound>,
    /// Whether there may be more.
    pub(super) is_full: bool,
    pub(super) took: Duration,
}

/// Makes the claims of a queue.
#[derive(Clone)]
pub(super) struct Claimer {
    office: Arc<Office>,
    queue: Arc<str>,
    is_in_doubt: Arc<AtomicBool>,
}

impl Claimer {
    pub(super) fn new(office: &Arc<Office>, queue: &Arc<str>) -> Self {
        Self {
            office: Arc::clone(office),
            queue: Arc::clone(queue),
            is_in_doubt: Arc::default(),
        }
    }

    /// Claims what is wanted, or finds again what a lost answer gave.
    pub(super) async fn claim(
        &self,
        request: ClaimRequest,
        alone: Option<OwnedSemaphorePermit>,
    ) -> Claimed {
        let began = Instant::now();
        let Found { jobs, is_reclaimed } = match self.jobs(&request).await {
            Ok(found) => found,
            Err(error) => {
                let is_in_doubt = !planted(Bug::ErrorMeansNotCommitted);
                self.is_in_doubt.store(is_in_doubt, Ordering::Release);
                return Claimed {
                    leases: Err(error),
                    last: None,
                    is_full: false,
                    took: began.elapsed(),
                };
            }
        };
        // What was found again says nothing about what is available.
        let is_full = is_reclaimed || jobs.len() >= request.limit as usize;
        let bound = jobs
            .iter()
            .filter(|job| job.deaths == 0 && !is_reclaimed)
            .map(ClaimedJob::bound)
            .max();
        let leases = Lease::take(jobs, &self.queue, &self.office, alone);
        Claimed {
            leases: Ok(leases),
            last: bound,
            is_full,
            took: began.elapsed(),
        }
    }

    async fn jobs(&self, request: &ClaimRequest) -> Result<Found, Error> {
        let store = &self.office.store;
        if self.is_in_doubt.load(Ordering::Acquire) {
            let held = self.office.custody.held_in(&self.queue);
            let jobs = store.reclaim(request.node, &request.queue, &held).await?;
            self.is_in_doubt.store(false, Ordering::Release);
            if !jobs.is_empty() {
                return Ok(Found {
                    jobs,
                    is_reclaimed: true,
                });
            }
        }
        Ok(Found {
            jobs: store.claim(request).await?,
            is_reclaimed: false,
        })
    }
}

struct Found {
    jobs: Vec<ClaimedJob>,
    /// They were this node's already, by a claim whose answer was lost.
    is_reclaimed: bool,
}
