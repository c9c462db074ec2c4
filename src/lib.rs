//! Durable background jobs on PostgreSQL, run by supervised [ractor] actors that ask for their work.
//!
//! A job is a function call written down: a name and its arguments, posted on a board in PostgreSQL.
//! Workers are actors under a supervision tree. They *pull* jobs when they are ready, by messages of
//! demand to the fetcher of their queue. A worker that crashes is replaced at once with clean state,
//! the job it held is not lost, and nobody else notices.
//!
//! # Examples
//!
//! ```no_run
//! use callboard::{Board, BoxError, Context, Database, Job, Outcome, Queue, call, functions};
//! use serde::{Deserialize, Serialize};
//!
//! /// A job as a type: its fields are its arguments.
//! #[derive(Serialize, Deserialize)]
//! struct SendWelcome {
//!     user_id: i64,
//! }
//!
//! impl Job for SendWelcome {
//!     const KIND: &'static str = "mail.send_welcome";
//!     const QUEUE: &'static str = "mail";
//!
//!     async fn perform(self, cx: &mut Context) -> Result<Outcome, BoxError> {
//!         println!("attempt {}: welcome, user {}", cx.attempt(), self.user_id);
//!         Ok(Outcome::Done)
//!     }
//! }
//!
//! mod reports {
//!     /// A job as a function: what it is called with is stored.
//!     pub async fn generate(year: i32, title: String) -> Result<(), std::io::Error> {
//!         println!("{title} of {year}");
//!         Ok(())
//!     }
//! }
//!
//! # async fn example() -> Result<(), callboard::Error> {
//! let board = Board::builder(Database::from_env_or_embedded().await?)
//!     .queue(Queue::new("mail").workers(5))
//!     .queue(Queue::new("default"))
//!     .job::<SendWelcome>()
//!     .functions(functions![reports::generate])
//!     .start()
//!     .await?;
//!
//! board.client().enqueue(SendWelcome { user_id: 123 }).await?;
//! // The compiler checks the arguments against the function.
//! board.client().enqueue(call!(reports::generate(2026, "Sales".to_owned()))).await?;
//!
//! board.run_until_signal().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! - **At least once.** An acknowledged enqueue runs, whatever crashes. A job whose process or
//!   database dies between its effect and its answer runs again, in the next
//!   [attempt](Context::attempt). Effects in the same database can be exactly once, with
//!   [`Context::complete_in`].
//! - **Fenced.** The answer of a stale attempt changes nothing, and is counted.
//! - **Supervised.** Panics, killed workers and lost connections are met where they happen; see
//!   [`supervision`].
//!
//! # Modules
//!
//! Lower ones know nothing of higher ones.
//!
//! | module | what it is |
//! |---|---|
//! | [`job`] | what a job is: pure values and functions |
//! | [`store`] | where jobs rest: all SQL |
//! | [`supervision`] | how actors stay alive: OTP supervisors for ractor, of use without jobs |
//! | [`stage`] | how work flows: demand, after GenStage, of use without jobs |
//! | [`event`] | what happens on a node, each fact said once |
//! | [`client`] | the way in: enqueue, cancel, requeue, ask |
//! | [`handler`] | what runs a job, and the context it gets |
//! | `isolation` | kinds that run in processes of their own; Unix only |
//! | [`queue`] | one queue: fetcher, workers, custody |
//! | [`board`] | the whole: builder, tree, shutdown |
//! | `testing` | breaking it on purpose; with the feature `testing` |
//!
//! [ractor]: https://docs.rs/ractor

pub mod board;
pub mod client;
mod error;
pub mod event;
pub mod handler;
pub mod job;
#[doc(hidden)]
pub mod planted;
pub mod queue;
mod random;
pub mod stage;
pub mod store;
pub mod supervision;
#[cfg(feature = "testing")]
pub mod testing;

pub use board::Board;
pub use client::Client;
pub use error::Error;
pub use event::Event;
#[cfg(unix)]
pub use handler::isolation;
pub use handler::{Batch, BatchContext, BatchJob, Context, Handler, Job, Swap};
pub use job::{Backoff, Breaker, BreakerState, Call, JobId, JobState, Outcome};
pub use queue::Queue;
pub use store::{BreakerInfo, Database, DeadFilter, JobFilter, JobInfo};

/// An error of any kind, as handlers return it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What the macros expand to. Not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use crate::handler::{call_of, function_of, handler_of};
}

/// The program in README.md, so that it compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
