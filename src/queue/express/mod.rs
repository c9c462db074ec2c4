//! The express lane: short jobs of a queue, held by the locks of an open transaction while they run.
//!
//! A [`Lane`] stands between the fetcher and the store in the place of an ordinary claim. What it claims is a
//! [`Batch`]: its leases answer to it, and not to the outbox, until all have answered or its bound is over. Then
//! one transaction deletes what is completed, settles what is not, and makes ordinary executing jobs of what still
//! runs.

mod batch;
mod contest;
mod lane;
mod options;

pub(super) use batch::Batch;
pub(crate) use contest::Contest;
pub(super) use lane::{Lane, Taken};
pub(crate) use options::LANES;
pub use options::{DEFAULT_EXPRESS_BOUND, Express, MAX_EXPRESS_BOUND};
