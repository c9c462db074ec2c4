//! A database of a test's own: [`ThrowawayDatabase`].

use std::fmt;
use std::sync::Arc;

use super::server::{Contents, Server};
use crate::Error;
use crate::store::Database;

/// A database of a test's own, gone when it is dropped.
///
/// Made on one embedded PostgreSQL server, which the test process starts when it first needs one and
/// which ends with it, or on a server that you name. The board's schema is in it already, copied from
/// a template: that takes some tens of milliseconds, the first one about two seconds. A test runner
/// that gives every test a process of its own pays the two seconds for each; there, name a server with
/// [`create_at`](Self::create_at).
///
/// # Examples
///
/// Your own tables first, then a board over it:
///
/// ```no_run
/// use callboard::testing::{TestBoard, ThrowawayDatabase};
/// use diesel_async::SimpleAsyncConnection;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let database = ThrowawayDatabase::create().await?;
/// let mut connection = database.database().connect().await?;
/// connection.batch_execute("create table accounts (id bigint primary key)").await?;
/// let board = TestBoard::on(database, |board| board).await;
/// # Ok(())
/// # }
/// ```
pub struct ThrowawayDatabase {
    server: Arc<Server>,
    name: String,
    url: String,
    database: Database,
    is_kept: bool,
}

impl ThrowawayDatabase {
    /// A migrated database on the embedded server of this process.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] when the server does not start; the text says what to install.
    pub async fn create() -> Result<Self, Error> {
        Self::on_server(Server::shared().await?, Contents::Migrated).await
    }

    /// A database on the embedded server without the board's schema.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub async fn create_empty() -> Result<Self, Error> {
        Self::on_server(Server::shared().await?, Contents::Empty).await
    }

    /// A migrated database on the server at `url`, whose user may create databases. It takes one
    /// more database there as a template, which stays.
    ///
    /// # Errors
    ///
    /// [`Error::is_config`], [`Error::is_unreachable`] and [`Error::is_database`].
    pub async fn create_at(url: &str) -> Result<Self, Error> {
        Self::on_server(Arc::new(Server::at(url)?), Contents::Migrated).await
    }

    async fn on_server(server: Arc<Server>, contents: Contents) -> Result<Self, Error> {
        let name = server.create(contents).await?;
        let url = server.url_of(&name);
        Ok(Self {
            database: Database::from_url(&url)?,
            server,
            name,
            url,
            is_kept: false,
        })
    }

    /// The database, to build a board or a client over it.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Its URL, for other processes and other libraries; it holds the password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Leaves the database where it is, for somebody to look at; on the embedded server as long as
    /// this process runs. Returns its URL.
    #[must_use]
    pub fn keep(mut self) -> String {
        self.is_kept = true;
        self.url.clone()
    }

    /// Drops the database now, whoever is connected to it.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`].
    pub async fn discard(mut self) -> Result<(), Error> {
        self.is_kept = true;
        self.server.drop_database(&self.name).await
    }
}

impl Drop for ThrowawayDatabase {
    /// Blocks for some ten milliseconds, also in an async test and after a panic.
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        // A thread, because a runtime may be blocked, paused or about to end here.
        let (server, name) = (Arc::clone(&self.server), self.name.clone());
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            match runtime {
                Ok(runtime) => runtime.block_on(server.drop_database(&name)),
                Err(cause) => Err(Error::start("cannot start a runtime").because(cause)),
            }
        });
        match dropping.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a throwaway database is left behind"),
            Err(_) => tracing::warn!("a throwaway database is left behind"),
        }
    }
}

impl fmt::Debug for ThrowawayDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThrowawayDatabase")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
