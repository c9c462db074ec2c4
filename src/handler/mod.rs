//! What runs a job: the [`Job`] trait, functions as jobs, the [`Context`] they get, and the registry
//! that finds them by kind.

mod attachments;
mod batch;
mod batch_context;
mod batch_job;
mod batched;
mod blocking;
mod context;
mod current;
mod erased;
mod function;
#[cfg(unix)]
pub mod isolation;
mod job;
mod lane_exit;
mod panics;
mod registry;
mod reporting;
#[cfg(feature = "testing")]
mod shelf;
mod stop;
mod swap;
mod trail;
mod verify;
mod worker_state;

pub(crate) use attachments::Attachments;
pub use batch::Batch;
pub(crate) use batch::{AnyBatch, BatchHandler, JobFacts, Member, Post};
pub use batch_context::BatchContext;
pub(crate) use batch_job::BatchLimits;
pub use batch_job::{BatchJob, Batching, DEFAULT_BATCH_SIZE};
pub use batched::Batched;
pub(crate) use batched::Unanswered;
pub use blocking::{Blocking, Stopped};
pub use context::{Completion, Context};
pub(crate) use context::{ContextParts, InTransaction, Place};
pub(crate) use current::CurrentRegistry;
pub use erased::Handler;
pub use function::{Callable, Function, FunctionHandler, call_of, function_of, handler_of};
pub use job::Job;
pub(crate) use job::decode_job;
pub(crate) use lane_exit::LaneExit;
pub(crate) use panics::{IN_HANDLER, Panicked, install_hook, panicked};
pub(crate) use registry::{DeclaredBreaker, Registered, Registry};
#[cfg(feature = "testing")]
pub(crate) use shelf::{Shelf, kept, kept_as};
pub use stop::CancelReason;
#[cfg(unix)]
pub(crate) use stop::FailedElsewhere;
pub(crate) use stop::{StopSignal, ended, stopped};
pub use swap::Swap;
pub use trail::{MAX_CHECKPOINT_BYTES, MAX_PROGRESS_BYTES, PROGRESS_EVERY};
pub use verify::{Unreadable, Verified};
pub(crate) use worker_state::{StateFactory, WorkerState};
