//! What happens on a node, each fact said once: [`Event`].
//!
//! Whoever knows a fact says it to the bulletin, and nobody else. The log, the metrics, subscribers
//! and tests all hear it from there, so they never disagree. It knows jobs and what supervision says;
//! it never knows who listens.

mod attempted;
mod bulletin;
mod log;
mod said;

pub use attempted::{Attempted, Started};
pub(crate) use bulletin::Bulletin;
pub use bulletin::EVENT_CAPACITY;
pub use said::Event;
