//! A queue under control while it runs: `pause`, `resume`, `stop`, `scale`, `drain`.
//!
//! What is said of a queue is written down first. Nodes are told at once, and read it every second in
//! case that nobody told them.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::Client;
use crate::Error;
use crate::job::{JobId, NameOf, NodeId, bounded_text, check_name};
use crate::store::{Change, Notice, QueueInfo, QueueMode, Scope, Steer, Workers};

/// The most workers of one queue on one node.
pub const MAX_WORKERS: u32 = 100_000;
/// The longest reason and the longest name that a pause keeps, in bytes; longer ones are shortened.
const MAX_REASON_BYTES: usize = 1_000;
const MAX_BY_BYTES: usize = 200;
/// How long a drain waits between two looks: longer each time, since each may read the whole table.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LAST_LOOK: Duration = Duration::from_secs(1);

/// Waits until what was written is in effect in this process.
pub(crate) type Applied = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// A queue, to be paused, resumed, stopped, scaled or drained while it runs; on all nodes, or on one.
///
/// From [`Client::queue`] (all nodes) or [`Board::queue`](crate::Board::queue) (that node). What is said
/// to all nodes is kept until something else is said: it survives every restart, and holds for nodes
/// that start later. What is said to one node is forgotten when that node ends.
///
/// The two are kept apart: a queue runs on a node if *neither* has it paused, and a node's own number
/// of workers goes before that of all. Nodes follow at once if a notification reaches them, and
/// within about a second if none does.
///
/// # Examples
///
/// ```no_run
/// # async fn example(board: callboard::Board) -> Result<(), callboard::Error> {
/// let mail = board.client().queue("mail");
/// mail.pause().because("the mail server moves").by("ann").await?;
/// mail.resume().await?;
/// // Twenty workers on every node.
/// mail.scale(20).await?;
/// // On this node alone, until it ends.
/// board.queue("mail").pause().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a handle does nothing until it is told to"]
pub struct QueueHandle {
    pub(super) client: Client,
    pub(super) name: String,
    pub(super) scope: Scope,
    applied: Option<Applied>,
}

impl Client {
    /// A queue, to be paused, scaled or drained on all nodes; see [`QueueHandle`].
    pub fn queue(&self, name: impl Into<String>) -> QueueHandle {
        QueueHandle {
            client: self.clone(),
            name: name.into(),
            scope: Scope::AllNodes,
            applied: None,
        }
    }
}

impl QueueHandle {
    /// The same queue on one node alone.
    pub fn on(mut self, node: NodeId) -> Self {
        self.scope = Scope::Node(node);
        self
    }

