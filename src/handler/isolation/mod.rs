//! Kinds that run in processes of their own: what aborts, leaks or blocks there cannot hurt the node.
//!
//! A handler is [isolated](Handler::isolated) by a line where it is registered, and stays as it is. Its
//! attempts run in *isolates*: this program, started once more, with a socket to the node and nothing else to
//! do. One isolate runs one attempt at a time and is used again for the next of its kind. What it does to
//! itself is the attempt's failure and nobody else's: an abort, an exit, a signal, an overflow of the stack, a
//! leak up to its [memory limit](Isolation::memory_limit). An attempt that is still there when its time limit,
//! or the grace after a cancellation, has passed is killed for good, and everything that it has started with
//! it; a future could only be dropped at its next await.
//!
//! The program says first thing in `main` what its isolates can run, with [`run_if_child`]. A board with
//! isolated kinds starts an isolate of each when it [starts](crate::board::Builder::start), so a forgotten call
//! is an error there.
//!
//! # Examples
//!
//! ```no_run
//! use callboard::isolation::{Isolation, run_if_child};
//! use callboard::{Board, BoxError, Database, Handler, Queue, call, function};
//!
//! /// A library in another language may do here whatever it likes.
//! async fn thumbnail(path: String) -> Result<(), BoxError> {
//!     println!("a small picture of {path}");
//!     Ok(())
//! }
//!
//! fn handlers() -> Vec<Handler> {
//!     let isolation = Isolation::new().memory_limit(256 * 1024 * 1024).jobs_per_process(1_000);
//!     vec![Handler::from(function!(thumbnail)).isolated(isolation)]
//! }
//!
//! fn main() -> Result<(), BoxError> {
//!     run_if_child(handlers());
//!     // From here on it is the node.
//!     let runtime = tokio::runtime::Runtime::new()?;
//!     runtime.block_on(async {
//!         let board = Board::builder(Database::from_env_or_embedded().await?)
//!             .queue(Queue::new("default"))
//!             .functions(handlers())
//!             .start()
//!             .await?;
//!         board.client().enqueue(call!(thumbnail("a.png".to_owned()))).await?;
//!         Ok(board.run_until_signal().await?)
//!     })
//! }
//! ```
//!
//! # What is different in an isolate
//!
//! Of the [`Context`](super::Context), all that is known of the attempt is there: ids, attempt, deadline,
//! cancellation, span, `spawn_blocking`; and [`complete_in`](super::Context::complete_in), on a connection of
//! the handler's own. What lives in the node is not:
//!
//! - [`state`](super::Context::state): a `static` in the program does the same, since an isolate runs one attempt
//!   at a time, is used again, and loses all its memory when an attempt panics;
//! - [`client`](super::Context::client): its methods fail and say so. [`Client::connect`](crate::Client::connect)
//!   makes one;
//! - [`attached`](super::Context::attached): `None`;
//! - a board of its own: a handler that starts one ends its isolate.
//!
//! What a handler starts and leaves behind ends with its isolate at the latest. SIGTERM and SIGINT do nothing to
//! an isolate, since its node hears them too.
//!
//! Logs go where the program sends them: set the subscriber up before [`run_if_child`] too. What an isolate
//! prints goes where the node's own output goes. A [`BatchJob`](super::BatchJob) cannot be isolated.
//!
//! Isolation is not a sandbox: the code has all the rights of the node. And it costs: a process for each
//! attempt that runs at once, and two switches between processes for each job (`examples/isolation.rs` measures
//! it). Unix only; memory limits are Linux only.

mod child;
mod frame;
mod isolate;
mod isolated;
mod options;
mod shelf;
mod stderr;

pub(crate) use child::refuse_to_be_a_node;
pub use child::run_if_child;
pub(crate) use isolated::Isolated;
pub use options::{DEFAULT_IDLE_FOR, DEFAULT_START_WITHIN, Isolation, MIN_MEMORY_LIMIT};
pub(crate) use shelf::Shelf;

#[cfg(doc)]
use super::Handler;
