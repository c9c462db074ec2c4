//! A PostgreSQL server of the application's own, for development, tests and small installations.
//!
//! Runs the `postgres` found on the machine as a child process, in a throwaway folder or in one that is kept. Nothing is
//! downloaded. The rest of the crate knows only [`Embedded::url`].
//!
//! Invariants: a folder has one owner at a time, proven by a file lock and never by a process id; a temporary server ends
//! with its owner's process, however that ends; one on a kept folder outlives an owner that ends without dropping it
//! (killed, `exit`, kept in a static) until the next start on that folder; every wait has a limit.

#![cfg_attr(
    not(unix),
    allow(dead_code, reason = "where nothing starts, little is used")
)]

mod address;
mod builder;
mod error;
mod settings;

#[cfg(unix)]
mod binaries;
#[cfg(unix)]
mod child;
#[cfg(unix)]
mod cluster;
#[cfg(unix)]
mod deadline;
#[cfg(unix)]
mod folder;
#[cfg(unix)]
mod guard;
#[cfg(unix)]
mod install;
#[cfg(unix)]
mod launch;
#[cfg(unix)]
mod lock;
#[cfg(unix)]
mod log;
#[cfg(unix)]
mod orphan;
#[cfg(unix)]
mod run_as;
#[cfg(unix)]
mod server;
#[cfg(unix)]
mod temporary;

#[cfg(not(unix))]
#[path = "unsupported.rs"]
mod launch;

use std::fmt;

pub use builder::EmbeddedBuilder;
pub use error::EmbeddedError;

use address::Address;
use launch::Server;

/// A running PostgreSQL server that belongs to this process.
///
/// It stops when dropped or by [`stop`](Self::stop); a temporary folder goes with it. Dropping blocks the thread until
/// the server is gone: usually some 50 ms, at most 28 s.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use callboard::store::embedded::Embedded;
///
/// let server = Embedded::builder().start().await?;
/// println!("psql {}", server.url());
/// server.stop().await?;
/// # Ok(())
/// # }
/// ```
pub struct Embedded {
    address: Address,
    url: String,
    server: Server,
}

impl Embedded {
    /// Describes a server to start: temporary unless [`EmbeddedBuilder::data_dir`] is given.
    pub fn builder() -> EmbeddedBuilder {
        EmbeddedBuilder::new()
    }

    /// The URL of the maintenance database `postgres`. It contains the password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL of the database `name` on this server, whether or not it exists. It contains the password.
    pub fn url_for(&self, name: &str) -> String {
        self.address.url(name)
    }

    /// The loopback port the server listens on.
    pub fn port(&self) -> u16 {
        self.address.port
    }

    /// The id of the server's main process.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// The folder that holds the server's data, log and locks.
    pub fn folder(&self) -> &std::path::Path {
        self.server.folder()
    }

    /// Stops the server and removes a temporary folder, without blocking the runtime.
    ///
    /// Asks for a fast shutdown (10 s), then an immediate one (6 s), then kills (2 s).
    ///
    /// # Errors
    ///
    /// When the server outlives all three, or a temporary folder cannot be removed.
    pub async fn stop(self) -> Result<(), EmbeddedError> {
        launch::stop(self.server).await
    }

    fn new(address: Address, server: Server) -> Self {
        let url = address.url("postgres");
        Self {
            address,
            url,
            server,
        }
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded")
            .field("address", &self.address)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}
