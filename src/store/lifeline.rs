//! The connection that proves a node alive: its lease, and a session lock that is free the moment
//! the process is gone.

use std::time::Duration;

use diesel::sql_types::{Array, BigInt, Bool, Integer, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::StreamExt;

use super::nodes::{NodeCard, millis, register_binds};
use super::pool::{Lane, connect, within};
use super::session::failed;
use super::statement::{Bind, Statement, typed};
use super::{Database, Statements};
use crate::Error;
use crate::job::NodeId;

/// How soon a lock that an older session still had is tried again. Without it the node looks dead, and
/// the lease is no help.
const LOCK_AGAIN_IN: Duration = Duration::from_millis(100);

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
    has_lock: bool,
    renew: Statement,
    register: Statement,
    limit: Duration,
}

impl Lifeline {
    /// Connects. The session lock is taken with the first renewal.
    pub(crate) async fn connect(
        database: &Database,
        node: NodeId,
        limit: Duration,
    ) -> Result<Self, Error> {
        let connection = connect(database, Lane::General).await?;
        let Statements {
            renew, register, ..
        } = Statements::new(database.schema_name());
        Ok(Self {
            connection,
            node,
            has_lock: false,
            renew,
            register,
            limit,
        })
    }

    /// Takes the node's session lock, unless an older session of this node still has it, which the
    /// server has not noticed to be dead. Then the next renewal tries again.
    async fn lock(&mut self) -> Result<(), Error> {
        #[derive(diesel::QueryableByName)]
        struct Locked {
            #[diesel(sql_type = Bool)]
            is_locked: bool,
        }
        let lock = diesel::sql_query("select pg_try_advisory_lock($1) as is_locked");
        let lock = lock.bind::<BigInt, _>(self.node.as_i64());
        let locking = async {
            let locked = lock.get_result::<Locked>(&mut self.connection).await;
            locked.map_err(|cause| failed("lock the node", cause))
        };
        self.has_lock = within(self.limit, "renew", locking).await?.is_locked;
        Ok(())
    }

    /// Puts the node on the list again, after somebody took it off.
    pub(crate) async fn register(&mut self, card: &NodeCard) -> Result<(), Error> {
        let registering = async {
            let done = self
                .register
                .bind::<()>(&register_binds!(card))
                .execute(&mut self.connection)
                .await;
            done.map(drop)
                .map_err(|cause| failed("register the node", cause))
        };
        within(self.limit, "register the node", registering).await
    }

    /// Renews the lease.
    pub(crate) async fn renew(&mut self, lease: Duration) -> Result<Renewal, Error> {
        if !self.has_lock {
            self.lock().await?;
        }
        let (node, lease_ms) = (self.node.as_i64(), millis(lease));
        let binds: [&dyn Bind; 3] = [
            &typed::<BigInt, _>(&node),
            &typed::<BigInt, _>(&lease_ms),
            &typed::<Bool, _>(&self.has_lock),
        ];
        let renew = self.renew.bind::<Bool>(&binds);
        let renewing = async {
            let answer = renew.load::<bool>(&mut self.connection).await;
            answer.map_err(|cause| failed("renew", cause))
        };
        Ok(match within(self.limit, "renew", renewing).await?[..] {
            [] => Renewal::Unknown,
            [true, ..] => Renewal::Lapsed,
            [false, ..] => Renewal::Kept,
        })
    }

    /// Rests until the next renewal is due. A connection that is lost meanwhile is an error at once: the
    /// lock is gone with it.
    pub(crate) async fn rest(&mut self, every: Duration) -> Result<(), Error> {
        let rest = if self.has_lock {
            every
        } else {
            every.min(LOCK_AGAIN_IN)
        };
        let losing = async {
            // Nobody listens here, so the stream says nothing but its end.
            let mut notifications = std::pin::pin!(self.connection.notifications_stream());
            while let Some(Ok(_)) = notifications.next().await {}
        };
        match tokio::time::timeout(rest, losing).await {
            Ok(()) => Err(Error::connect("cannot renew: the connection has ended")),
            Err(_rested) => Ok(()),
        }
    }
}
