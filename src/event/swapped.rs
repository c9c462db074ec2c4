//! What a swap of handlers has changed.

use std::fmt;

/// What a [`Swap`](crate::Swap) has changed on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swapped {
    /// How many swaps there were since the start of the board, with this one.
    pub generation: u64,
    /// What was changed, in the order of the swap.
    pub changes: Vec<HandlerChange>,
}

/// What has become of one handler.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandlerChange {
    /// The kind.
    pub kind: String,
    /// The version of the code that ran it; `None` if this node did not.
    pub was: Option<String>,
    /// The version of the code that runs it from now on; `None` if this node does not any more.
    pub is: Option<String>,
}

impl Swapped {
    pub(crate) fn new(generation: u64, changes: Vec<HandlerChange>) -> Self {
        Self {
            generation,
            changes,
        }
    }
}

impl HandlerChange {
    pub(crate) fn new(kind: &str, was: Option<&str>, is: Option<&str>) -> Self {
        Self {
            kind: kind.to_owned(),
            was: was.map(str::to_owned),
            is: is.map(str::to_owned),
        }
    }

    /// What was done: `added`, `replaced` or `removed`.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match (&self.was, &self.is) {
            (None, _) => "added",
            (Some(_), Some(_)) => "replaced",
            (Some(_), None) => "removed",
        }
    }
}

impl fmt::Display for Swapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, change) in self.changes.iter().enumerate() {
            let before = if index == 0 { "" } else { ", " };
            write!(f, "{before}{change}")?;
        }
        Ok(())
    }
}

impl fmt::Display for HandlerChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind, self.verb())?;
        match (&self.was, &self.is) {
            (Some(was), Some(is)) => write!(f, " ({was} by {is})"),
            (Some(version), None) | (None, Some(version)) => write!(f, " ({version})"),
            (None, None) => Ok(()),
        }
    }
}
