//! The PostgreSQL server that all share: one of our own, or the one that `DATABASE_URL` names.

use callboard::store::embedded::Embedded;
use tokio_postgres::{Client, NoTls};

use crate::Failed;

/// How a server of our own is started: durable, and roomy enough that no system waits for a checkpoint.
const SETTINGS: [(&str, &str); 9] = [
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("synchronous_commit", "on"),
    ("shared_buffers", "1GB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "30min"),
    ("autovacuum_naptime", "10s"),
    ("jit", "off"),
    ("max_connections", "300"),
];

/// A running server with a connection to make and drop databases.
pub(crate) struct Server {
    url: String,
    admin: Client,
    /// Stops the server of our own when it is dropped.
    embedded: Option<Embedded>,
}

impl Server {
    pub(crate) async fn start() -> Result<Self, Failed> {
        let (url, embedded) = match std::env::var("DATABASE_URL") {
            Ok(url) if !url.trim().is_empty() => (url.trim().to_owned(), None),
            _ => {
                let settings = SETTINGS.iter();
                let builder = settings.fold(Embedded::builder(), |builder, (name, value)| {
                    builder.setting(*name, *value)
                });
                let embedded = builder.start().await?;
                (embedded.url().to_owned(), Some(embedded))
            }
        };
        let (admin, connection) = tokio_postgres::connect(&url, NoTls)
            .await
            .map_err(|cause| format!("cannot connect to the server: {cause}"))?;
        tokio::spawn(connection);
        Ok(Self {
            url,
            admin,
            embedded,
        })
    }

    pub(crate) async fn stop(self) -> Result<(), Failed> {
        drop(self.admin);
        if let Some(embedded) = self.embedded {
            embedded.stop().await?;
        }
        Ok(())
    }

    /// Makes an empty database and returns its URL. What the last trial left to write is written first.
    pub(crate) async fn fresh(&self, name: &str) -> Result<String, Failed> {
        self.drop(name).await?;
        self.admin
            .batch_execute(&format!("create database {name}"))
            .await?;
        self.admin
            .batch_execute("checkpoint")
            .await
            .map_err(|cause| {
                format!("cannot force a checkpoint; a superuser is needed: {cause}")
            })?;
        with_database(&self.url, name)
    }

    pub(crate) async fn drop(&self, name: &str) -> Result<(), Failed> {
        let statement = format!("drop database if exists {name} with (force)");
        Ok(self.admin.batch_execute(&statement).await?)
    }

    /// The date, as the server has it.
    pub(crate) async fn date(&self) -> Result<String, Failed> {
        let query = "select to_char(now() at time zone 'UTC', 'YYYY-MM-DD')";
        Ok(self.admin.query_one(query, &[]).await?.get(0))
    }

    /// The version and the settings that decide.
    pub(crate) async fn conditions(&self) -> Result<String, Failed> {
        let mut said = format!("PostgreSQL {}", self.show("server_version").await?);
        for name in [
            "fsync",
            "synchronous_commit",
            "full_page_writes",
            "shared_buffers",
            "max_wal_size",
            "jit",
        ] {
            said.push_str(&format!(", {name}={}", self.show(name).await?));
        }
        Ok(said)
    }

    async fn show(&self, name: &str) -> Result<String, Failed> {
        let row = self.admin.query_one(&format!("show {name}"), &[]).await?;
        Ok(row.get(0))
    }
}

/// Statistics for the planner, as autovacuum would make them in time.
pub(crate) async fn analyze(url: &str) -> Result<(), Failed> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let connection = tokio::spawn(connection);
    client.batch_execute("analyze").await?;
    drop(client);
    Ok(connection.await??)
}

/// The same URL with another database.
fn with_database(url: &str, name: &str) -> Result<String, Failed> {
    let (base, query) = url
        .split_once('?')
        .map_or((url, None), |(base, query)| (base, Some(query)));
    let (scheme, rest) = base
        .split_once("://")
        .ok_or("DATABASE_URL is expected to be postgres://user:password@host:port/name")?;
    let place = rest.split_once('/').map_or(rest, |(place, _)| place);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    Ok(format!("{scheme}://{place}/{name}{query}"))
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn only_the_database_changes() {
        let changed = |url| with_database(url, "b").expect("a URL");
        assert_eq!(changed("postgres://u:p@h:1/a"), "postgres://u:p@h:1/b");
        assert_eq!(changed("postgres://h?x=1/2"), "postgres://h/b?x=1/2");
    }
}
