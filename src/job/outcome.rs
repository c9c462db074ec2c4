//! What a handler decides about its job.

use std::time::Duration;

use serde::Serialize;

use super::output::output_of;
use crate::BoxError;

/// The shortest snooze; a shorter one is lengthened to it, so that a job that always snoozes
/// cannot spin.
pub const MIN_SNOOZE: Duration = Duration::from_millis(100);

/// What a handler decides about its job. A failure is not an outcome but an `Err`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// The job is completed.
    Done,
    /// The job is completed, and its output is kept in the history as JSON. One beyond
    /// [`MAX_OUTPUT_BYTES`](super::MAX_OUTPUT_BYTES) or [`MAX_OUTPUT_DEPTH`](super::MAX_OUTPUT_DEPTH)
    /// is not kept: a note `{"not_kept": …}` takes its place.
    DoneWith(serde_json::Value),
    /// The job runs again after this wait, [`MIN_SNOOZE`] to [`MAX_WAIT`](super::MAX_WAIT); nothing
    /// is charged.
    Snooze(Duration),
    /// The job ends as cancelled, for this reason.
    Cancel(String),
    /// No attempt can succeed: the job is buried at once, for this reason.
    Bury(String),
}

impl Outcome {
    /// Completes the job and keeps `output` in the history as JSON, within the limits of
    /// [`DoneWith`](Self::DoneWith).
    ///
    /// # Errors
    ///
    /// When `output` cannot be written as JSON (a map with keys that are no strings, say).
    pub fn done_with(output: &impl Serialize) -> Result<Self, BoxError> {
        Ok(Self::DoneWith(output_of(output)?))
    }
}

/// What a function may return to be a job: nothing, an [`Outcome`], or a `Result` of either.
pub trait IntoOutcome {
    /// The decision, or the failure.
    ///
    /// # Errors
    ///
    /// The error that the function returned.
    fn into_outcome(self) -> Result<Outcome, BoxError>;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Result<Outcome, BoxError> {
        Ok(Outcome::Done)
    }
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Result<Outcome, BoxError> {
        Ok(self)
    }
}

impl<T: IntoOutcome, E: Into<BoxError>> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Result<Outcome, BoxError> {
        self.map_err(Into::into)?.into_outcome()
    }
}
