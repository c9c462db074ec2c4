//! What runs a job: the [`Job`] trait, functions as jobs, the [`Context`] they get, and the registry
//! that finds them by kind.

mod context;
mod erased;
mod function;
mod job;
mod panics;
mod registry;
mod worker_state;

pub use context::{Blocking, CancelReason, Completion, Context, Stopped};
pub(crate) use context::{ContextParts, InTransaction, StopSignal};
pub use erased::Handler;
pub use function::{Callable, Function, FunctionHandler, call_of, function_of, handler_of};
pub use job::Job;
pub(crate) use panics::{IN_HANDLER, Panicked, install_hook, panicked};
pub(crate) use registry::Registry;
pub(crate) use worker_state::{StateFactory, WorkerState};
