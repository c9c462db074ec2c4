//! Which database, how it is reached, and under which schema the board lives there.

use std::env::VarError;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use futures_util::future::BoxFuture;
use tokio_postgres::NoTls;

use super::embedded::Embedded;
use crate::{BoxError, Error};

/// The schema of the board's tables unless configured.
pub const DEFAULT_SCHEMA: &str = "callboard";
/// How long a connection may take to be made, unless configured.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a statement of the board may take, unless configured.
pub const DEFAULT_STATEMENT_TIMEOUT: Duration = Duration::from_secs(15);
/// How many connections clients share for enqueues and questions, unless configured.
pub const DEFAULT_CLIENT_CONNECTIONS: usize = 4;

/// The most connections that clients may share.
const MAX_CLIENT_CONNECTIONS: usize = 10_000;
/// The longest of either time-out.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

type Connector =
    Arc<dyn Fn() -> BoxFuture<'static, Result<AsyncPgConnection, BoxError>> + Send + Sync>;

/// A PostgreSQL database (13 or later), and how the board uses it.
///
/// Cheap to clone. Nothing is connected before a [`Board`](crate::Board) starts or a
/// [`Client`](crate::Client) connects, except that [`embedded`](Self::embedded) starts its server.
///
/// The board needs direct connections: a pooler in transaction mode breaks its session locks,
/// notifications and prepared statements.
#[derive(Clone)]
pub struct Database {
    config: tokio_postgres::Config,
    connector: Option<Connector>,
    schema: String,
    connect_timeout: Duration,
    statement_timeout: Duration,
    client_connections: usize,
    /// Keeps the server alive as long as anybody may connect to it.
    embedded: Option<Arc<Embedded>>,
}

