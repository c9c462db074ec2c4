//! The connection that proves a node alive: its lease, and a session lock that is free the moment
//! the process is gone.

use std::time::Duration;

use diesel::sql_types::{Array, BigInt, Bool, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::nodes::{NodeCard, millis, register_binds};
use super::pool::{Lane, connect, failed};
use super::statement::{Bind, Statement, typed};
use super::{Database, Statements};
use crate::Error;
use crate::job::NodeId;

/// The answer to a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// The lease never lapsed.
    Kept,
    /// The lease had run out or the node was condemned: jobs may have been taken back meanwhile.
    Lapsed,
    /// The node is not on the list; it must register anew.
    Unknown,
}

/// A connection of its own, used by nobody else.
pub(crate) struct Lifeline {
    connection: AsyncPgConnection,
    node: NodeId,
    renew: Statement,
    register: Statement,
    limit: Duration,
}

impl Lifeline {
    /// Connects and takes the node's session lock.
    pub(crate) async fn connect(
        database: &Database,
        node: NodeId,
        limit: Duration,
    ) -> Result<Self, Error> {
        let mut connection = connect(database, Lane::General).await?;
        // An older session of this node may not have been noticed as dead yet. Then this one goes
        // on without the lock, and the lease alone speaks for the node.
        let lock =
            diesel::sql_query("select pg_try_advisory_lock($1)").bind::<BigInt, _>(node.as_i64());
        let locking = lock.execute(&mut connection);
        let answer = tokio::time::timeout(limit, locking).await;
        answer
            .map_err(|_| silent(limit))?
            .map_err(|cause| failed("lock the node", cause))?;
        let Statements {
            renew, register, ..
        } = Statements::new(database.schema_name());
        Ok(Self {
            connection,
            node,
            renew,
            register,
            limit,
        })
    }

    /// Puts the node on the list again, after somebody took it off.
    pub(crate) async fn register(&mut self, card: &NodeCard) -> Result<(), Error> {
        let registering = self
            .register
            .bind::<()>(&register_binds!(card))
            .execute(&mut self.connection);
        let answer = tokio::time::timeout(self.limit, registering).await;
        answer
            .map_err(|_| silent(self.limit))?
            .map(drop)
            .map_err(|cause| failed("register the node", cause))
    }

    /// Renews the lease.
    pub(crate) async fn renew(&mut self, lease: Duration) -> Result<Renewal, Error> {
        let (node, lease_ms) = (self.node.as_i64(), millis(lease));
        let binds: [&dyn Bind; 2] = [&typed::<BigInt, _>(&node), &typed::<BigInt, _>(&lease_ms)];
        let renewing = self
            .renew
            .bind::<Bool>(&binds)
            .load::<bool>(&mut self.connection);
        let answer = tokio::time::timeout(self.limit, renewing)
            .await
            .map_err(|_| silent(self.limit))?;
        Ok(
            match answer
                .map_err(|cause| failed("renew", cause))?
                .as_slice()
                .first()
            {
                None => Renewal::Unknown,
                Some(false) => Renewal::Kept,
                Some(true) => Renewal::Lapsed,
            },
        )
    }
}

fn silent(limit: Duration) -> Error {
    Error::connect(format!("cannot renew: no answer within {limit:?}"))
}
