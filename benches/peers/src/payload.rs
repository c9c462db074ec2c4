//! The job that every system is given.

use serde::{Deserialize, Serialize};

/// About 100 bytes: 93 as callboard stores it (postcard), 115 to 127 as the others do (JSON).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Payload {
    /// Counts the jobs of a trial from 0.
    pub(crate) number: u64,
    pub(crate) text: String,
}

/// What the text of every job says.
const TEXT: &str =
    "an invoice for the customer whose number is known, to be sent before the end of the month";

impl Payload {
    pub(crate) fn new(number: u64) -> Self {
        Self {
            number,
            text: TEXT.to_owned(),
        }
    }
}
