//! The board's connections, in lanes that never wait for each other.
//!
//! Every wait has a limit. A connection whose statement was dropped half-way, by a kill or a
//! time-out, is closed and never handed to anybody else.

use std::time::Duration;

use diesel::QueryResult;
use diesel::deserialize;
use diesel::result::Error as QueryError;
use diesel::sql_types::Untyped;
use diesel_async::methods::LoadQuery;
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, PoolError, RecyclingMethod,
};
use diesel_async::{
    AnsiTransactionManager, AsyncConnectionCore, AsyncPgConnection, RunQueryDsl,
    SimpleAsyncConnection, TransactionManager,
};
use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;

use super::statement::{Bind, Bound, Statement};
use super::{Database, PoolInfo};
use crate::Error;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Claims: commit asynchronously. A claim that a crash of the server takes back is made again.
    Claim,
    /// Batches of the express lane: a transaction each, open while their handlers run.
    Express,
    /// What became of jobs, and the scheduler's promotions.
    Settle,
    /// Everything else: enqueues, questions, rescue, pruning.
    General,
}

impl Lane {
    /// What the session is told, besides the limits.
    const fn settings(self) -> &'static str {
        // The price of a sequential scan that is forbidden, where there is no other way, would have it compiled.
        // Plans are made once and kept, mostly while the hot table is nearly empty, and a sequential scan that was
        // right then is a disaster later. A bitmap scan would lock rows in the order of their pages, where an
        // index scan takes them in the order of their ids. And of a table that was never analyzed a planner would
        // rather read and sort what the fetch index holds than walk it.
        match self {
            Self::Claim => {
                "set jit = off; set plan_cache_mode = force_generic_plan; set enable_seqscan = off; \
                 set enable_bitmapscan = off; set enable_sort = off; set synchronous_commit = off;"
            }
            Self::Settle => {
                "set jit = off; set plan_cache_mode = force_generic_plan; set enable_seqscan = off; \
                 set enable_bitmapscan = off;"
            }
            // A batch ends by itself after a bound of ten seconds at most. A process that cannot end it any more,
            // since it is frozen or its threads are blocked, must not keep its jobs, and the whole server from
            // vacuuming.
            Self::Express => {
                "set jit = off; set plan_cache_mode = force_generic_plan; set enable_seqscan = off; \
                 set enable_bitmapscan = off; set enable_sort = off; \
                 set idle_in_transaction_session_timeout = '15s';"
            }
            Self::General => "",
        }
    }
}

/// A connection with the settings of its lane.
pub(super) async fn connect(database: &Database, lane: Lane) -> Result<AsyncPgConnection, Error> {
    let mut connection = database.connect().await?;
    let settings = session_settings(database, lane);
    let verb = format!("set up a session at {}", database.place());
    let setting = async {
        let done = connection.batch_execute(&settings).await;
        done.map_err(|cause| Error::connect(format!("cannot {verb}")).because(cause))
    };
    within(database.connect_limit(), &verb, setting).await?;
    Ok(connection)
}

/// Gives up on a connection of its own that does not answer within `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    verb: &str,
    asking: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, asking).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::connect(format!(
            "cannot {verb}: no answer within {limit:?}"
        ))),
    }
}

fn session_settings(database: &Database, lane: Lane) -> String {
    let limit_ms = database.statement_limit().as_millis();
    format!(
        "set search_path to pg_catalog; \
         set statement_timeout = {limit_ms}; set lock_timeout = {limit_ms}; \
         set idle_in_transaction_session_timeout = {limit_ms}; \
         select set_config(name, '10s', false) from pg_settings where name = 'client_connection_check_interval'; \
         select set_config(name, 'on', false) from pg_settings where name = 'synchronous_commit' and setting = 'off'; \
         {}",
        lane.settings()
    )
}

/// The connections of one lane.
#[derive(Clone)]
pub(super) struct LanePool {
    pool: Pool<AsyncPgConnection>,
    wait: Duration,
    limit: Duration,
    place: String,
}

