//! `steer`: how queues are to be served, by all nodes or by one, while they run.
//!
//! What is said is kept, so that it survives every restart; nodes read it when they are told and every
//! second.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text};

use super::Store;
use super::statement::typed;
use crate::Error;
use crate::job::{JobId, NodeId, shown_instant};

/// What nodes do with a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum QueueMode {
    /// They run its jobs.
    #[default]
    Running,
    /// They begin none of its jobs. Its workers are there, with their states.
    Paused,
    /// They begin none of its jobs, and have no workers for it.
    Stopped,
}

impl QueueMode {
    /// The word in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }

    /// A mode that only a newer build knows: whatever it is, the queue is not to run.
    fn from_row(word: &str) -> Self {
        let mut known = [Self::Running, Self::Stopped].into_iter();
        known
            .find(|mode| mode.as_str() == word)
            .unwrap_or(Self::Paused)
    }
}

impl std::fmt::Display for QueueMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which nodes are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All, now and in future, until something else is said.
    AllNodes,
    /// One, for as long as it is there.
    Node(NodeId),
}

impl Scope {
    /// How it stands in the column `node`.
    const fn as_i64(self) -> i64 {
        match self {
            Self::AllNodes => 0,
            Self::Node(node) => node.as_i64(),
        }
    }

    const fn from_i64(node: i64) -> Self {
        match node {
            0 => Self::AllNodes,
            node => Self::Node(NodeId::from_i64(node)),
        }
    }
}

/// Why a queue is not running, as people said it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standstill {
    /// Paused or stopped.
    pub mode: QueueMode,
    /// Since when, by the database's clock.
    pub since: DateTime<Utc>,
    /// Why, if somebody said so.
    pub reason: Option<String>,
    /// By whom, if somebody said so.
    pub by: Option<String>,
}

impl Standstill {
    /// `None`: the row says that the queue runs.
    pub(super) fn from_row(
        mode: &str,
        since: DateTime<Utc>,
        reason: Option<String>,
        by: Option<String>,
    ) -> Option<Self> {
        match QueueMode::from_row(mode) {
            QueueMode::Running => None,
            mode => Some(Self {
                mode,
                since,
                reason,
                by,
            }),
        }
    }
}

/// `paused since 2026-11-25 10:00:00 UTC by ann: the mail server moves`.
impl std::fmt::Display for Standstill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let since = shown_instant(&self.since);
        write!(f, "{} since {since}", self.mode)?;
        if let Some(by) = &self.by {
            write!(f, " by {by}")?;
        }
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

/// What was said of a queue, to all nodes or to one.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) queue: String,
    pub(crate) scope: Scope,
    pub(crate) mode: QueueMode,
    pub(crate) workers: Option<u32>,
}

/// A change of what is said of a queue.
#[derive(Debug, Clone)]
pub(crate) struct Steer<'a> {
    pub(crate) queue: &'a str,
    pub(crate) scope: Scope,
    pub(crate) change: Change,
}

/// What is to be changed; the rest is left as it is.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Mode {
        mode: QueueMode,
        reason: Option<String>,
        by: Option<String>,
    },
    Workers(Workers),
}

/// How many workers a node is to have for a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workers {
    AsConfigured,
    Count(u32),
}

/// How a node is to serve a queue, everything taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Steering {
    pub(crate) mode: QueueMode,
    /// `None`: as configured.
    pub(crate) workers: Option<u32>,
}

impl Steering {
    /// What holds for a queue on a node: the stricter mode of the two, and the node's own number of
    /// workers before that of all.
    pub(crate) fn of(queue: &str, settings: &[Setting]) -> Self {
        let said = |setting: &&Setting| setting.queue == queue;
        let (mut of_all, mut own) = (Self::default(), Self::default());
        for setting in settings.iter().filter(said) {
            let place = match setting.scope {
                Scope::AllNodes => &mut of_all,
                Scope::Node(_) => &mut own,
            };
            *place = Self {
                mode: setting.mode,
                workers: setting.workers,
            };
        }
        Self {
            mode: of_all.mode.max(own.mode),
            workers: own.workers.or(of_all.workers),
        }
    }
}

