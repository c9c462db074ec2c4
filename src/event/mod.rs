//! What happens on a node, each fact said once: [`Event`].
//!
//! Whoever knows a fact says it to the bulletin, and nobody else. The log, the metrics, subscribers
//! and tests all hear it from there, so they never disagree. It knows jobs and what supervision says;
//! it never knows who listens.

mod attempted;
mod bulletin;
#[cfg(feature = "metrics")]
mod catalogue;
#[cfg(feature = "metrics")]
mod family;
mod log;
#[cfg(feature = "metrics")]
mod metrics;
mod said;
mod sample;
mod swapped;

pub use attempted::{Attempted, Started};
pub(crate) use bulletin::Bulletin;
pub use bulletin::EVENT_CAPACITY;
#[cfg(feature = "metrics")]
pub use catalogue::{METRICS, Metric, MetricKind, SECONDS, SIZES};
pub use said::Event;
pub use sample::{QueueSample, Sample};
pub use swapped::{HandlerChange, Swapped};
