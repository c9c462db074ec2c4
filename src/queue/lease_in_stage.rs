//! What a stage between the fetcher and the workers can do with the jobs in its hands.

use chrono::{DateTime, Utc};

use super::Lease;
use crate::handler::{Job, decode_job};
use crate::job::{Attempt, Ending, Failure, JobId, Outcome};
use crate::{BoxError, Error};

impl Lease {
    /// The job's id.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.job().id
    }

    /// Which execution of the job this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        self.job().attempt
    }

    /// How many attempts failed before this one.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.job().rare().failures
    }

    /// The name under which the job was enqueued.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.job().kind
    }

    /// The job's priority; lower numbers are more urgent.
    #[must_use]
    pub fn priority(&self) -> i16 {
        self.job().priority
    }

    /// The job's ordering key, if it has one.
    #[must_use]
    pub fn ordering_key(&self) -> Option<&str> {
        self.job().rare().ordering_key.as_deref()
    }

    /// When the job was enqueued, by the database's clock.
    #[must_use]
    pub fn enqueued_at(&self) -> DateTime<Utc> {
        self.job().enqueued_at()
    }

    /// Whether somebody has asked for the job's cancellation, or the board shuts down. Its answer is
    /// given when it gets to a worker; a stage that holds jobs for long had better drop it.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.signal().reason().is_some()
    }

    /// The job's arguments, decoded as its handler will decode them.
    ///
    /// # Errors
    ///
    /// [`Error::is_refused_call`] if the job is of another kind than `J`, or its arguments cannot be
    /// decoded.
    pub fn args<J: Job>(&self) -> Result<J, Error> {
        let (id, kind) = (self.job_id(), self.kind());
        if kind != J::KIND && !J::ALIASES.contains(&kind) {
            return Err(Error::call(format!(
                "job {id} is of the kind {kind:?} and not {:?}: its arguments are others",
                J::KIND
            )));
        }
        let decoded = decode_job(self.job().stored());
        decoded.map_err(|why| {
            Error::call(format!("the arguments of job {id} ({kind}) cannot be read")).because(why)
        })
    }

    /// Attaches a value to the job, in the place of an earlier one of its type. Its handler finds it
    /// with [`Context::attached`](crate::Context::attached); it is gone with this attempt.
    pub fn attach<T: Send + Sync + 'static>(&mut self, value: T) {
        self.attachments_mut().attach(value);
    }

    /// What a stage has attached, of this type.
    #[must_use]
    pub fn attached<T: 'static>(&self) -> Option<&T> {
        self.attachments().get()
    }

    /// Decides about the job without running it, as its handler might have.
    pub fn decide(self, outcome: Outcome) {
        self.answer(Ending::Decided(outcome));
    }

    /// Fails the attempt without running it: the error is kept with the job, which is retried by its
    /// policy.
    pub fn fail(self, error: impl Into<BoxError>) {
        let error = error.into();
        self.answer(Ending::Failed(Failure::from_error(&*error)));
    }
}
