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
        let jobs = match self.jobs(&request).await {
            Ok(jobs) => jobs,
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
        let is_full = jobs.len() >= request.limit as usize;
        let bound = jobs
            .iter()
            .filter(|job| job.deaths == 0)
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

    async fn jobs(&self, request: &ClaimRequest) -> Result<Vec<ClaimedJob>, Error> {
        let store = &self.office.store;
        if !self.is_in_doubt.load(Ordering::Acquire) {
            return store.claim(request).await;
        }
        let held = self.office.custody.held_in(&self.queue);
        let found = store.reclaim(request.node, &request.queue, &held).await?;
        self.is_in_doubt.store(false, Ordering::Release);
        if found.is_empty() {
            store.claim(request).await
        } else {
            Ok(found)
        }
    }
}
