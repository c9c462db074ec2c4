//! `enqueue`: calls become rows, alone, in bulk, or inside a transaction of the caller's own.

use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Nullable, SmallInt, Text};
use tokio_postgres::types::ToSql;

use super::Store;
use super::call_row::{CallRow, Columns};
use super::executor::{Executor, OwnQuery};
use super::pool::Session;
use super::statement::{Bind, Statement, typed};
use crate::Error;
use crate::job::JobId;

const VERB: &str = "enqueue";

/// The columns as values for diesel. A macro, because the values borrow from one another.
macro_rules! diesel_binds {
    ($columns:ident) => {
        [
            &typed::<Array<Text>, _>(&$columns.queues) as &dyn Bind,
            &typed::<Array<Text>, _>(&$columns.kinds),
            &typed::<Array<SmallInt>, _>(&$columns.priorities),
            &typed::<Array<Nullable<SmallInt>>, _>(&$columns.max_attempts),
            &typed::<Array<Nullable<BigInt>>, _>(&$columns.time_limits_ms),
            &typed::<Array<Nullable<Text>>, _>(&$columns.backoffs),
            &typed::<Array<Integer>, _>(&$columns.versions),
            &typed::<Array<BigInt>, _>(&$columns.fingerprints),
            &typed::<Array<Nullable<BigInt>>, _>(&$columns.after_ms),
            &typed::<Array<Nullable<BigInt>>, _>(&$columns.at_us),
            &typed::<Array<Binary>, _>(&$columns.payloads),
            &typed::<Array<Nullable<Text>>, _>(&$columns.ordering_keys),
            &typed::<Array<Bool>, _>(&$columns.repeated),
            &typed::<Array<Nullable<Text>>, _>(&$columns.limit_keys),
            &typed::<Array<Nullable<Text>>, _>(&$columns.traceparents),
        ]
    };
}

/// The columns as values for tokio-postgres.
macro_rules! raw_values {
    ($columns:ident) => {
        [
            &$columns.queues as &(dyn ToSql + Sync),
            &$columns.kinds,
            &$columns.priorities,
            &$columns.max_attempts,
            &$columns.time_limits_ms,
            &$columns.backoffs,
            &$columns.versions,
            &$columns.fingerprints,
            &$columns.after_ms,
            &$columns.at_us,
            &$columns.payloads,
            &$columns.ordering_keys,
            &$columns.repeated,
            &$columns.limit_keys,
            &$columns.traceparents,
        ]
    };
}

impl Store {
    /// Inserts rows in one statement; all or nothing. Answers with their ids, in their order.
    pub(crate) async fn enqueue(&self, rows: &[CallRow]) -> Result<Vec<JobId>, Error> {
        let mut session = self.clients().await?;
        insert(&mut session, &self.sql().enqueue, rows).await
    }

    /// Begins a bulk enqueue: several statements in one transaction, all or nothing.
    pub(crate) async fn bulk(&self) -> Result<Bulk<'_>, Error> {
        let mut session = self.clients().await?;
        session.begin().await?;
        Ok(Bulk {
            session,
            statement: &self.sql().enqueue,
        })
    }

    /// Inserts rows on the caller's own connection, in whatever transaction is open there.
    pub(crate) async fn enqueue_on(
        &self,
        executor: impl Executor,
        rows: &[CallRow],
    ) -> Result<Vec<JobId>, Error> {
        let columns = Columns::of(rows);
        let (statement, raw) = (&self.sql().enqueue, raw_values!(columns));
        let diesel = diesel_binds!(columns);
        let query = OwnQuery {
            verb: VERB,
            statement,
            diesel: &diesel,
            raw: &raw,
        };
        Ok(executor
            .ids(query)
            .await?
            .into_iter()
            .map(JobId::from_i64)
            .collect())
    }
}

/// A bulk enqueue that is under way. Dropped, it rolls back.
pub(crate) struct Bulk<'a> {
    session: Session,
    statement: &'a Statement,
}

impl Bulk<'_> {
    pub(crate) async fn insert(&mut self, rows: &[CallRow]) -> Result<Vec<JobId>, Error> {
        insert(&mut self.session, self.statement, rows).await
    }

    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        self.session.commit().await
    }
}

async fn insert(
    session: &mut Session,
    statement: &Statement,
    rows: &[CallRow],
) -> Result<Vec<JobId>, Error> {
    let columns = Columns::of(rows);
    let binds = diesel_binds!(columns);
    let ids = session
        .fetch::<BigInt, i64>(VERB, statement, &binds)
        .await?;
    Ok(ids.into_iter().map(JobId::from_i64).collect())
}
