//! A database of its own for one measurement, with the board's tables, and a connection that watches it.

use callboard::{Call, Client};
use tokio_postgres::NoTls;

use crate::jobs::{self, Does};
use crate::support::{Failed, database};
use crate::usage::{Cost, Usage};

/// How many calls one bulk enqueue takes.
pub(crate) const BULK: usize = 5_000;

pub(crate) struct Place {
    server: String,
    pub(crate) url: String,
    watch: tokio_postgres::Client,
}

impl Place {
    /// Over a fresh database of this server.
    pub(crate) async fn take(server: &str) -> Result<Self, Failed> {
        let url = database::fresh(server).await?;
        // Its start makes the tables.
        jobs::board(&url)?.start().await?.shutdown().await?;
        let watch = connect(&url).await?;
        Ok(Self {
            server: server.to_owned(),
            url,
            watch,
        })
    }

    /// Removes it.
    pub(crate) async fn leave(self) -> Result<(), Failed> {
        let (_, name) = self
            .url
            .rsplit_once('/')
            .ok_or("the URL names a database")?;
        let drop = format!("drop database {name} with (force)");
        database::run(&self.server, &drop).await
    }

    /// A client of a process without workers.
    pub(crate) async fn client(&self) -> Result<Client, Failed> {
        Ok(Client::connect(callboard::Database::from_url(&self.url)?).await?)
    }

    /// Enqueues so many jobs that do this, dealt out to these queues.
    pub(crate) async fn fill(
        &self,
        jobs: usize,
        does: Does,
        queues: &[String],
    ) -> Result<(), Failed> {
        let client = self.client().await?;
        for some in bulks(jobs, does, queues) {
            client.enqueue_many(some).await?;
        }
        Ok(())
    }

    /// To fill it with jobs that appear all at once.
    pub(crate) async fn hopper(&self) -> Result<Hopper, Failed> {
        Ok(Hopper {
            connection: connect(&self.url).await?,
            client: self.client().await?,
        })
    }

    /// Runs statements.
    pub(crate) async fn run(&self, sql: &str) -> Result<(), Failed> {
        Ok(self.watch.batch_execute(sql).await?)
    }

    /// Keeps a snapshot of now open as long as the client is kept.
    pub(crate) async fn snapshot(&self) -> Result<tokio_postgres::Client, Failed> {
        let client = connect(&self.url).await?;
        let begin = "begin isolation level repeatable read; select count(*) from callboard.nodes";
        client.batch_execute(begin).await?;
        Ok(client)
    }

    /// Dead rows in the hot table.
    pub(crate) async fn dead_rows(&self) -> Result<f64, Failed> {
        let sql = "select n_dead_tup::float8 from pg_stat_user_tables \
                   where schemaname = 'callboard' and relname = 'jobs'";
        Ok(self.watch.query_one(sql, &[]).await?.get(0))
    }

    pub(crate) async fn usage(&self) -> Result<Usage, Failed> {
        Usage::now(&self.watch).await
    }

    pub(crate) async fn cost(&self, since: &Usage) -> Result<Cost, Failed> {
        since.since(&self.watch).await
    }
}

/// Jobs gather here unseen, in a transaction that stays open.
pub(crate) struct Hopper {
    connection: tokio_postgres::Client,
    client: Client,
}

impl Hopper {
    pub(crate) async fn fill(
        &self,
        jobs: usize,
        does: Does,
        queues: &[String],
    ) -> Result<(), Failed> {
        self.connection.batch_execute("begin").await?;
        for some in bulks(jobs, does, queues) {
            self.client.enqueue_many_in(&self.connection, some).await?;
        }
        Ok(())
    }

    /// Here they are.
    pub(crate) async fn empty(&self) -> Result<(), Failed> {
        Ok(self.connection.batch_execute("commit").await?)
    }
}

/// Calls for the queues in turns, in the numbers of a bulk enqueue.
fn bulks(
    jobs: usize,
    does: Does,
    queues: &[String],
) -> impl Iterator<Item = impl Iterator<Item = Call>> {
    (0..jobs).step_by(BULK).map(move |first| {
        let queue = move |job: usize| queues[job % queues.len()].clone();
        let call = move |job: usize| jobs::numbered(does, job).queue(queue(job));
        (first..jobs.min(first + BULK)).map(call)
    })
}

/// A connection of its own.
pub(crate) async fn connect(url: &str) -> Result<tokio_postgres::Client, Failed> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
