//! Breaking it on purpose: what tests of applications need, and what our own tests use. With the
//! feature `testing`.
//!
//! ```toml
//! [dev-dependencies]
//! callboard = { version = "0.1", features = ["testing"] }
//! ```
//!
//! Three things are worth a test: what a handler decides, how your own actors come back, and what
//! the whole application does while parts of it break. None of them takes a sleep: every wait here is
//! for a fact, and fails with the state of things when the fact does not come.
//!
//! # A handler
//!
//! [`perform`] runs one without a database, as a worker would: arguments written and read again, the
//! time limit, panics caught. Under `#[tokio::test(start_paused = true)]` time limits and sleeps pass
//! at once.
//!
//! ```
//! # use callboard::{BoxError, Context, Job, Outcome};
//! # #[derive(serde::Serialize, serde::Deserialize)]
//! # struct SendWelcome { user_id: i64 }
//! # impl Job for SendWelcome {
//! #     const KIND: &'static str = "mail.send_welcome";
//! #     const QUEUE: &'static str = "mail";
//! #     async fn perform(self, cx: &mut Context) -> Result<Outcome, BoxError> {
//! #         if cx.is_last_attempt() { return Ok(Outcome::Cancel("no such user".into())); }
//! #         Err("no such user".into())
//! #     }
//! # }
//! use callboard::job::Transition;
//! use callboard::testing::perform;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let first = perform(SendWelcome { user_id: -1 }).await;
//! assert!(matches!(first.transition(), Transition::Retry { .. }));
//! let last = perform(SendWelcome { user_id: -1 }).attempt(20).await;
//! assert_eq!(last.outcome(), Some(&Outcome::Cancel("no such user".into())));
//! # }
//! ```
//!
//! # What your code enqueues
//!
//! A [paused](TestBoard::paused) board keeps everything where it is until it is
//! [drained](TestBoard::drain). Each board has a database of its own, made in tens of milliseconds and
//! gone with it, also after a panic.
//!
//! ```no_run
//! # use callboard::{BoxError, Context, Job, Outcome, Queue};
//! # #[derive(serde::Serialize, serde::Deserialize)]
//! # struct SendWelcome { user_id: i64 }
//! # impl Job for SendWelcome {
//! #     const KIND: &'static str = "mail.send_welcome";
//! #     const QUEUE: &'static str = "mail";
//! #     async fn perform(self, _: &mut Context) -> Result<Outcome, BoxError> { Ok(Outcome::Done) }
//! # }
//! # async fn sign_up(_: &callboard::Client) {}
//! use callboard::testing::TestBoard;
//! use callboard::{assert_enqueued, refute_enqueued};
//!
//! # async fn example() {
//! let board = TestBoard::paused(|board| board.queue(Queue::new("mail")).job::<SendWelcome>()).await;
//! sign_up(board.client()).await;
//!
//! assert_enqueued!(board, SendWelcome { user_id: 1 });
//! refute_enqueued!(board, queue = "reports");
//!
//! let drained = board.drain("mail").await;
//! assert_eq!(drained.completed, 1);
//! // A reminder was scheduled for next week.
//! board.advance_to_next().await;
//! assert_eq!(board.drain("mail").await.completed, 1);
//! # }
//! ```
//!
//! # Your own actors under our supervisors
//!
//! Start them with [`ChildSpec::actor`](crate::supervision::ChildSpec::actor), and a [`TestTree`] can
//! crash and kill them and wait for their successors. No database is involved, so the clock may be
//! paused, and a backoff of a minute passes at once.
//!
//! # The whole application under faults
//!
//! [`TestBoard::start`] runs your queues. Break any actor by its [`Role`], attempts by their number
//! ([`TestBoard::mishap`]), the connections to the database ([`Fault`], [`Proxy`]); by hand or from a
//! [`Schedule`] with a seed. Afterwards [`TestBoard::report`] tells who crashed, why, how long until
//! the replacement ran, and what became of the job in hand.
//!
//! ```no_run
//! # use callboard::{BoxError, Context, Job, Outcome, Queue};
//! # #[derive(serde::Serialize, serde::Deserialize)]
//! # struct SendWelcome { user_id: i64 }
//! # impl Job for SendWelcome {
//! #     const KIND: &'static str = "mail.send_welcome";
//! #     const QUEUE: &'static str = "mail";
//! #     async fn perform(self, _: &mut Context) -> Result<Outcome, BoxError> { Ok(Outcome::Done) }
//! # }
//! use callboard::testing::{Mishap, Role, TestBoard};
//! use callboard::JobState;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let board = TestBoard::start(|board| board.queue(Queue::new("mail")).job::<SendWelcome>()).await;
//! board.mishap(SendWelcome::KIND, 1, Mishap::panic("the mail server is on fire"));
//! let job = board.client().enqueue(SendWelcome { user_id: 1 }).await?;
//! assert_eq!(board.settled(job).await.state, JobState::Completed);
//!
//! board.kill(Role::fetcher_of("mail")).await;
//! board.restarted(Role::fetcher_of("mail")).await;
//! println!("{}", board.report());
//! # Ok(())
//! # }
//! ```
//!
//! A test that breaks more than [a queue's restarts](crate::supervision::Intensity) allow sees what
//! production would: the queue gives up, backs off and returns.

mod attempts;
mod board;
mod drain;
mod fault;
mod load;
mod perform;
mod proxy;
mod report;
mod role;
mod schedule;
mod server;
mod tail;
mod throwaway;
mod tree;
mod waiting;
mod wanted;
mod watched_batch;

pub use attempts::Mishap;
pub use board::{DEFAULT_PATIENCE, TestBoard};
pub use drain::Drained;
pub use fault::{Fault, NotInjected};
pub use load::{Load, Sample, Simulated};
pub use perform::{Perform, Performed, perform, perform_call};
pub use proxy::Proxy;
pub use report::{Crash, HeldJob, Report};
pub use role::Role;
pub use schedule::{Injected, Schedule};
pub use throwaway::ThrowawayDatabase;
pub use tree::TestTree;
pub use wanted::{Found, Wanted};
