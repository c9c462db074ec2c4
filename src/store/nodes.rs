//! Nodes: who lives, who looks dead, and the jobs that are taken back from the dead.

use std::sync::Arc;
use std::time::Duration;

use diesel::sql_types::{Array, BigInt, Bool, Integer, Jsonb, Nullable, SmallInt, Text};
use serde_json::Value;

use super::Store;
use super::statement::{Bind, typed};
use crate::Error;
use crate::job::{Attempt, Failure, FailureKind, JobId, NodeId, Repertoire};

/// What the board knows of a node.
#[derive(Debug, Clone)]
pub(crate) struct NodeCard {
    pub(crate) id: NodeId,
    /// For people: host and process id.
    pub(crate) name: String,
    pub(crate) lease: Duration,
    pub(crate) queues: Vec<String>,
    pub(crate) kinds: Arc<Repertoire>,
    /// How the code is called that runs each of them.
    pub(crate) code_versions: Vec<String>,
}

/// A node that looks dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Troubled {
    /// Its lease ran out, or another node condemned it.
    Dead(NodeId),
    /// Its session is gone. It may be reconnecting.
    Silent(NodeId),
}

/// A job that was taken back.
#[derive(Debug, Clone)]
pub(crate) struct RescuedJob {
    pub(crate) id: JobId,
    pub(crate) queue: String,
    pub(crate) priority: i16,
    pub(crate) fate: Fate,
    pub(crate) kind: String,
    pub(crate) attempt: Attempt,
    /// What is written about its end, if it has ended.
    pub(crate) message: Option<String>,
}

/// What became of a job whose node died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is available again.
    Rescued,
    /// Too many processes died under it: it is buried.
    Quarantined,
    /// Somebody had asked for its cancellation.
    Cancelled,
}

/// An attempt in this node's hands that must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) id: JobId,
    pub(crate) attempt: Attempt,
    /// Lost to another node, or asked to be cancelled.
    pub(crate) is_lost: bool,
}

pub(super) type RescuedSql = (
    (BigInt, Text, SmallInt, Text),
    (Text, Integer, Nullable<Text>),
);
pub(super) type RescuedTuple = ((i64, String, i16, String), (String, i32, Option<String>));

pub(super) fn rescued(
    ((id, queue, priority, fate), (kind, attempt, message)): RescuedTuple,
) -> RescuedJob {
    RescuedJob {
        id: JobId::from_i64(id),
        queue,
        priority,
        fate: match fate.as_str() {
            "quarantined" => Fate::Quarantined,
            "cancelled" => Fate::Cancelled,
            _ => Fate::Rescued,
        },
        kind,
        attempt: Attempt::from_i32(attempt),
        message,
    }
}

pub(super) const fn millis(duration: Duration) -> i64 {
    let ms = duration.as_millis();
    if ms > i64::MAX as u128 {
        i64::MAX
    } else {
        ms as i64
    }
}

/// The values of the register statement. A macro, because they borrow from one another.
macro_rules! register_binds {
    ($card:ident) => {
        [
            &typed::<BigInt, _>(&$card.id.as_i64()) as &dyn Bind,
            &typed::<BigInt, _>(&millis($card.lease)),
            &typed::<Text, _>(&$card.name),
            &typed::<Text, _>(env!("CARGO_PKG_VERSION")),
            &typed::<Array<Text>, _>(&$card.queues),
            &typed::<Array<Text>, _>($card.kinds.kinds()),
            &typed::<Array<Integer>, _>($card.kinds.versions()),
            &typed::<Array<Text>, _>(&$card.code_versions),
        ]
    };
}
pub(super) use register_binds;

impl Store {
    /// Puts this node on the list, or renews what is known of it.
    pub(crate) async fn register(&self, card: &NodeCard) -> Result<(), Error> {
        let mut session = self.upkeep().await?;
        session
            .change(
                "register the node",
                &self.sql().register,
                &register_binds!(card),
            )
            .await
            .map(drop)
    }

