//! The jobs of one kind that run together: each with its own attempt, each answered on its own.
//!
//! An answer counts when it is given. What is not answered when the batch is dropped, by the death of its
//! worker, is answered by its lease.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;

use super::batch_job::{BatchLimits, Batching, PerformBatch};
use super::batched::{Answering, Batched, Left, Unanswered};
use super::lane_exit::{LaneExit, leave_lane};
use super::stop::StopSignal;
use super::trail::TrailOf;
use super::{Attachments, BatchContext, Context, IN_HANDLER, panicked};
use crate::client::Client;
use crate::job::{
    Attempt, Codec, Ending, Failure, FailureKind, Fingerprint, JobId, NodeId, Outcome, Stored,
};
use crate::store::{Executor, Settlement};
use crate::{BoxError, Error};

/// The jobs that run together. What is listed are those without an answer of their own.
pub struct Batch<J> {
    jobs: Vec<Batched<J>>,
    post: Post,
}

/// Where completions in a transaction go.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) client: Client,
    pub(crate) node: NodeId,
}

/// What is known of a job beside its arguments.
#[derive(Debug, Clone)]
pub(crate) struct JobFacts {
    pub(crate) id: JobId,
    pub(crate) attempt: Attempt,
    pub(crate) failures: u32,
    pub(crate) max_attempts: u32,
    pub(crate) enqueued_at: DateTime<Utc>,
    pub(crate) attachments: Attachments,
    pub(crate) traceparent: Option<String>,
    pub(crate) lane_exit: Option<Arc<LaneExit>>,
}

impl<J> Batch<J> {
    /// The jobs without an answer, in the order of their claims.
    pub fn iter(&self) -> impl Iterator<Item = &Batched<J>> {
        self.jobs.iter().filter(|job| job.answering.is_some())
    }

    /// The jobs without an answer, to answer them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Batched<J>> {
        self.jobs.iter_mut().filter(|job| job.answering.is_some())
    }

    /// How many jobs have no answer yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether every job has its answer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Completes the jobs without an answer on a connection of your own, in the transaction that is open
    /// there: their effects and their completions commit together.
    ///
    /// Return [`Outcome::Done`] after the commit. If the transaction rolls back, return an error, and
    /// the jobs are retried.
    ///
    /// # Errors
    ///
    /// [`Error::is_lease_lost`] when an attempt is not its job's current one any more: roll back.
    pub async fn complete_in(&mut self, executor: impl Executor) -> Result<(), Error> {
        for job in self.iter() {
            leave_lane(job.facts.lane_exit.as_deref()).await;
        }
        let settlements: Vec<Settlement> = self.iter().map(Batched::completion).collect();
        let store = self.post.client.store();
        let accepted = store.settle_on(executor, self.post.node, &settlements);
        let accepted = accepted.await?;
        let is_lost = |settlement: &&Settlement| !accepted.contains(&settlement.id);
        if let Some(lost) = settlements.iter().find(is_lost) {
            return Err(Error::lease_lost(format!(
                "attempt {} of job {} is not the current one any more; the transaction of its batch must roll back",
                lost.attempt, lost.id
            )));
        }
        self.iter()
            .for_each(|job| job.completed.store(true, Ordering::Release));
        Ok(())
    }
}

impl<J> fmt::Debug for Batch<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The answer of a job that runs alone, if its handler gave one.
pub(super) struct AnsweredAlone(Arc<OnceLock<Ending>>);

impl AnsweredAlone {
    /// The answer of the job's own, or what was said for all.
    pub(super) fn or(&self, said: Result<Outcome, BoxError>) -> Result<Outcome, BoxError> {
        match self.0.get() {
            None => said,
            Some(Ending::Decided(outcome)) => Ok(outcome.clone()),
            Some(
                Ending::Failed(failure)
                | Ending::Undecodable(failure)
                | Ending::Cancelled(failure)
                | Ending::Interrupted(failure),
            ) => Err(failure.message.clone().into()),
            Some(Ending::Released) => Err("it was not begun".into()),
        }
    }
}

