//! Where jobs rest: the schema, its migrations, and one method and one statement for every verb.
//!
//! The only place that knows diesel and SQL. A transition is one statement and one method, so that a
//! kill at any await leaves all of it or nothing. It knows jobs; it never knows actors.

mod breakers;
mod call_row;
mod checkpoints;
mod claim;
mod control;
mod ctid;
mod database;
pub mod embedded;
mod enqueue;
mod executor;
mod explain;
mod express;
mod history;
mod letters;
mod lifeline;
mod limits;
mod migrate;
mod nodes;
mod notify;
mod numbers;

mod ordering;
mod pack;
mod pool;
mod postgres_types;
mod queues;
mod read;
mod registry;
mod sample;
mod schedule;
mod session;
mod settings;
mod settle;
mod statement;
#[cfg(feature = "testing")]
mod throwaway;
mod verify;

use std::fmt;
use std::sync::Arc;

pub use breakers::BreakerInfo;
pub(crate) use breakers::{BreakerCard, BreakerRow, Found};
pub(crate) use call_row::CallRow;
pub use checkpoints::Progress;
pub(crate) use checkpoints::{Fenced, Holding, Kept, ProgressNote};
pub(crate) use claim::{CLAIM_TRIES, ClaimBound, ClaimRequest, ClaimedJob};
pub use control::Cancelled;
pub use database::{
    DEFAULT_CLIENT_CONNECTIONS, DEFAULT_CONNECT_TIMEOUT, DEFAULT_SCHEMA, DEFAULT_STATEMENT_TIMEOUT,
    Database,
};
pub(crate) use enqueue::{Enqueued, Wanted};
pub use executor::Executor;
pub(crate) use explain::{Ended, Place, ServingNodes, Standing};
pub(crate) use express::{BatchId, Contested, Foretold, Hold, Notes, is_behind_another};
pub(crate) use letters::DeadPart;
pub use letters::{DeadFilter, DeadGroup, DeadLetter};
pub(crate) use lifeline::{Lifeline, Renewal};
pub use limits::ReachedLimit;
pub use nodes::Fate;
pub(crate) use nodes::{Finding, NodeCard, RescuedJob, Troubled};
pub(crate) use notify::{Listener, Notice, Origin};
pub(crate) use ordering::{OrderingKey, TurnAfter};
pub(crate) use pack::Held;
pub(crate) use queues::Depth;
pub use queues::QueueInfo;
pub use read::{Arguments, JobFilter, JobInfo};
pub(crate) use registry::WorkerReport;
pub use registry::{CurrentAttempt, NodeInfo, WorkerInfo};
pub use sample::{PoolInfo, QueueDepth, Vitality};
pub(crate) use settings::{Change, Steer, Steering, Workers};
pub use settings::{QueueMode, Scope, Standstill};
pub(crate) use settle::Settlement;

use pool::{Lane, LanePool};
use session::Session;
use statement::Statement;

use crate::Error;
use crate::planted::sql;

/// Declares the statements: a field and a file for each verb.
macro_rules! statements {
    ($($verb:ident),+ $(,)?) => {
        /// The statements of the board, made for its schema.
        struct Statements { $($verb: Statement,)+ }

        impl Statements {
            fn new(schema: &str) -> Self {
                Self { $($verb: Statement::new(
                    &sql(stringify!($verb), include_str!(concat!("sql/", stringify!($verb), ".sql"))),
                    schema,
                ),)+ }
            }
        }
    };
}

statements!(
    backlog,
    breakers,
    cancel,
    charge,
    checkpoint,
    claim,
    claim_limited,
    complete,
    complete_many,
    condemn,
    count_limited,
    dead,
    dead_count,
    declare,
    delete,
    depth,
    disown,
    enqueue,
    enqueue_alike,
    enqueue_alike_claimed,
    enqueue_claimed,
    explain,
    finish,
    finished,
    force,
    forget,
    forget_keys,
    foretell,
    groups,
    hold,
    inspect,
    job,
    jobs,
    leave,
    limit,
    limits,
    next_due,
    nodes,
    probe,
    progress,
    promote,
    prove,
    queues,
    reached,
    recall,
    reclaim,
    register,
    renew,
    report,
    requeue,
    rescue,
    resume,
    sample,
    serve,
    settings,
    settle,
    spill,
    steer,
    suspects,
    sweep,
    trip,
    unblock,
    unlimit,
    verify,
    vitality,
    withdraw,
    workers,
);

/// How many connections the board's own work may use, besides those of its clients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lanes {
    /// One for each queue's fetcher.
    pub(crate) claim: usize,
    /// One for each batch that may be open in the express lane.
    pub(crate) express: usize,
    /// The ledger, the scheduler, and the client's turns of ordering keys.
    pub(crate) settle: usize,
}

impl Lanes {
    /// For a process without workers.
    pub(crate) const CLIENT_ONLY: Self = Self {
        claim: 1,
        express: 0,
        settle: 1,
    };
}

/// The board's tables. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Store(Arc<Inner>);

struct Inner {
    database: Database,
    claim: LanePool,
    express: LanePool,
    settle: LanePool,
    upkeep: LanePool,
    clients: LanePool,
    sql: Statements,
}

impl Store {
    /// A store over `database`; connects nothing yet.
    pub(crate) fn new(database: Database, lanes: Lanes) -> Result<Self, Error> {
        database.check()?;
        let clients = database.client_pool_size();
        Ok(Self(Arc::new(Inner {
            claim: LanePool::new(&database, Lane::Claim, lanes.claim)?,
            express: LanePool::new(&database, Lane::Express, lanes.express)?,
            settle: LanePool::new(&database, Lane::Settle, lanes.settle)?,
            upkeep: LanePool::new(&database, Lane::General, 1)?,
            clients: LanePool::new(&database, Lane::General, clients)?,
            sql: Statements::new(database.schema_name()),
            database,
        })))
    }

    /// Lets so many fetchers claim at once, one for each queue, and so many batches of the express lane be open.
    pub(crate) fn claim_for(&self, queues: usize, batches: usize) {
        self.0.claim.resize(queues);
        self.0.express.resize(batches);
    }

    pub(crate) fn database(&self) -> &Database {
        &self.0.database
    }

    fn sql(&self) -> &Statements {
        &self.0.sql
    }

    async fn upkeep(&self) -> Result<Session, Error> {
        self.0.upkeep.session().await
    }

    async fn clients(&self) -> Result<Session, Error> {
        self.0.clients.session().await
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.0.database).finish()
    }
}
