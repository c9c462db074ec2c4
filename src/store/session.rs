//! A connection in use: statements, one after the other, each within a limit.
//!
//! A connection whose statement was dropped half-way, by a kill or a time-out, is closed and never handed to
//! anybody else.

use std::time::Duration;

use diesel::QueryResult;
use diesel::deserialize::{self, FromSqlRow};
use diesel::pg::Pg;
use diesel::result::Error as QueryError;
use diesel::sql_types::Untyped;
use diesel_async::pooled_connection::deadpool::Object;
use diesel_async::{AsyncConnectionCore, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;

use super::statement::{Bind, Statement};
use crate::Error;

/// A row as it comes from a connection.
pub(super) type PgRow = <AsyncPgConnection as AsyncConnectionCore>::Row<'static, 'static>;

/// A connection in use. Dropped in the middle of a statement, it closes the connection.
pub(super) struct Session {
    object: Option<Object<AsyncPgConnection>>,
    is_busy: bool,
    /// A transaction is to begin with the next statement.
    is_to_begin: bool,
    /// A transaction is open of which diesel knows nothing.
    is_open: bool,
    limit: Duration,
}

/// How a transaction ends that began with a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Commit,
    RollBack,
}

impl End {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::RollBack => "rollback",
        }
    }
}

impl Session {
    pub(super) fn of(connection: Object<AsyncPgConnection>, limit: Duration) -> Self {
        Self {
            object: Some(connection),
            is_busy: false,
            is_to_begin: false,
            is_open: false,
            limit,
        }
    }

    fn connection(&mut self) -> &mut AsyncPgConnection {
        self.object
            .as_mut()
            .expect("a session has its connection until it is dropped")
    }

    /// Runs a statement and reads its rows.
    pub(super) fn fetch<'a, Row, U>(
        &'a mut self,
        verb: &'a str,
        statement: &'a Statement,
        binds: &'a [&'a dyn Bind],
    ) -> BoxFuture<'a, Result<Vec<U>, Error>>
    where
        Row: 'static,
        U: FromSqlRow<Row, Pg> + Send + 'static,
    {
        self.fetch_by(verb, statement, binds, U::build_from_row)
    }

    /// Has the next statement that is [fetched](Self::fetch) begin a transaction, in the same round trip. It is ended
    /// by [`end`](Self::end); dropped before, the session closes its connection.
    pub(super) fn begin_with_next(&mut self) {
        self.is_to_begin = true;
    }

    /// Ends the transaction that [began with a statement](Self::begin_with_next).
    pub(super) async fn end(&mut self, how: End) -> Result<(), Error> {
        self.order(how.as_str()).await?;
        self.is_open = false;
        Ok(())
    }

    /// Has the transaction go on as an order says: from a savepoint, say.
    pub(super) async fn order(&mut self, order: &str) -> Result<(), Error> {
        let limit = self.limit;
        self.is_busy = true;
        let executing = self.connection().batch_execute(order);
        let answer = tokio::time::timeout(limit, executing).await;
        self.finish(order, answer)
    }

    /// As [`fetch`](Self::fetch); `read` sees one row after the other, so that it can let them share what is the
    /// same in all.
    ///
    /// Boxed, because rustc cannot see through the borrows that the future is Send.
    pub(super) fn fetch_by<'a, U>(
        &'a mut self,
        verb: &'a str,
        statement: &'a Statement,
        binds: &'a [&'a dyn Bind],
        mut read: impl FnMut(&PgRow) -> deserialize::Result<U> + Send + 'a,
    ) -> BoxFuture<'a, Result<Vec<U>, Error>>
    where
        U: Send + 'static,
    {
        Box::pin(async move {
            let limit = self.limit;
            self.is_busy = true;
            let begins = std::mem::take(&mut self.is_to_begin);
            self.is_open |= begins;
            let bound = statement.bind::<Untyped>(binds);
            let connection = &*self.connection();
            let (mut first, mut second) = (connection, connection);
            let begin = async {
                match begins {
                    true => first.batch_execute("begin").await,
                    false => Ok(()),
                }
            };
            let fetching = async {
                // What is polled first is sent first.
                let loading = AsyncConnectionCore::load(&mut second, bound);
                let (begun, rows) = futures_util::join!(begin, loading);
                begun?;
                let mut rows = std::pin::pin!(rows?);
                let mut all = Vec::new();
                while let Some(row) = rows.try_next().await? {
                    all.push(read(&row).map_err(QueryError::DeserializationError)?);
                }
                Ok(all)
            };
            let answer = tokio::time::timeout(limit, fetching).await;
            self.finish(verb, answer)
        })
    }

    /// Runs a statement and counts the rows it changed.
    pub(super) async fn change(
        &mut self,
        verb: &str,
        statement: &Statement,
        binds: &[&dyn Bind],
    ) -> Result<usize, Error> {
        let limit = self.limit;
        self.is_busy = true;
        let bound = statement.bind::<()>(binds);
        let answer = tokio::time::timeout(limit, bound.execute(self.connection())).await;
        self.finish(verb, answer)
    }

    fn finish<T>(
        &mut self,
        verb: &str,
        answer: Result<QueryResult<T>, tokio::time::error::Elapsed>,
    ) -> Result<T, Error> {
        match answer {
            Ok(Ok(value)) => {
                self.is_busy = false;
                Ok(value)
            }
            Ok(Err(cause)) => {
                self.is_busy = breaks_connection(&cause);
                Err(failed(verb, cause))
            }
            Err(_) => {
                let text = format!(
                    "cannot {verb}: no answer within {:?}; its outcome is unknown",
                    self.limit
                );
                Err(Error::database(text))
            }
        }
    }
}

/// An error with the verb that failed.
pub(super) fn failed(verb: &str, cause: QueryError) -> Error {
    use diesel::result::DatabaseErrorKind as Kind;
    match cause {
        QueryError::DatabaseError(Kind::ClosedConnection | Kind::UnableToSendCommand, _) => {
            Error::connect(format!("cannot {verb}: the connection was lost")).because(cause)
        }
        // The next connection may reach another server, or this one when it takes writes again.
        QueryError::DatabaseError(Kind::ReadOnlyTransaction, _) => {
            Error::connect(format!("cannot {verb}: the server is read-only")).because(cause)
        }
        cause => Error::database(format!("cannot {verb}")).because(cause),
    }
}

/// Whether a statement failed because a row would contradict another one.
pub(super) fn is_conflict(error: &Error) -> bool {
    use diesel::result::DatabaseErrorKind as Kind;
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref());
    matches!(
        cause,
        Some(QueryError::DatabaseError(Kind::UniqueViolation, _))
    )
}

/// Whether the connection is of no more use after this error. A read-only server is the old
/// primary after a failover: the next connection may reach the new one.
fn breaks_connection(error: &QueryError) -> bool {
    use diesel::result::DatabaseErrorKind as Kind;
    match error {
        QueryError::DatabaseError(kind, _) => matches!(
            kind,
            Kind::ClosedConnection
                | Kind::UnableToSendCommand
                | Kind::ReadOnlyTransaction
                | Kind::Unknown
        ),
        QueryError::NotFound
        | QueryError::QueryBuilderError(_)
        | QueryError::DeserializationError(_)
        | QueryError::SerializationError(_) => false,
        _ => true,
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(mut object) = self.object.take() {
            use diesel_async::pooled_connection::PoolableConnection as _;
            if self.is_busy || self.is_open || object.is_broken() {
                drop(Object::take(object));
            }
        }
    }
}
