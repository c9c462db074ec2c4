//! Breaking a board on purpose: [`Fault`], and what injects it.

use std::fmt;
use std::time::Duration;

use super::tree::Target;
use super::{Role, TestBoard};

/// How long a handler that is to panic may take to reach an await.
const HANDLER_WITHIN: Duration = Duration::from_millis(500);

/// Something that breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// An actor panics: a worker in the handler that it runs, if it runs one; any other at whatever
    /// await it is.
    Crash(Role),
    /// An actor is killed at whatever await it is.
    Kill(Role),
    /// Every connection to the database is reset.
    CutConnections,
    /// Every connection is reset, and new ones are refused for so long.
    RefuseConnections(Duration),
    /// Every connection goes silent, present and new ones, without a reset; they are cut after so
    /// long.
    FreezeConnections(Duration),
    /// Every message to the database is held back by the first duration, for the second.
    DelayStatements(Duration, Duration),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash(role) => write!(f, "crash the {role}"),
            Self::Kill(role) => write!(f, "kill the {role}"),
            Self::CutConnections => f.write_str("cut all connections"),
            Self::RefuseConnections(lasting) => {
                write!(f, "cut all connections and refuse new ones for {lasting:?}")
            }
            Self::FreezeConnections(lasting) => {
                write!(f, "freeze all connections for {lasting:?}")
            }
            Self::DelayStatements(by, lasting) => {
                write!(f, "delay statements by {by:?} for {lasting:?}")
            }
        }
    }
}

/// A fault found nothing to break.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {fault}: {why}")]
pub struct NotInjected {
    fault: Fault,
    why: String,
}

impl NotInjected {
    pub(super) fn new(fault: Fault, why: String) -> Self {
        Self { fault, why }
    }
}

impl TestBoard {
    /// Makes an actor panic, and waits for its end; see [`Fault::Crash`]. Wait for its successor with
    /// [`restarted`](Self::restarted).
    ///
    /// # Panics
    ///
    /// When there is no such actor, or it was not started by
    /// [`ChildSpec::actor`](crate::supervision::ChildSpec::actor).
    pub async fn crash(&self, role: Role) {
        self.must_inject(Fault::Crash(role)).await;
    }

    /// Kills an actor, and waits for its end.
    ///
    /// # Panics
    ///
    /// When there is no such actor.
    pub async fn kill(&self, role: Role) {
        self.must_inject(Fault::Kill(role)).await;
    }

    async fn must_inject(&self, fault: Fault) {
        if let Err(error) = self.inject(&fault).await {
            panic!("{error}");
        }
    }

    /// Breaks something, and returns when it is over: the actor has ended, the connections are cut,
    /// new ones are accepted again.
    ///
    /// # Errors
    ///
    /// [`NotInjected`] when there is nothing to break.
    pub async fn inject(&self, fault: &Fault) -> Result<(), NotInjected> {
        let done = match fault {
            Fault::Crash(role) => self.crash_now(role).await,
            Fault::Kill(role) => self.kill_now(role).await,
            Fault::CutConnections => {
                self.proxy.cut();
                Ok(())
            }
            Fault::RefuseConnections(lasting) => {
                self.proxy.refuse();
                self.proxy.cut();
                tokio::time::sleep(*lasting).await;
                self.proxy.accept();
                Ok(())
            }
            Fault::FreezeConnections(lasting) => {
                self.proxy.freeze();
                tokio::time::sleep(*lasting).await;
                self.proxy.thaw();
                self.proxy.cut();
                Ok(())
            }
            Fault::DelayStatements(by, lasting) => {
                self.proxy.delay(*by);
                tokio::time::sleep(*lasting).await;
                self.proxy.delay(Duration::ZERO);
                Ok(())
            }
        };
        done.map_err(|why| NotInjected::new(fault.clone(), why))
    }

    async fn kill_now(&self, role: &Role) -> Result<(), String> {
        self.tree.kill_target(&self.find(role)?).await
    }

    async fn crash_now(&self, role: &Role) -> Result<(), String> {
        let target = self.find(role)?;
        let path: Vec<&str> = target.path.iter().map(String::as_str).collect();
        if let ["queues", queue, "workers", worker] = path[..]
            && let Some(running) = self.attempts.run_by(queue, worker)
        {
            running.crash.notify_one();
            // One that ends its job just now does not hear of it any more.
            if target.actor.wait(Some(HANDLER_WITHIN)).await.is_ok() {
                return Ok(());
            }
        }
        self.tree.crash_target(&target).await
    }

    /// The actor of a role; of a queue's workers, one that runs a job.
    fn find(&self, role: &Role) -> Result<Target, String> {
        self.tree.find(role, |child| {
            let ids: Vec<&str> = child.path.ids().collect();
            match ids[..] {
                ["queues", queue, "workers", worker] => {
                    self.attempts.run_by(queue, worker).is_some()
                }
                _ => false,
            }
        })
    }
}