    /// Takes this node off the list; `holds_jobs` says whether jobs may still be in its name.
    pub(crate) async fn leave(&self, node: NodeId, holds_jobs: bool) -> Result<(), Error> {
        let mut session = self.upkeep().await?;
        session
            .change(
                "take the node off the list",
                &self.sql().leave,
                &[
                    &typed::<BigInt, _>(&node.as_i64()),
                    &typed::<Bool, _>(&holds_jobs),
                ],
            )
            .await
            .map(drop)
    }

    /// The nodes that look dead.
    pub(crate) async fn suspects(&self, lease: Duration) -> Result<Vec<Troubled>, Error> {
        let mut session = self.upkeep().await?;
        let rows = session
            .fetch::<(BigInt, Bool), (i64, bool)>(
                "look for dead nodes",
                &self.sql().suspects,
                &[&typed::<BigInt, _>(&millis(lease))],
            )
            .await?;
        Ok(rows
            .into_iter()
            .map(|(id, is_certain)| match is_certain {
                true => Troubled::Dead(NodeId::from_i64(id)),
                false => Troubled::Silent(NodeId::from_i64(id)),
            })
            .collect())
    }

    /// Declares nodes dead, and tells which of them nobody had declared dead before.
    pub(crate) async fn condemn(&self, nodes: &[NodeId]) -> Result<Vec<NodeId>, Error> {
        let ids: Vec<i64> = nodes.iter().map(|node| node.as_i64()).collect();
        let mut session = self.upkeep().await?;
        let condemned = session
            .fetch::<BigInt, i64>(
                "condemn nodes",
                &self.sql().condemn,
                &[&typed::<Array<BigInt>, _>(&ids)],
            )
            .await?;
        Ok(condemned.into_iter().map(NodeId::from_i64).collect())
    }

    /// Takes back the jobs of condemned nodes; with `everywhere`, also of nodes that are on no list. Who is
    /// quarantined is buried with the recent errors of its kind, by kind.
    pub(crate) async fn rescue(
        &self,
        everywhere: bool,
        max_deaths: u32,
        recent_errors: &Value,
    ) -> Result<Vec<RescuedJob>, Error> {
        let mut session = self.upkeep().await?;
        let max_deaths = i32::try_from(max_deaths).unwrap_or(i32::MAX);
        let died = Failure::new(FailureKind::ProcessDied, "").fingerprint();
        let rows = session
            .fetch::<RescuedSql, RescuedTuple>(
                "rescue",
                &self.sql().rescue,
                &[
                    &typed::<Bool, _>(&everywhere),
                    &typed::<Integer, _>(&max_deaths),
                    &typed::<BigInt, _>(&died.as_i64()),
                    &typed::<Jsonb, _>(recent_errors),
                ],
            )
            .await?;
        Ok(rows.into_iter().map(rescued).collect())
    }

    /// Of the attempts in this node's hands: which are lost, and which somebody asked to cancel.
    pub(crate) async fn inspect(
        &self,
        node: NodeId,
        held: &[(JobId, Attempt)],
    ) -> Result<Vec<Finding>, Error> {
        let ids: Vec<i64> = held.iter().map(|(id, _)| id.as_i64()).collect();
        let attempts: Vec<i32> = held.iter().map(|(_, attempt)| attempt.as_i32()).collect();
        let mut session = self.0.settle.session().await?;
        let rows = session
            .fetch::<(BigInt, Integer, Bool), _>(
                "inspect",
                &self.sql().inspect,
                &[
                    &typed::<BigInt, _>(&node.as_i64()),
                    &typed::<Array<BigInt>, _>(&ids),
                    &typed::<Array<Integer>, _>(&attempts),
                ],
            )
            .await?;
        let finding = |(id, attempt, is_lost): (i64, i32, bool)| Finding {
            id: JobId::from_i64(id),
            attempt: Attempt::from_i32(attempt),
            is_lost,
        };
        Ok(rows.into_iter().map(finding).collect())
    }
}
