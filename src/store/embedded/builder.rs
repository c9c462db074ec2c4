//! What an embedded server is asked to be.
//!
//! Holds the options until `start` validates them once and hands them over as a plan.

use std::path::PathBuf;
use std::time::Duration;

use super::error::{EmbeddedError, Trouble};
use super::{Embedded, launch, settings};

/// How long a start may take unless told otherwise: crash recovery of a big log needs time.
const DEFAULT_START_TIMEOUT: Duration = Duration::from_secs(60);

const SHORTEST_START_TIMEOUT: Duration = Duration::from_secs(1);
const LONGEST_START_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// Options of an embedded server; made by [`Embedded::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing runs until `start` is awaited"]
pub struct EmbeddedBuilder {
    pub(super) data_dir: Option<PathBuf>,
    pub(super) bin_dir: Option<PathBuf>,
    pub(super) settings: Vec<(String, String)>,
    pub(super) start_timeout: Duration,
    pub(super) port: Option<u16>,
}

impl EmbeddedBuilder {
    pub(super) fn new() -> Self {
        Self {
            data_dir: None,
            bin_dir: None,
            settings: Vec::new(),
            start_timeout: DEFAULT_START_TIMEOUT,
            port: None,
        }
    }

    /// Keeps the data in this folder, which is created if absent and must else be empty or one made here before.
    ///
    /// Default: a temporary folder, removed when the server stops. A kept folder runs with PostgreSQL's durable defaults;
    /// a temporary one without `fsync` and `full_page_writes`. A server still running on the folder is taken for an
    /// orphan of a killed owner and stopped.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// Uses the `initdb` and `postgres` of this folder and looks nowhere else.
    ///
    /// Default: `CALLBOARD_PG_BIN`, else `PATH`, `pg_config --bindir` and the usual folders of Debian, Fedora, Homebrew
    /// and Postgres.app, the first of PostgreSQL 13 or newer.
    pub fn bin_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.bin_dir = Some(path.into());
        self
    }

    /// Adds a server setting, or overrides a default or an earlier one.
    ///
    /// Names that place or expose the server (`port`, `listen_addresses`, `data_directory`, …) are refused at `start`.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Limits the whole start, from taking the folder to the first accepted connection.
    ///
    /// Default 60 s, from 1 s to 24 h. Too small breaks the start of a folder that needs long crash recovery; too large
    /// only delays the error. Ending an orphaned server on the folder has limits of its own on top, 28 s at most.
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.start_timeout = limit;
        self
    }

    /// Prefers this loopback port; when it is taken, a warning is traced and a free one used.
    ///
    /// Default, and the meaning of 0: any free port.
    pub fn port(mut self, port: u16) -> Self {
        self.port = (port != 0).then_some(port);
        self
    }

    /// Starts the server and returns once it accepts connections.
    ///
    /// Dropping the future abandons the start: what was begun is stopped in the background.
    ///
    /// # Errors
    ///
    /// `is_config`, `is_no_binaries`, `is_in_use`, `is_folder_refused`, `is_timeout` or `is_unsupported` of
    /// [`EmbeddedError`]; other failures quote the server's log.
    pub async fn start(self) -> Result<Embedded, EmbeddedError> {
        self.validate()?;
        launch::start(self).await
    }

    fn validate(&self) -> Result<(), EmbeddedError> {
        for (name, value) in &self.settings {
            settings::validate(name, value)?;
        }
        if (SHORTEST_START_TIMEOUT..=LONGEST_START_TIMEOUT).contains(&self.start_timeout) {
            return Ok(());
        }
        let value = format!("{:?}", self.start_timeout);
        Err(Trouble::Config {
            option: "start_timeout",
            expected: "from 1 s to 24 h",
            value,
        }
        .into())
    }
}
