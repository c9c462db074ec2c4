//! What went wrong in an attempt, as it is kept with the job.

use std::fmt;

use serde::{Serialize, Serializer};

use super::{ErrorFingerprint, MAX_TEXT_BYTES, bounded_text};

/// How an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// The handler returned an error.
    Error,
    /// The handler panicked.
    Panic,
    /// The handler took longer than its time limit.
    TimedOut,
    /// The worker was killed while the handler ran.
    Crashed,
    /// The arguments could not be decoded; the handler did not run.
    Undecodable,
    /// The handler was cancelled.
    Cancelled,
    /// The handler said that no attempt can succeed.
    Discarded,
    /// The node shut down before the handler was done; not charged.
    Interrupted,
    /// The process died while it held the job.
    ProcessDied,
}

impl FailureKind {
    /// The word that stands in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Panic => "panic",
            Self::TimedOut => "timed_out",
            Self::Crashed => "crashed",
            Self::Undecodable => "undecodable",
            Self::Cancelled => "cancelled",
            Self::Discarded => "discarded",
            Self::Interrupted => "interrupted",
            Self::ProcessDied => "process_died",
        }
    }
}

impl Serialize for FailureKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One attempt's error: appended to the job's row, kept with it wherever it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// How it failed.
    pub kind: FailureKind,
    /// What was said, cut to [`MAX_TEXT_BYTES`].
    pub message: String,
    /// Where it happened, cut to [`MAX_TEXT_BYTES`]; for panics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backtrace: Option<String>,
}

impl Failure {
    /// A failure with this message, cut to the limit and free of NUL.
    #[must_use]
    pub fn new(kind: FailureKind, message: &str) -> Self {
        Self {
            kind,
            message: bounded_text(message, MAX_TEXT_BYTES),
            backtrace: None,
        }
    }

    /// What failures of this sort have in common.
    #[must_use]
    pub fn fingerprint(&self) -> ErrorFingerprint {
        ErrorFingerprint::of(self)
    }

    /// The failure of an error, with the chain of its sources.
    #[must_use]
    pub fn from_error(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        // The bound keeps an error that is its own source from growing the text for ever.
        while let Some(cause) = source.filter(|_| message.len() < MAX_TEXT_BYTES) {
            let text = cause.to_string();
            if !message.ends_with(&text) {
                message = format!("{message}: {text}");
            }
            source = cause.source();
        }
        Self::new(FailureKind::Error, &message)
    }

    /// The same failure with the place where it happened.
    #[must_use]
    pub fn with_backtrace(mut self, backtrace: Option<&str>) -> Self {
        self.backtrace = backtrace.map(|text| bounded_text(text, MAX_TEXT_BYTES));
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot send")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn an_error_is_kept_with_its_sources() {
        let failure = Failure::from_error(&Outer(std::io::Error::other("no route")));
        assert_eq!(failure.message, "cannot send: no route");
    }
}
