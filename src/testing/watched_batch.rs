//! A batch on a test's board: each of its attempts is seen to run, and meets with what a test has set.

use std::sync::Arc;

use futures_util::future::{BoxFuture, select_all};

use super::attempts::Attempts;
use crate::BoxError;
use crate::handler::{AnyBatch, BatchContext, BatchHandler, StopSignal, Unanswered};
use crate::job::{Attempt, JobId, Outcome};

struct WatchedBatch {
    batch: Box<dyn AnyBatch>,
    jobs: Vec<(JobId, Attempt)>,
    attempts: Attempts,
}

impl Attempts {
    /// The same handler of batches, watched.
    pub(super) fn wrap_batch(&self, mut handler: BatchHandler) -> BatchHandler {
        let (attempts, open) = (self.clone(), handler.open);
        handler.open = Arc::new(move |members, post| {
            let jobs = members.iter().map(|job| (job.facts.id, job.facts.attempt));
            let jobs = jobs.collect();
            Box::new(WatchedBatch {
                jobs,
                batch: open(members, post),
                attempts: attempts.clone(),
            })
        });
        handler
    }
}

impl AnyBatch for WatchedBatch {
    fn signals(&self) -> Vec<StopSignal> {
        self.batch.signals()
    }

    fn perform<'a>(
        &'a mut self,
        cx: &'a mut BatchContext<'_>,
    ) -> BoxFuture<'a, Result<Outcome, BoxError>> {
        let begin = |job| self.attempts.begin(job, cx.queue(), cx.worker());
        let begun: Vec<_> = self.jobs.iter().copied().map(begin).collect();
        let mishap = |(_, attempt): &(_, Attempt)| self.attempts.mishap_of(cx.kind(), *attempt);
        let performed = match self.jobs.iter().find_map(mishap) {
            Some(mishap) => Box::pin(mishap.happen(cx.cancellation().clone())),
            None => self.batch.perform(cx),
        };
        Box::pin(async move {
            let crashes = begun.iter().map(|job| Box::pin(job.crash.notified()));
            tokio::select! {
                biased;
                _ = select_all(crashes) => panic!("crashed by a test"),
                performed = performed => performed,
            }
        })
    }

    fn unanswered(&mut self) -> Vec<Unanswered> {
        self.batch.unanswered()
    }
}