type SettingSql = (Text, BigInt, Text, Nullable<Integer>);
type SettingTuple = (String, i64, String, Option<i32>);

impl Store {
    /// Says how a queue is to be served. False: nobody knows the queue, and nothing was changed.
    pub(crate) async fn steer(&self, steer: &Steer<'_>) -> Result<bool, Error> {
        let (mode, workers, reason, by) = match &steer.change {
            Change::Mode { mode, reason, by } => {
                (Some(mode.as_str()), None, reason.as_deref(), by.as_deref())
            }
            Change::Workers(Workers::AsConfigured) => (None, Some(0), None, None),
            Change::Workers(Workers::Count(count)) => {
                let count = i32::try_from(*count).unwrap_or(i32::MAX);
                (None, Some(count), None, None)
            }
        };
        let mut session = self.clients().await?;
        let changed = session
            .fetch::<Text, String>(
                "steer a queue",
                &self.sql().steer,
                &[
                    &typed::<Text, _>(steer.queue),
                    &typed::<BigInt, _>(&steer.scope.as_i64()),
                    &typed::<Nullable<Text>, _>(&mode),
                    &typed::<Nullable<Integer>, _>(&workers),
                    &typed::<Nullable<Text>, _>(&reason),
                    &typed::<Nullable<Text>, _>(&by),
                ],
            )
            .await?;
        Ok(!changed.is_empty())
    }

    /// What was said of the queues, to all nodes and to this one.
    pub(crate) async fn settings(&self, node: NodeId) -> Result<Vec<Setting>, Error> {
        let mut session = self.upkeep().await?;
        let rows = session
            .fetch::<SettingSql, SettingTuple>(
                "read how the queues are to be served",
                &self.sql().settings,
                &[&typed::<BigInt, _>(&node.as_i64())],
            )
            .await?;
        Ok(rows.into_iter().map(setting).collect())
    }

    /// Whether jobs of a queue up to this id are still to run, and the highest id that there is.
    pub(crate) async fn backlog(
        &self,
        queue: &str,
        up_to: JobId,
    ) -> Result<(bool, Option<JobId>), Error> {
        let mut session = self.clients().await?;
        let rows = session
            .fetch::<(Bool, Nullable<BigInt>), (bool, Option<i64>)>(
                "look for what a queue has left",
                &self.sql().backlog,
                &[
                    &typed::<Text, _>(queue),
                    &typed::<BigInt, _>(&up_to.as_i64()),
                ],
            )
            .await?;
        let (is_any, last) = rows.into_iter().next().unwrap_or_default();
        Ok((is_any, last.map(JobId::from_i64)))
    }
}

fn setting((queue, node, mode, workers): SettingTuple) -> Setting {
    Setting {
        queue,
        scope: Scope::from_i64(node),
        mode: QueueMode::from_row(&mode),
        workers: workers.map(i32::unsigned_abs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(scope: Scope, mode: QueueMode, workers: Option<u32>) -> Setting {
        Setting {
            queue: "mail".into(),
            scope,
            mode,
            workers,
        }
    }

    const HERE: Scope = Scope::Node(NodeId::from_i64(7));

    #[test]
    fn a_queue_of_which_nothing_was_said_runs_as_configured() {
        let of_another = said(Scope::AllNodes, QueueMode::Paused, Some(3));
        assert_eq!(Steering::of("reports", &[of_another]), Steering::default());
    }

    #[test]
    fn the_stricter_mode_holds_and_the_nodes_own_number_of_workers() {
        use QueueMode::{Paused, Running, Stopped};
        let of = |all: (QueueMode, Option<u32>), own: (QueueMode, Option<u32>)| {
            let settings = [
                said(HERE, own.0, own.1),
                said(Scope::AllNodes, all.0, all.1),
            ];
            let steering = Steering::of("mail", &settings);
            (steering.mode, steering.workers)
        };
        assert_eq!(of((Running, Some(5)), (Paused, None)), (Paused, Some(5)));
        assert_eq!(
            of((Stopped, Some(5)), (Running, Some(2))),
            (Stopped, Some(2))
        );
        assert_eq!(of((Paused, None), (Running, None)), (Paused, None));
    }
}