    /// The same, whose changes are in effect in this process when they return.
    pub(crate) fn applied_by(mut self, applied: Applied) -> Self {
        self.applied = Some(applied);
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which nodes are meant.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Begins none of its jobs any more; to be awaited. Running jobs go on to their end; what was claimed
    /// and has not begun is returned, free of charge. Enqueues go on. Paused again, it keeps the
    /// instant since which it is paused.
    ///
    /// # Errors
    ///
    /// [`Error::is_config`] when nobody knows the queue (no live node serves it, no job is in it, and
    /// nothing was ever said of it), or the one node that is meant is gone or does not serve it.
    /// [`Error::is_unreachable`] and [`Error::is_database`].
    pub fn pause(&self) -> Halting {
        self.halt(QueueMode::Paused)
    }

    /// As [`pause`](Self::pause), and its workers leave too, each after the job that it runs, the last one when
    /// nothing of the queue is in the node's hands any more: their states are dropped, and whatever
    /// they held is free. [`resume`](Self::resume) brings them back.
    ///
    /// # Errors
    ///
    /// As [`pause`](Self::pause).
    pub fn stop(&self) -> Halting {
        self.halt(QueueMode::Stopped)
    }

    fn halt(&self, mode: QueueMode) -> Halting {
        Halting {
            queue: self.clone(),
            mode,
            reason: None,
            by: None,
        }
    }

    /// Runs it again, after a [`pause`](Self::pause) or a [`stop`](Self::stop) of the same scope. One that
    /// runs is left alone.
    ///
    /// # Errors
    ///
    /// As [`pause`](Self::pause).
    pub async fn resume(&self) -> Result<(), Error> {
        let (mode, reason, by) = (QueueMode::Running, None, None);
        self.steer("resume", Change::Mode { mode, reason, by })
            .await
    }

    /// Gives it this many workers on each node that is meant (1 to [`MAX_WORKERS`]), whatever the node was
    /// configured with. New ones come at once. Those that are too many leave, idle ones first: one that
    /// runs a job finishes it before, however long that takes.
    ///
    /// # Errors
    ///
    /// As [`pause`](Self::pause); [`Error::is_config`] also for 0, which is [`pause`](Self::pause) or
    /// [`stop`](Self::stop), and for more than [`MAX_WORKERS`].
    pub async fn scale(&self, workers: u32) -> Result<(), Error> {
        if workers == 0 || workers > MAX_WORKERS {
            return Err(Error::config(format!(
                "cannot scale the queue {:?} to {workers} workers; expected 1 to {MAX_WORKERS} \
                 (to run none of its jobs, pause or stop it)",
                self.shown()
            )));
        }
        self.steer("scale", Change::Workers(Workers::Count(workers)))
            .await
    }

    /// Gives it as many workers as each node is configured with: takes a [`scale`](Self::scale) back.
    ///
    /// # Errors
    ///
    /// As [`pause`](Self::pause).
    pub async fn scale_as_configured(&self) -> Result<(), Error> {
        self.steer("scale", Change::Workers(Workers::AsConfigured))
            .await
    }

    /// Waits until everything has run that is in the queue now: its available and executing jobs, on
    /// whatever node. Jobs that come later are not waited for, nor those that wait for their time,
    /// such as retries, nor those behind them.
    ///
    /// It changes nothing, and has no limit of its own: jobs of a kind that nobody can run, or whose breaker
    /// stays open, keep it waiting for ever, as does a pause that begins meanwhile. Give it one with
    /// `tokio::time::timeout`; [`Client::explain`] says what a job waits for.
    ///
    /// # Errors
    ///
    /// [`Error::is_config`] when it could not end: jobs wait and the queue is paused or stopped for all
    /// nodes, or no live node serves it; when nobody knows the queue (no live node serves it, no job is in
    /// it, and nothing is said of it); also when one node alone is meant, since its jobs are everybody's.
    /// [`Error::is_unreachable`] and [`Error::is_database`].
    pub async fn drain(&self) -> Result<(), Error> {
        self.check("drain")?;
        let refuse = |why: String| {
            Err(Error::config(format!(
                "cannot drain the queue {:?}: {why}",
                self.shown()
            )))
        };
        if let Scope::Node(node) = self.scope {
            return refuse(format!(
                "a queue is drained by all nodes, not by {node} alone; ask the client's handle"
            ));
        }
        let store = self.client.store();
        let (_, last) = store.backlog(&self.name, JobId::from_i64(0)).await?;
        let Some(last) = last else {
            return match self.find().await? {
                Ok(_) => Ok(()),
                Err(_) => Err(self.unknown("drain").await?),
            };
        };
        let mut pause = FIRST_LOOK;
        let mut is_checked = false;
        while store.backlog(&self.name, last).await?.0 {
            if !is_checked {
                match self.find().await? {
                    Ok(found) if found.nodes == 0 => {
                        return refuse("no live node serves it; start one".to_owned());
                    }
                    Ok(found) => {
                        if let Some(standstill) = found.standstill {
                            return refuse(format!("it is {standstill}; resume it first"));
                        }
                    }
                    // It ran empty between the two looks.
                    Err(_) => return Ok(()),
                }
                is_checked = true;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_LOOK);
        }
        Ok(())
    }

    /// How the queue is; or the names of those that there are.
    async fn find(&self) -> Result<Result<QueueInfo, Vec<String>>, Error> {
        let queues = self.client.queues().await?;
        let mut names = Vec::with_capacity(queues.len());
        for queue in queues {
            if queue.queue == self.name {
                return Ok(Ok(queue));
            }
            names.push(queue.queue);
        }
        Ok(Err(names))
    }

    async fn steer(&self, verb: &str, change: Change) -> Result<(), Error> {
        self.check(verb)?;
        let steer = Steer {
            queue: &self.name,
            scope: self.scope,
            change,
        };
        if !self.client.store().steer(&steer).await? {
            return Err(self.unknown(verb).await?);
        }
        // Asked before anybody is told, since the look to wait for may be over when all are.
        let applied = self.applied.as_ref().map(|applied| applied());
        self.client.tell_now(Notice::Steered).await;
        if let Some(applied) = applied {
            applied.await;
        }
        Ok(())
    }

    fn check(&self, verb: &str) -> Result<(), Error> {
        check_name(NameOf::Queue, &self.name)
            .map_err(|why| Error::config(format!("cannot {verb} a queue")).because(why))
    }

    /// Says what there is instead of a queue that nobody knows.
    async fn unknown(&self, verb: &str) -> Result<Error, Error> {
        let name = self.shown();
        let known = match self.find().await? {
            Ok(_) => vec![self.name.clone()],
            Err(names) => names,
        };
        let known = match known.is_empty() {
            true => "none".to_owned(),
            false => bounded_text(&known.join(", "), 300),
        };
        Ok(Error::config(match self.scope {
            Scope::AllNodes => format!(
                "cannot {verb} the queue {name:?}: no live node serves it, and no job is in it; \
                 there are: {known}"
            ),
            Scope::Node(node) => format!(
                "cannot {verb} the queue {name:?} on the node {node}: there is no such live node, \
                 or it does not serve the queue; there are the queues: {known}"
            ),
        }))
    }

    fn shown(&self) -> String {
        bounded_text(&self.name, 60)
    }
}

impl fmt::Debug for QueueHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueHandle")
            .field("name", &self.name)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// A pause or a stop that is about to be made: await it. It may say why, and by whom.
#[derive(Debug, Clone)]
#[must_use = "nothing is paused or stopped until this is awaited"]
pub struct Halting {
    queue: QueueHandle,
    mode: QueueMode,
    reason: Option<String>,
    by: Option<String>,
}

impl Halting {
    /// Says why, for whoever wonders: shown by [`Client::queues`]. At most 1,000 bytes are kept.
    pub fn because(mut self, reason: impl AsRef<str>) -> Self {
        self.reason = Some(bounded_text(reason.as_ref(), MAX_REASON_BYTES));
        self
    }

    /// Says who wants it so. At most 200 bytes are kept.
    pub fn by(mut self, who: impl AsRef<str>) -> Self {
        self.by = Some(bounded_text(who.as_ref(), MAX_BY_BYTES));
        self
    }
}

impl IntoFuture for Halting {
    type Output = Result<(), Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self {
            queue,
            mode,
            reason,
            by,
        } = self;
        Box::pin(async move {
            let verb = match mode {
                QueueMode::Stopped => "stop",
                _ => "pause",
            };
            queue.steer(verb, Change::Mode { mode, reason, by }).await
        })
    }
}