impl<J> Batch<J> {
    /// A batch of one, whose answer goes back to who asked.
    pub(super) fn alone(job: J, cx: &mut Context) -> (Self, AnsweredAlone) {
        let answer = Arc::new(OnceLock::new());
        let answered = AnsweredAlone(Arc::clone(&answer));
        let only = Batched {
            job,
            facts: cx.facts(),
            signal: cx.signal().clone(),
            completed: cx.completed(),
            post: cx.post(),
            trail: TrailOf::shared(cx.trail()),
            answering: Some(Box::new(move |ending, _| {
                // An answer is given once.
                let _first = answer.set(ending);
            })),
        };
        let batch = Self {
            jobs: vec![only],
            post: cx.post(),
        };
        (batch, answered)
    }
}

/// A claimed job on its way into a batch.
pub(crate) struct Member {
    pub(crate) facts: JobFacts,
    pub(crate) version: i32,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) payload: Bytes,
    pub(crate) signal: StopSignal,
    pub(crate) answering: Answering,
}

/// A batch of whatever kind.
pub(crate) trait AnyBatch: Send {
    /// The stop signals of the jobs without an answer.
    fn signals(&self) -> Vec<StopSignal>;

    fn perform<'a>(
        &'a mut self,
        cx: &'a mut BatchContext<'_>,
    ) -> BoxFuture<'a, Result<Outcome, BoxError>>;

    /// Takes the jobs without an answer.
    fn unanswered(&mut self) -> Vec<Unanswered>;
}

struct Opened<J> {
    batch: Batch<J>,
    perform: PerformBatch<J>,
}

impl<J: Send + 'static> AnyBatch for Opened<J> {
    fn signals(&self) -> Vec<StopSignal> {
        self.batch.iter().map(|job| job.signal.clone()).collect()
    }

    fn perform<'a>(
        &'a mut self,
        cx: &'a mut BatchContext<'_>,
    ) -> BoxFuture<'a, Result<Outcome, BoxError>> {
        (self.perform)(&mut self.batch, cx)
    }

    fn unanswered(&mut self) -> Vec<Unanswered> {
        let jobs = self.batch.jobs.iter_mut();
        jobs.filter_map(Batched::unanswered).collect()
    }
}

type Open = dyn Fn(Vec<Member>, Post) -> Box<dyn AnyBatch> + Send + Sync;

/// What runs batches of one kind.
#[derive(Clone)]
pub(crate) struct BatchHandler {
    pub(crate) limits: BatchLimits,
    /// Decodes the jobs, and buries those alone that do not decode.
    pub(crate) open: Arc<Open>,
}

impl BatchHandler {
    pub(super) fn new<J>(batching: Batching<J>, codec: Arc<Codec<J>>) -> Self
    where
        J: DeserializeOwned + Send + 'static,
    {
        let Batching { limits, perform } = batching;
        let open = move |members: Vec<Member>, post: Post| -> Box<dyn AnyBatch> {
            let jobs = members.into_iter();
            let jobs = jobs.filter_map(|member| decoded(member, &codec, &post));
            let jobs = jobs.collect();
            Box::new(Opened {
                batch: Batch { jobs, post },
                perform,
            })
        };
        Self {
            limits,
            open: Arc::new(open),
        }
    }
}

/// The job with its arguments. Decoding runs user code, and must not take the others along.
fn decoded<J>(member: Member, codec: &Codec<J>, post: &Post) -> Option<Batched<J>>
where
    J: DeserializeOwned + 'static,
{
    let stored = Stored {
        version: member.version,
        fingerprint: member.fingerprint,
        bytes: &member.payload,
    };
    let decoding = || catch_unwind(AssertUnwindSafe(|| codec.decode(stored)));
    let ending = match IN_HANDLER.sync_scope((), decoding) {
        Ok(Ok(job)) => {
            return Some(Batched {
                job,
                facts: member.facts,
                signal: member.signal,
                completed: Arc::default(),
                post: post.clone(),
                trail: TrailOf::default(),
                answering: Some(member.answering),
            });
        }
        Ok(Err(why)) => {
            Ending::Undecodable(Failure::new(FailureKind::Undecodable, &why.to_string()))
        }
        Err(payload) => Ending::Failed(panicked(&*payload).into_failure()),
    };
    (member.answering)(ending, Left::NOTHING);
    None
}