impl Database {
    /// The database at `url`: `postgres://user:password@host:port/name` or `host=… user=…`.
    ///
    /// Connections are made without TLS; see [`connect_with`](Self::connect_with) for that.
    ///
    /// # Errors
    ///
    /// [`Error::is_config`] when the URL cannot be read, or names no host. Nothing is connected yet.
    pub fn from_url(url: &str) -> Result<Self, Error> {
        let config = url.parse::<tokio_postgres::Config>().map_err(|cause| {
            // The URL may hold a password, so it is not repeated.
            Error::config(
                "the database URL cannot be read; expected postgres://user:password@host:port/name",
            )
            .because(cause)
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(Error::config(
                "the database URL names no host; expected postgres://user:password@host:port/name",
            ));
        }
        Ok(Self {
            config,
            connector: None,
            schema: DEFAULT_SCHEMA.to_owned(),
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            statement_timeout: DEFAULT_STATEMENT_TIMEOUT,
            client_connections: DEFAULT_CLIENT_CONNECTIONS,
            embedded: None,
        })
    }

    /// A private PostgreSQL in a temporary folder, started from the binaries on this machine and
    /// gone with the last clone of this value. For trying things out and for tests: it trades
    /// durability against a crash of the machine for speed.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] when there are no binaries (the text names the command that
    /// installs them) or the server does not start.
    pub async fn embedded() -> Result<Self, Error> {
        Self::start_embedded(Embedded::builder()).await
    }

    /// A private PostgreSQL that keeps its data in `folder`, durable as any other.
    ///
    /// # Errors
    ///
    /// As [`embedded`](Self::embedded), and when another process uses the folder or it holds
    /// something else.
    pub async fn embedded_in(folder: impl AsRef<Path>) -> Result<Self, Error> {
        Self::start_embedded(Embedded::builder().data_dir(folder.as_ref())).await
    }

    async fn start_embedded(builder: super::embedded::EmbeddedBuilder) -> Result<Self, Error> {
        let refused = |cause| Error::connect("cannot start an embedded PostgreSQL").because(cause);
        let server = builder.start().await.map_err(refused)?;
        let mut database = Self::from_url(server.url())?;
        database.embedded = Some(Arc::new(server));
        Ok(database)
    }

    /// The database that the environment variable `DATABASE_URL` names, or an
    /// [embedded](Self::embedded) one if it is not set or empty.
    ///
    /// # Errors
    ///
    /// As [`from_url`](Self::from_url) and [`embedded`](Self::embedded).
    pub async fn from_env_or_embedded() -> Result<Self, Error> {
        let refused = |why: BoxError| {
            Error::config("cannot use the environment variable DATABASE_URL").because(why)
        };
        match std::env::var("DATABASE_URL") {
            Ok(url) if !url.trim().is_empty() => {
                Self::from_url(url.trim()).map_err(|why| refused(why.into()))
            }
            Err(VarError::NotUnicode(_)) => Err(refused("it is not Unicode".into())),
            _ => Self::embedded().await,
        }
    }

    /// Puts the board's tables into this schema (default [`DEFAULT_SCHEMA`]): lower-case letters,
    /// digits and underscores, not beginning with a digit, at most 63 bytes. Boards with different
    /// schemas share nothing. Checked when the board starts.
    #[must_use]
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// Lets a connection take this long to be made (default [`DEFAULT_CONNECT_TIMEOUT`], 100 ms to a day).
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Lets a statement of the board take this long (default [`DEFAULT_STATEMENT_TIMEOUT`], 100 ms to a
    /// day). The server is told too. Too short and bulk enqueues are refused; too long and a dead network
    /// is noticed late.
    #[must_use]
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// Lets enqueues and questions of one board or client use this many connections (default
    /// [`DEFAULT_CLIENT_CONNECTIONS`], 1 to 10,000). The board's own work does not wait for them: it adds
    /// one connection a queue and five more. Too few, and enqueues wait for one another; too many, and the
    /// server, which has 100 for everybody by default, refuses some.
    #[must_use]
    pub fn client_connections(mut self, connections: usize) -> Self {
        self.client_connections = connections;
        self
    }

    /// Makes connections with `connect`, for TLS or other needs of your own. Build them with
    /// `AsyncPgConnection::try_from_client_and_connection`, so that notifications get through.
    #[must_use]
    pub fn connect_with<F, Fut>(mut self, connect: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<AsyncPgConnection, BoxError>> + Send + 'static,
    {
        self.connector = Some(Arc::new(move || Box::pin(connect())));
        self
    }

    /// The URL of an embedded server, for other programs on this machine; it holds the password.
    #[must_use]
    pub fn embedded_url(&self) -> Option<&str> {
        self.embedded.as_deref().map(Embedded::url)
    }

    /// The same database, for somebody who must not keep an embedded server alive.
    pub(crate) fn unowned(&self) -> Self {
        Self {
            embedded: None,
            ..self.clone()
        }
    }

    pub(crate) fn schema_name(&self) -> &str {
        &self.schema
    }

    pub(crate) fn client_pool_size(&self) -> usize {
        self.client_connections
    }

    pub(crate) fn statement_limit(&self) -> Duration {
        self.statement_timeout
    }

    pub(crate) fn connect_limit(&self) -> Duration {
        self.connect_timeout
    }

    /// Where it is, without secrets: `host:port/name`.
    pub(crate) fn place(&self) -> String {
        use tokio_postgres::config::Host;
        if self.connector.is_some() {
            return "the application's connector".to_owned();
        }
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            #[cfg(unix)]
            Some(Host::Unix(path)) => path.display().to_string(),
            None => "localhost".to_owned(),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        format!(
            "{host}:{port}/{}",
            self.config.get_dbname().unwrap_or_default()
        )
    }

    /// Checks the options that the type system does not.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let identifier = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let is_identifier = !self.schema.is_empty()
            && self.schema.len() <= 63
            && self.schema.chars().all(identifier)
            && !self.schema.starts_with(|c: char| c.is_ascii_digit());
        let refuse = |text: String| Err(Error::config(text));
        if !is_identifier || self.schema.starts_with("pg_") {
            return refuse(format!(
                "Database::schema is {:?}; expected lower-case letters, digits and underscores, not \
                 beginning with a digit or pg_, at most 63 bytes",
                self.schema
            ));
        }
        if !(1..=MAX_CLIENT_CONNECTIONS).contains(&self.client_connections) {
            return refuse(format!(
                "Database::client_connections is {}; expected 1 to {MAX_CLIENT_CONNECTIONS}",
                self.client_connections
            ));
        }
        for (name, value) in [
            ("connect_timeout", self.connect_timeout),
            ("statement_timeout", self.statement_timeout),
        ] {
            if value < Duration::from_millis(100) || value > LONGEST_TIMEOUT {
                return refuse(format!(
                    "Database::{name} is {value:?}; expected 100ms to a day"
                ));
            }
        }
        Ok(())
    }

    /// A fresh connection of your own to the same database, made as the board makes its own: for
    /// the tables of the application, for [`Client::enqueue_in`](crate::Client::enqueue_in).
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] names host, port and cause.
    pub async fn connect(&self) -> Result<AsyncPgConnection, Error> {
        let failed = || Error::connect(format!("cannot connect to PostgreSQL at {}", self.place()));
        let connecting = async {
            match &self.connector {
                Some(connect) => connect().await,
                None => self.connect_plainly().await,
            }
        };
        match tokio::time::timeout(self.connect_timeout, connecting).await {
            Ok(connected) => connected.map_err(|cause| failed().because(cause)),
            Err(_) => Err(failed().because(format!("no answer within {:?}", self.connect_timeout))),
        }
    }

    async fn connect_plainly(&self) -> Result<AsyncPgConnection, BoxError> {
        let mut config = self.config.clone();
        config.connect_timeout(self.connect_timeout);
        config.keepalives_idle(Duration::from_secs(10));
        // A peer that vanished without a word is noticed by the kernel, not only by our time-outs.
        config.tcp_user_timeout(self.statement_timeout * 2);
        if config.get_application_name().is_none() {
            config.application_name("callboard");
        }
        let (client, connection) = config.connect(NoTls).await?;
        Ok(AsyncPgConnection::try_from_client_and_connection(client, connection).await?)
    }
}

impl fmt::Debug for Database {
    // Never the configuration itself: it holds the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("place", &self.place())
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}
