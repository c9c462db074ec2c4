//! `enqueue`: calls become rows, alone, in bulk, or inside a transaction of the caller's own.
//! `enqueue_claimed`: calls become rows that are a node's own from their birth.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Integer, Nullable, SmallInt, Text, Timestamptz,
};

use super::call_row::{Alike, CallRow, Columns, common};
use super::ctid::{Ctid, Tid};
use super::executor::{Executor, OwnQuery, for_diesel, for_tokio_postgres};
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

/// What calls have in common that are alike, and their arguments. A macro, because the values borrow from one another.
macro_rules! alike_values {
    ($form:ident, $alike:ident) => {
        $form! {
            Text, TEXT: &$alike.first.queue;
            Text, TEXT: &$alike.first.kind;
            SmallInt, INT2: &$alike.first.priority;
            Nullable<SmallInt>, INT2: &$alike.first.max_attempts;
            Nullable<BigInt>, INT8: &$alike.first.time_limit_ms;
            Nullable<Text>, TEXT: &$alike.backoff;
            Integer, INT4: &$alike.first.version;
            BigInt, INT8: &$alike.fingerprint;
            Nullable<Text>, TEXT: &$alike.first.limit_key;
            Nullable<Text>, TEXT: &$alike.first.traceparent;
            Array<Binary>, BYTEA_ARRAY: &$alike.payloads;
        }
    };
}

/// Calls by column.
macro_rules! column_values {
    ($form:ident, $columns:ident) => {
        $form! {
            Array<Text>, TEXT_ARRAY: &$columns.queues;
            Array<Text>, TEXT_ARRAY: &$columns.kinds;
            Array<SmallInt>, INT2_ARRAY: &$columns.priorities;
            Array<Nullable<SmallInt>>, INT2_ARRAY: &$columns.max_attempts;
            Array<Nullable<BigInt>>, INT8_ARRAY: &$columns.time_limits_ms;
            Array<Nullable<Text>>, TEXT_ARRAY: &$columns.backoffs;
            Array<Integer>, INT4_ARRAY: &$columns.versions;
            Array<BigInt>, INT8_ARRAY: &$columns.fingerprints;
            Array<Nullable<BigInt>>, INT8_ARRAY: &$columns.after_ms;
            Array<Nullable<BigInt>>, INT8_ARRAY: &$columns.at_us;
            Array<Binary>, BYTEA_ARRAY: &$columns.payloads;
            Array<Nullable<Text>>, TEXT_ARRAY: &$columns.ordering_keys;
            Array<Bool>, BOOL_ARRAY: &$columns.repeated;
            Array<Nullable<Text>>, TEXT_ARRAY: &$columns.limit_keys;
            Array<Nullable<Text>>, TEXT_ARRAY: &$columns.traceparents;
        }
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
        let of_calls = column_values!(for_diesel, columns);
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
                diesel: &alike_values!(for_diesel, alike),
                raw: &alike_values!(for_tokio_postgres, alike),
            };
            executor.ids(query).await?
        } else {
            let columns = Columns::of(rows);
            let query = OwnQuery {
                verb: VERB,
                statement: &self.sql().enqueue,
                diesel: &column_values!(for_diesel, columns),
                raw: &column_values!(for_tokio_postgres, columns),
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
        return fetch_ids(
            session,
            &sql.enqueue_alike,
            &alike_values!(for_diesel, alike),
        )
        .await;
    }
    let columns = Columns::of(rows);
    fetch_ids(session, &sql.enqueue, &column_values!(for_diesel, columns)).await
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
    let of_calls = alike_values!(for_diesel, alike);
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
