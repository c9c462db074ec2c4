//! Identities: of a job, of one execution of it, of a running process.
//!
//! Newtypes, so that a job's id is never taken for an attempt's number.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The identity of a job: given by the database at its enqueue, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(i64);

impl JobId {
    /// The id with this number.
    #[must_use]
    pub const fn from_i64(id: i64) -> Self {
        Self(id)
    }

    /// The number in the column `id`.
    #[must_use]
    pub const fn as_i64(self) -> i64 {
        self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of one execution of a job, counted from 1.
///
/// It grows with every claim and never shrinks, which makes it the fencing token of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempt(i32);

impl Attempt {
    /// The attempt with this number.
    #[must_use]
    pub const fn from_i32(number: i32) -> Self {
        Self(number)
    }

    /// The number in the column `attempt`.
    #[must_use]
    pub const fn as_i32(self) -> i32 {
        self.0
    }

    /// Whether this is the first execution.
    #[must_use]
    pub const fn is_first(self) -> bool {
        self.0 <= 1
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of one running process with a board: random, fresh at every start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(i64);

impl NodeId {
    /// A node id made of 63 random bits.
    ///
    /// It is drawn by the process and not from a sequence of the database, so that a database
    /// restored from a backup cannot hand out an id that is in use.
    #[must_use]
    pub const fn from_random(bits: u64) -> Self {
        Self((bits >> 1) as i64)
    }

    /// The id with this number.
    #[must_use]
    pub const fn from_i64(id: i64) -> Self {
        Self(id)
    }

    /// The number in the column `node`.
    #[must_use]
    pub const fn as_i64(self) -> i64 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
