//! What runs a job: the [`Job`] trait, functions as jobs, the [`Context`] they get, and the registry
//! that finds them by kind.

mod context;
mod function;
mod handler;
mod job;
mod registry;
mod worker_state;

pub use context::{Blocking, CancelReason, Context, Stopped};
pub(crate) use context::{ContextParts, InTransaction, StopSignal};
pub use function::{Function, FunctionHandler, call_of, function_of};
pub use handler::Handler;
pub use job::Job;
pub(crate) use registry::Registry;
pub(crate) use worker_state::{StateFactory, WorkerState};
