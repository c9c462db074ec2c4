//! `enqueue`: calls become rows, alone, in bulk, or inside a transaction of the caller's own.
//! `enqueue_claimed`: calls become rows that are a node's own from their birth.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Integer, Nullable, SmallInt, Text, Timestamptz,
};
use tokio_postgres::types::ToSql;

use super::call_row::{Alike, CallRow, Columns, common};
use super::ctid::{Ctid, Tid};
use super::executor::{Executor, OwnQuery};
use super::session::{End, Session};
use super::statement::{Bind, Statement, typed};
use super::{Statements, Store};
use crate::Error;
use crate::job::{JobId, NodeId, Repertoire};

const VERB: &str = "enqueue";

/// Which calls a node has asked for.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) node: NodeId,
    /// What it can run.
    pub(crate) kinds: Arc<Repertoire>,
    /// Each queue with such calls.
    pub(crate) queues: Vec<Arc<str>>,
    /// Of each call, whether it is one of them.
    pub(crate) calls: Vec<bool>,
}

/// A row that was inserted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Enqueued {
    pub(crate) id: JobId,
    /// If it was claimed by that.
    pub(crate) birth: Option<Birth>,
}

/// A row that was claimed as it was inserted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Birth {
    pub(crate) id: JobId,
    pub(crate) enqueued_at: DateTime<Utc>,
    pub(crate) ctid: Ctid,
}

/// Its id, whether it is claimed, when it was enqueued, and where its row is.
type Born = (i64, bool, DateTime<Utc>, Ctid);
type BornTypes = (BigInt, Bool, Timestamptz, Tid);
/// The same of many.
type Births = (Vec<i64>, Vec<bool>, Vec<DateTime<Utc>>, Vec<Ctid>);
type BirthTypes = (Array<BigInt>, Array<Bool>, Array<Timestamptz>, Array<Tid>);

fn enqueued((id, is_claimed, enqueued_at, ctid): Born) -> Enqueued {
    let id = JobId::from_i64(id);
    let birth = Birth {
        id,
        enqueued_at,
        ctid,
    };
    Enqueued {
        id,
        birth: is_claimed.then_some(birth),
    }
}

fn all_enqueued((ids, are_claimed, times, ctids): Births) -> impl Iterator<Item = Enqueued> {
    let rows = ids.into_iter().zip(are_claimed).zip(times).zip(ctids);
    rows.map(|(((id, is_claimed), at), ctid)| enqueued((id, is_claimed, at, ctid)))
}

/// What calls have in common that are alike, and their arguments, as values for diesel. A macro, as below.
macro_rules! alike_binds {
    ($alike:ident) => {
        [
            &typed::<Text, _>(&*$alike.first.queue) as &dyn Bind,
            &typed::<Text, _>(&*$alike.first.kind),
            &typed::<SmallInt, _>(&$alike.first.priority),
            &typed::<Nullable<SmallInt>, _>(&$alike.first.max_attempts),
            &typed::<Nullable<BigInt>, _>(&$alike.first.time_limit_ms),
            &typed::<Nullable<Text>, _>(&$alike.backoff),
            &typed::<Integer, _>(&$alike.first.version),
            &typed::<BigInt, _>(&$alike.fingerprint),
            &typed::<Nullable<Text>, _>(&$alike.first.limit_key),
            &typed::<Nullable<Text>, _>(&$alike.first.traceparent),
            &typed::<Array<Binary>, _>(&$alike.payloads),
        ]
    };
}

