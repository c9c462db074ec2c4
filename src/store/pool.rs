//! The board's connections, in lanes that never wait for each other.
//!
//! Every wait has a limit.

use std::time::Duration;

use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, PoolError, RecyclingMethod,
};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};

use super::session::Session;
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
        // Plans are made once and kept, mostly while the hot table is nearly empty, and a sequential scan that was
        // right then is a disaster later. A bitmap scan would lock rows in the order of their pages, where an
        // index scan takes them in the order of their ids. And of a table that was never analyzed a planner would
        // rather read and sort what the fetch index holds than walk it.
        match self {
            Self::Claim => {
                "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; \
                 set enable_bitmapscan = off; set enable_sort = off; set synchronous_commit = off;"
            }
            Self::Settle => {
                "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; \
                 set enable_bitmapscan = off;"
            }
            // A batch ends by itself after a bound of ten seconds at most. A process that cannot end it any more,
            // since it is frozen or its threads are blocked, must not keep its jobs, and the whole server from
            // vacuuming.
            Self::Express => {
                "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; \
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
    // Whatever looks expensive to the planner would be compiled first (jit): for a second, where reading a million
    // rows takes a tenth of one.
    format!(
        "set search_path to pg_catalog; set jit = off; \
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
        Ok(Session::of(object, self.limit))
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
