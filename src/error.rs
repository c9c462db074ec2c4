//! The crate's one error: what was attempted, with which value, and why it failed.

use std::fmt;

use crate::BoxError;

/// An error of the board.
///
/// Opaque: its text says what was attempted, with which value, and what to do; its predicates say
/// what a program can act on; [`source`](std::error::Error::source) keeps the cause.
pub struct Error {
    kind: Kind,
    message: String,
    source: Option<BoxError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Config,
    Connect,
    Schema,
    Database,
    Call,
    LeaseLost,
    Checkpoint,
    Start,
}

impl Error {
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::new(Kind::Config, message)
    }

    pub(crate) fn connect(message: impl Into<String>) -> Self {
        Self::new(Kind::Connect, message)
    }

    pub(crate) fn schema(message: impl Into<String>) -> Self {
        Self::new(Kind::Schema, message)
    }

    pub(crate) fn database(message: impl Into<String>) -> Self {
        Self::new(Kind::Database, message)
    }

    pub(crate) fn call(message: impl Into<String>) -> Self {
        Self::new(Kind::Call, message)
    }

    pub(crate) fn lease_lost(message: impl Into<String>) -> Self {
        Self::new(Kind::LeaseLost, message)
    }

    pub(crate) fn checkpoint(message: impl Into<String>) -> Self {
        Self::new(Kind::Checkpoint, message)
    }

    pub(crate) fn start(message: impl Into<String>) -> Self {
        Self::new(Kind::Start, message)
    }

    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn because(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error for somebody else who waited for the same thing.
    pub(crate) fn again(&self) -> Self {
        Self::new(self.kind, self.to_string())
    }

    /// Whether an option or a combination of options cannot work. Nothing was started.
    #[must_use]
    pub fn is_config(&self) -> bool {
        self.kind == Kind::Config
    }

    /// Whether the database could not be reached, or takes no writes at present. Trying again later may
    /// help.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        self.kind == Kind::Connect
    }

    /// Whether the database's schema is missing, or newer than this crate.
    #[must_use]
    pub fn is_schema(&self) -> bool {
        self.kind == Kind::Schema
    }

    /// Whether a statement failed. What it was to change may or may not have happened if the
    /// connection broke; the text says which statement.
    #[must_use]
    pub fn is_database(&self) -> bool {
        self.kind == Kind::Database
    }

    /// Whether a call was refused before anything was written: name, payload, or option.
    #[must_use]
    pub fn is_refused_call(&self) -> bool {
        self.kind == Kind::Call
    }

    /// Whether an attempt's lease was lost: another node has the job, or it was cancelled.
    #[must_use]
    pub fn is_lease_lost(&self) -> bool {
        self.kind == Kind::LeaseLost
    }

    /// Whether a checkpoint cannot be kept as it is, or cannot be read as the type that was asked for.
    #[must_use]
    pub fn is_unfit_checkpoint(&self) -> bool {
        self.kind == Kind::Checkpoint
    }

    /// Whether an actor of the board could not be started, or is gone.
    #[must_use]
    pub fn is_start(&self) -> bool {
        self.kind == Kind::Start
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        // The causes are part of the text, since most programs print only that.
        let mut source = self
            .source
            .as_deref()
            .map(|source| source as &dyn std::error::Error);
        while let Some(cause) = source {
            let text = cause.to_string();
            if !self.message.contains(&text) {
                write!(f, ": {text}")?;
            }
            source = cause.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
