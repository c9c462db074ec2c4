//! OTP supervisors for ractor actors.
//!
//! A supervisor starts its children in order, restarts those that end, and ends them in reverse
//! order when it ends itself. Who knows Erlang's `supervisor` or Elixir's `Supervisor` and
//! `DynamicSupervisor` knows this one: [strategies](Strategy), [restart](Restart) and
//! [shutdown](Shutdown) types, [intensity](Intensity), [significant](AutoShutdown) children.
//! Differences, all on purpose:
//!
//! - Starts run in tasks of their own. A child that is slow to start holds up no sibling, except
//!   when the supervisor itself starts and when siblings are restarted together, in order.
//! - A restart may [back off](Backoff); some exits may be [for free](ChildSpec::uncounted).
//! - A stop with any reason is normal; a kill, an error and a panic are not.
//! - A supervisor that gives up *fails*, with a [`SupervisorError`], so that a transient supervisor
//!   is restarted.
//! - Every [event](Event) of a tree goes to one [stream](Events), and the whole tree can be
//!   [looked at](SupervisorRef::snapshot) at any time without asking an actor.
//! - Children have ids, unique in their supervisor. Nothing is registered globally.
//!
//! # Limits
//!
//! `panic = "abort"` leaves nothing to supervise. ractor does not tell a panic from an error made of
//! a string, see [`Exit`]. A child that blocks its thread cannot be killed; it is
//! [abandoned](ExitKind::Abandoned) after [`KILL_GRACE`].
//!
//! # Examples
//!
//! ```
//! # use ractor::{Actor, ActorCell, ActorRef, ActorProcessingErr};
//!
//! use callboard::supervision::{ChildSpec, DynamicSupervisorSpec, Strategy, SupervisorSpec};
//!
//! # struct Fetcher;
//! # #[ractor::actor(message = String)]
//! # impl Fetcher {
//! #     async fn pre_start(&self, _: ActorRef<String>, (): ()) -> Result<(), ActorProcessingErr> {
//! #         Ok(())
//! #     }
//! # }
//! fn fetcher(id: &str) -> ChildSpec {
//!     ChildSpec::new(id, |supervisor: ActorCell| async move {
//!         let (fetcher, _) = Actor::spawn_linked(None, Fetcher, (), supervisor).await?;
//!         Ok(fetcher.get_cell())
//!     })
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let root = SupervisorSpec::new(Strategy::RestForOne)
//!     .child(fetcher("fetcher"))
//!     .child(ChildSpec::dynamic_supervisor("workers", DynamicSupervisorSpec::new()))
//!     .spawn()
//!     .await?;
//! let workers = root.child("workers").ok_or("no workers")?;
//! workers.start_child(fetcher("worker-1")).await?;
//! assert!(root.snapshot().find(&["workers", "worker-1"]).is_some());
//! root.stop_and_wait("done", None).await?;
//! # Ok(())
//! # }
//! ```

mod backoff;
mod blueprint;
mod child;
mod child_spec;
mod children;
mod detail;
mod error;
mod event;
mod events;
mod exit;
#[cfg(feature = "testing")]
mod fault;
mod info;
mod intensity;
mod node;
mod path;
mod record;
mod requests;
mod restart;
mod restarting;
mod retiring;
mod shutdown;
mod start;
mod starting;
mod state;
mod stopping;
mod strategy;
mod strays;
mod supervisor;
mod supervisor_ref;
mod supervisor_spec;

pub use backoff::Backoff;
pub use child_spec::ChildSpec;
pub use detail::Detail;
pub use error::SupervisorError;
pub use event::{Event, EventKind};
pub use events::{EVENT_CAPACITY, Events, Lagged, Subscription};
pub use exit::{Exit, ExitKind};
#[cfg(feature = "testing")]
pub(crate) use fault::Crashed;
pub use info::{ChildCounts, ChildInfo, ChildKind, ChildStatus, Snapshot};
pub use intensity::{Budget, Intensity, RestartWindow};
pub use path::ChildPath;
pub use restart::Restart;
pub use shutdown::{DEFAULT_SHUTDOWN, KILL_GRACE, Shutdown};
pub use strategy::{AutoShutdown, Strategy};
pub use supervisor_ref::SupervisorRef;
pub use supervisor_spec::{DynamicSupervisorSpec, SupervisorSpec};
