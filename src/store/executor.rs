//! A connection of the caller's own, with whatever transaction is open there.

use diesel::sql_types::{Array, BigInt};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use tokio_postgres::types::ToSql;

use super::session::failed;
use super::statement::{Bind, Statement};
use crate::Error;

/// A connection of the caller's own: `&mut diesel_async::AsyncPgConnection`,
/// `&tokio_postgres::Transaction` or `&tokio_postgres::Client`. Sealed.
///
/// What the board writes there belongs to the transaction that is open: it commits or rolls back
/// with it.
pub trait Executor: sealed::Sealed {}

impl<T: sealed::Sealed> Executor for T {}

/// A statement that answers with a list of ids, with its values in the form of either client.
#[derive(Clone, Copy)]
pub struct OwnQuery<'a> {
    pub(super) verb: &'static str,
    pub(super) statement: &'a Statement,
    pub(super) diesel: &'a [&'a dyn Bind],
    pub(super) raw: &'a [&'a (dyn ToSql + Sync)],
}

impl std::fmt::Debug for OwnQuery<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OwnQuery").field(&self.verb).finish()
    }
}

mod sealed {
    use super::{Error, OwnQuery};

    pub trait Sealed: Send {
        fn ids(self, query: OwnQuery<'_>) -> impl Future<Output = Result<Vec<i64>, Error>> + Send;
    }
}

impl sealed::Sealed for &mut AsyncPgConnection {
    async fn ids(self, query: OwnQuery<'_>) -> Result<Vec<i64>, Error> {
        let bound = query.statement.bind::<Array<BigInt>>(query.diesel);
        let ids = bound.get_result(self).await;
        ids.map_err(|cause| failed(query.verb, cause))
    }
}

impl sealed::Sealed for &tokio_postgres::Transaction<'_> {
    async fn ids(self, query: OwnQuery<'_>) -> Result<Vec<i64>, Error> {
        raw_ids(self, query).await
    }
}

impl sealed::Sealed for &tokio_postgres::Client {
    async fn ids(self, query: OwnQuery<'_>) -> Result<Vec<i64>, Error> {
        raw_ids(self, query).await
    }
}

async fn raw_ids<C>(client: &C, query: OwnQuery<'_>) -> Result<Vec<i64>, Error>
where
    C: tokio_postgres::GenericClient + Sync,
{
    let row = client.query_one(&query.statement.text(), query.raw).await;
    let row =
        row.map_err(|cause| Error::database(format!("cannot {}", query.verb)).because(cause))?;
    Ok(row.get(0))
}