impl LanePool {
    pub(super) fn new(database: &Database, lane: Lane, size: usize) -> Result<Self, Error> {
        let mut config = ManagerConfig::default();
        config.recycling_method = RecyclingMethod::Fast;
        let target = database.clone();
        config.custom_setup = Box::new(move |_| {
            let target = target.clone();
            Box::pin(async move {
                let connected = connect(&target, lane).await;
                connected.map_err(|error| diesel::ConnectionError::BadConnection(error.to_string()))
            })
        });
        let manager = AsyncDieselConnectionManager::new_with_config("", config);
        let built = Pool::builder(manager).max_size(size.max(1)).build();
        Ok(Self {
            pool: built.map_err(|cause| Error::config("cannot make a pool").because(cause))?,
            wait: database.connect_limit() * 2,
            // The server gives up first, so that nothing goes on there that was given up here.
            limit: database.statement_limit() + Duration::from_secs(2),
            place: database.place(),
        })
    }

    /// Has so many connections at most from now on, and at least one.
    pub(super) fn resize(&self, size: usize) {
        self.pool.resize(size.max(1));
    }

    /// A connection for one piece of work.
    pub(super) async fn session(&self) -> Result<Session, Error> {
        let object = match tokio::time::timeout(self.wait, self.pool.get()).await {
            Ok(Ok(object)) => object,
            Ok(Err(cause)) => return Err(self.no_connection(cause)),
            Err(_) => {
                let text = format!(
                    "no connection to {} was free within {:?}",
                    self.place, self.wait
                );
                return Err(Error::connect(text));
            }
        };
        Ok(Session {
            object: Some(object),
            is_busy: false,
            is_to_begin: false,
            is_open: false,
            limit: self.limit,
        })
    }

    /// How the pool is now.
    pub(super) fn info(&self, lane: &'static str) -> PoolInfo {
        let status = self.pool.status();
        PoolInfo {
            lane,
            max: status.max_size,
            in_use: status.size.saturating_sub(status.available),
            idle: status.available,
            waiting: status.waiting,
        }
    }

    fn no_connection(&self, cause: diesel_async::pooled_connection::deadpool::PoolError) -> Error {
        use diesel_async::pooled_connection::deadpool::PoolError as Waiting;
        match cause {
            Waiting::Backend(PoolError::ConnectionError(cause)) => {
                Error::connect(cause.to_string())
            }
            other => Error::connect(format!("cannot connect to {}", self.place)).because(other),
        }
    }
}

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
    fn connection(&mut self) -> &mut AsyncPgConnection {
        self.object
            .as_mut()
            .expect("a session has its connection until it is dropped")
    }

    /// Runs a statement and reads its rows.
    ///
    /// Boxed, because rustc cannot see through the borrows that the future is Send.
    pub(super) fn fetch<'a, Row, U>(
        &'a mut self,
        verb: &'a str,
        statement: &'a Statement,
        binds: &'a [&'a dyn Bind],
    ) -> BoxFuture<'a, Result<Vec<U>, Error>>
    where
        Row: 'static,
        U: Send + 'static,
        Bound<'a, Row>: LoadQuery<'a, AsyncPgConnection, U>,
    {
        Box::pin(async move {
            let limit = self.limit;
            self.is_busy = true;
            let bound = statement.bind::<Row>(binds);
            let answer = tokio::time::timeout(limit, bound.load::<U>(self.connection())).await;
            self.finish(verb, answer)
        })
    }

    /// Has the next statement that is [fetched by](Self::fetch_by) a reader begin a transaction, in the same round
    /// trip. It is ended by [`end`](Self::end); dropped before, the session closes its connection.
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

    /// Begins a transaction; a savepoint, if there is one already.
    pub(super) async fn begin(&mut self) -> Result<(), Error> {
        let limit = self.limit;
        self.is_busy = true;
        let begin = AnsiTransactionManager::begin_transaction(self.connection());
        let answer = tokio::time::timeout(limit, begin).await;
        self.finish("begin", answer)
    }

    /// Commits. A session dropped between `begin` and here closes its connection, which rolls back.
    pub(super) async fn commit(&mut self) -> Result<(), Error> {
        let limit = self.limit;
        self.is_busy = true;
        let commit = AnsiTransactionManager::commit_transaction(self.connection());
        let answer = tokio::time::timeout(limit, commit).await;
        self.finish("commit", answer)
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
