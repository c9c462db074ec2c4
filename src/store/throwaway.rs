//! What tests do to databases and not to jobs: make them, throw them away, move time. Only with the
//! feature `testing`.

use std::time::Duration;

use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_async::SimpleAsyncConnection;

use super::nodes::millis;
use super::statement::{Bind, Statement, typed};
use super::{Database, Lanes, Store};
use crate::Error;

/// The days for which a template has partitions of the history.
const DAYS_AHEAD: u32 = 3;

impl Database {
    /// Makes `template` a migrated database, unless it is one. It is made as `unique`, which `made`
    /// leads to, so that one left half-made by a killed process is never taken for it.
    pub(crate) async fn make_template(
        &self,
        template: &str,
        (unique, made): (&str, &Self),
    ) -> Result<(), Error> {
        let exists = "select from pg_database where datname = $1";
        if self.count(exists, template).await? > 0 {
            return Ok(());
        }
        self.create_database(unique, None).await?;
        made.migrate().await?;
        let store = Store::new(made.clone(), Lanes::CLIENT_ONLY)?;
        store.prepare_history(DAYS_AHEAD).await?;
        drop(store);
        self.disconnect(unique).await?;
        match self
            .run(&format!("alter database {unique} rename to {template}"))
            .await
        {
            // Somebody else was quicker.
            Err(_) if self.count(exists, template).await? > 0 => self.drop_database(unique).await,
            renamed => renamed,
        }
    }

    /// Creates a database, as a copy of a template or as an empty one.
    pub(crate) async fn create_database(
        &self,
        name: &str,
        template: Option<&str>,
    ) -> Result<(), Error> {
        let Some(template) = template else {
            return self.run(&format!("create database {name}")).await;
        };
        self.disconnect(template).await?;
        self.run(&format!("create database {name} template {template}"))
            .await
    }

    /// Drops a database, whoever is connected to it.
    pub(crate) async fn drop_database(&self, name: &str) -> Result<(), Error> {
        self.run(&format!("drop database if exists {name} with (force)"))
            .await
    }

    /// A template must have no connections when it is copied or renamed; ours may still be closing.
    async fn disconnect(&self, name: &str) -> Result<(), Error> {
        let disconnect =
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
        self.count(disconnect, name).await.map(drop)
    }

    async fn run(&self, sql: &str) -> Result<(), Error> {
        let mut connection = self.connect().await?;
        let ran = connection.batch_execute(sql).await;
        ran.map_err(|cause| Error::database(format!("cannot run {sql:?}")).because(cause))
    }

    /// How many rows a question about one name has.
    async fn count(&self, sql: &str, name: &str) -> Result<usize, Error> {
        use diesel_async::RunQueryDsl as _;
        let mut connection = self.connect().await?;
        let counted = diesel::sql_query(sql).bind::<Text, _>(name);
        let counted = counted.execute(&mut connection).await;
        counted.map_err(|cause| Error::database(format!("cannot run {sql:?}")).because(cause))
    }
}

impl Store {
    /// How many jobs of a queue, or of all, could run now or do.
    pub(crate) async fn count_due(&self, queue: Option<&str>) -> Result<u64, Error> {
        // A job behind one that waits for its time waits for it too.
        let sql = "select count(*) from callboard.jobs j where ($1::text is null or queue = $1) and \
                   (state in ('available', 'executing') or due_at <= clock_timestamp()) and \
                   not exists (select from callboard.jobs e where e.queue = j.queue and \
                       e.ordering_key = j.ordering_key and e.id < j.id and e.due_at > clock_timestamp())";
        let statement = Statement::new(sql, self.database().schema_name());
        let binds: [&dyn Bind; 1] = [&typed::<Nullable<Text>, _>(&queue)];
        let mut session = self.clients().await?;
        let counts = session.fetch::<BigInt, i64>("count due jobs", &statement, &binds);
        Ok(counts
            .await?
            .first()
            .copied()
            .unwrap_or_default()
            .unsigned_abs())
    }

    /// Brings every waiting job's time nearer.
    pub(crate) async fn advance(&self, by: Duration) -> Result<usize, Error> {
        let sql = "update callboard.jobs set due_at = due_at - $1 * interval '1 millisecond' \
                   where state in ('scheduled', 'retryable')";
        let statement = Statement::new(sql, self.database().schema_name());
        let by_ms = millis(by);
        let binds: [&dyn Bind; 1] = [&typed::<BigInt, _>(&by_ms)];
        let mut session = self.clients().await?;
        session.change("advance the time", &statement, &binds).await
    }
}
