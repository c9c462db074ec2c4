//! Durable background jobs on PostgreSQL, run by supervised ractor actors that ask for their work.
pub mod board;
pub mod client;
mod error;
pub mod handler;
pub mod job;
pub mod queue;
mod random;
pub mod stage;
pub mod store;
pub mod supervision;

pub use board::Board;
pub use client::Client;
pub use error::Error;
pub use handler::{Context, Handler, Job};
pub use job::Outcome;
pub use queue::Queue;
pub use store::Database;

/// An error of any kind, as handlers return it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What the macros expand to. Not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use crate::handler::{call_of, function_of};
}