/// The same as values for tokio-postgres.
macro_rules! alike_values {
    ($alike:ident) => {
        [
            &$alike.first.queue as &(dyn ToSql + Sync),
            &$alike.first.kind,
            &$alike.first.priority,
            &$alike.first.max_attempts,
            &$alike.first.time_limit_ms,
            &$alike.backoff,
            &$alike.first.version,
            &$alike.fingerprint,
            &$alike.first.limit_key,
            &$alike.first.traceparent,
            &$alike.payloads,
        ]
    };
}

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
        insert(&mut session, self.sql(), rows).await
    }

    /// Inserts rows in one statement, all or nothing, and claims those that are wanted, unless somebody
    /// waits before them. Answers in their order.
    ///
    /// It is asked what is wanted when there is a connection: from then on an error may mean that all was
    /// done.
    pub(crate) async fn enqueue_claimed(
        &self,
        rows: &[CallRow],
        want: impl FnOnce() -> Option<Wanted> + Send,
    ) -> Result<Vec<Enqueued>, Error> {
        let mut session = self.clients().await?;
        let Some(wanted) = want() else {
            let ids = insert(&mut session, self.sql(), rows).await?;
            let enqueued = |id| Enqueued { id, birth: None };
            return Ok(ids.into_iter().map(enqueued).collect());
        };
        if let Some(alike) = Alike::of(rows) {
            return insert_alike_claimed(&mut session, self.sql(), &alike, &wanted).await;
        }
        let columns = Columns::of(rows);
        let queues: Vec<&str> = wanted.queues.iter().map(|queue| &**queue).collect();
        let are_wanted = common(wanted.calls.iter().copied());
        let node = wanted.node.as_i64();
        let of_calls = diesel_binds!(columns);
        let of_node: [&dyn Bind; 5] = [
            &typed::<Array<Bool>, _>(&are_wanted),
            &typed::<BigInt, _>(&node),
            &typed::<Array<Text>, _>(wanted.kinds.kinds()),
            &typed::<Array<Text>, _>(&queues),
            &typed::<Array<Integer>, _>(wanted.kinds.versions()),
        ];
        let binds = [&of_calls[..], &of_node[..]].concat();
        let statement = &self.sql().enqueue_claimed;
        let answers = session
            .fetch::<BirthTypes, Births>(VERB, statement, &binds)
            .await?;
        Ok(answers.into_iter().flat_map(all_enqueued).collect())
    }

    /// Begins a bulk enqueue: several statements in one transaction, all or nothing.
    pub(crate) async fn bulk(&self) -> Result<Bulk<'_>, Error> {
        let mut session = self.clients().await?;
        session.begin_with_next();
        Ok(Bulk {
            session,
            sql: self.sql(),
        })
    }

    /// Inserts rows on the caller's own connection, in whatever transaction is open there.
    pub(crate) async fn enqueue_on(
        &self,
        executor: impl Executor,
        rows: &[CallRow],
    ) -> Result<Vec<JobId>, Error> {
        let ids = if let Some(alike) = Alike::of(rows) {
            let query = OwnQuery {
                verb: VERB,
                statement: &self.sql().enqueue_alike,
                diesel: &alike_binds!(alike),
                raw: &alike_values!(alike),
            };
            executor.ids(query).await?
        } else {
            let columns = Columns::of(rows);
            let query = OwnQuery {
                verb: VERB,
                statement: &self.sql().enqueue,
                diesel: &diesel_binds!(columns),
                raw: &raw_values!(columns),
            };
            executor.ids(query).await?
        };
        Ok(ids.into_iter().map(JobId::from_i64).collect())
    }
}

/// A bulk enqueue that is under way. Dropped, it rolls back.
pub(crate) struct Bulk<'a> {
    session: Session,
    sql: &'a Statements,
}

impl Bulk<'_> {
    pub(crate) async fn insert(&mut self, rows: &[CallRow]) -> Result<Vec<JobId>, Error> {
        insert(&mut self.session, self.sql, rows).await
    }

    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        self.session.end(End::Commit).await
    }
}

async fn insert(
    session: &mut Session,
    sql: &Statements,
    rows: &[CallRow],
) -> Result<Vec<JobId>, Error> {
    if let Some(alike) = Alike::of(rows) {
        return fetch_ids(session, &sql.enqueue_alike, &alike_binds!(alike)).await;
    }
    let columns = Columns::of(rows);
    fetch_ids(session, &sql.enqueue, &diesel_binds!(columns)).await
}

async fn fetch_ids(
    session: &mut Session,
    statement: &Statement,
    binds: &[&dyn Bind],
) -> Result<Vec<JobId>, Error> {
    let ids = session
        .fetch::<Array<BigInt>, Vec<i64>>(VERB, statement, binds)
        .await?;
    Ok(ids.into_iter().flatten().map(JobId::from_i64).collect())
}

/// Inserts calls that are alike, and claims as many of them as are wanted.
async fn insert_alike_claimed(
    session: &mut Session,
    sql: &Statements,
    alike: &Alike<'_>,
    wanted: &Wanted,
) -> Result<Vec<Enqueued>, Error> {
    // Whichever were chosen, the first are as good.
    let count = wanted.calls.iter().filter(|is_wanted| **is_wanted).count() as i64;
    let node = wanted.node.as_i64();
    let of_calls = alike_binds!(alike);
    let of_node: [&dyn Bind; 4] = [
        &typed::<BigInt, _>(&node),
        &typed::<Array<Text>, _>(wanted.kinds.kinds()),
        &typed::<Array<Integer>, _>(wanted.kinds.versions()),
        &typed::<BigInt, _>(&count),
    ];
    let binds = [&of_calls[..], &of_node[..]].concat();
    let born = session
        .fetch::<BornTypes, Born>(VERB, &sql.enqueue_alike_claimed, &binds)
        .await?;
    Ok(born.into_iter().map(enqueued).collect())
}
