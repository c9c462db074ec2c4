//! A connection of the caller's own, with whatever transaction is open there.

use diesel::sql_types::{Array, BigInt};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use tokio_postgres::types::{ToSql, Type};

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
    pub(super) raw: &'a [(&'a (dyn ToSql + Sync), Type)],
}

impl std::fmt::Debug for OwnQuery<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OwnQuery").field(&self.verb).finish()
    }
}

/// Values with their types, as diesel takes them.
macro_rules! for_diesel {
    ($($sql:ty, $pg:ident: $value:expr;)*) => {
        [$(&$crate::store::statement::typed::<$sql, _>($value) as &dyn $crate::store::statement::Bind),*]
    };
}

/// The same as tokio-postgres takes them. It is told the types, or it would ask the server first.
macro_rules! for_tokio_postgres {
    ($($sql:ty, $pg:ident: $value:expr;)*) => {
        [$((
            $value as &(dyn tokio_postgres::types::ToSql + Sync),
            tokio_postgres::types::Type::$pg,
        )),*]
    };
}

pub(super) use {for_diesel, for_tokio_postgres};

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
        let text = query.statement.text();
        raw_ids(query.verb, self.query_typed_one(&text, query.raw).await)
    }
}

impl sealed::Sealed for &tokio_postgres::Client {
    async fn ids(self, query: OwnQuery<'_>) -> Result<Vec<i64>, Error> {
        let text = query.statement.text();
        raw_ids(query.verb, self.query_typed_one(&text, query.raw).await)
    }
}

fn raw_ids(
    verb: &str,
    row: Result<tokio_postgres::Row, tokio_postgres::Error>,
) -> Result<Vec<i64>, Error> {
    match row {
        Ok(row) => Ok(row.get(0)),
        Err(cause) => Err(Error::database(format!("cannot {verb}")).because(cause)),
    }
}
