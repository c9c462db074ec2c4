//! What can go wrong with an embedded server.
//!
//! One opaque error outside, one enum inside. Messages say what was attempted, with which value, and what to do; none
//! contains the password.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why an embedded server could not be started or stopped.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct EmbeddedError(Box<Trouble>);

impl EmbeddedError {
    /// Whether an option of the builder is out of range or reserved.
    pub fn is_config(&self) -> bool {
        matches!(*self.0, Trouble::Config { .. })
    }

    /// Whether no usable PostgreSQL was found on this machine.
    pub fn is_no_binaries(&self) -> bool {
        matches!(*self.0, Trouble::NoBinaries { .. })
    }

    /// Whether the folder is held by another owner or a server that would not stop.
    pub fn is_in_use(&self) -> bool {
        matches!(
            *self.0,
            Trouble::InUse { .. } | Trouble::StillRunning { .. }
        )
    }

    /// Whether the folder is not one this server can run on: foreign, of another version, owner or out of reach.
    pub fn is_folder_refused(&self) -> bool {
        use Trouble::{Foreign, NoPassword, OtherOwner, Unreachable, WrongVersion};
        matches!(
            *self.0,
            Foreign { .. }
                | WrongVersion { .. }
                | OtherOwner { .. }
                | Unreachable { .. }
                | NoPassword { .. }
        )
    }

    /// Whether the start took longer than its limit.
    pub fn is_timeout(&self) -> bool {
        matches!(*self.0, Trouble::TimedOut { .. })
    }

    /// Whether this operating system cannot run an embedded server.
    pub fn is_unsupported(&self) -> bool {
        matches!(*self.0, Trouble::Unsupported)
    }
}

impl From<Trouble> for EmbeddedError {
    fn from(trouble: Trouble) -> Self {
        Self(Box::new(trouble))
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[cfg_attr(unix, expect(dead_code, reason = "made only where there is no Unix"))]
    #[error(
        "an embedded PostgreSQL needs Linux or macOS, not {}; set DATABASE_URL to a running server",
        std::env::consts::OS
    )]
    Unsupported,

    #[error("embedded server option `{option}` must be {expected}, got {value:?}")]
    Config {
        option: &'static str,
        expected: &'static str,
        value: String,
    },

    #[error(
        "found no usable PostgreSQL (version {} or newer, with `initdb` and `postgres`); looked at:{}\n\
         install it with `{install}`, or set CALLBOARD_PG_BIN to the folder of its binaries, or DATABASE_URL to a running server",
        super::settings::OLDEST_MAJOR,
        lines(looked)
    )]
    NoBinaries {
        looked: Vec<String>,
        install: String,
    },

    #[error("{} is in use by {holder}; stop that one first or give another folder", folder.display())]
    InUse { folder: PathBuf, holder: String },

    #[error(
        "processes of an earlier server on {0} did not end within {limit:?}; find them with `fuser {0}/server.lock` (or `lsof`), \
         end them and start again", folder.display()
    )]
    StillRunning { folder: PathBuf, limit: Duration },

    #[error("refused to use {} as data folder: {found}; give an empty or new folder", folder.display())]
    Foreign { folder: PathBuf, found: String },

    #[error(
        "{} holds data of PostgreSQL {found}, but the binaries in {} are version {major}; point CALLBOARD_PG_BIN or `bin_dir` \
         to binaries of version {found}, upgrade the data with pg_upgrade, or give another folder", data.display(), bin.display()
    )]
    WrongVersion {
        data: PathBuf,
        found: String,
        bin: PathBuf,
        major: u32,
    },

    #[error("{} belongs to user id {owner}, but this process runs as {uid}; run as its owner or give another folder", data.display())]
    OtherOwner { data: PathBuf, owner: u32, uid: u32 },

    #[error(
        "PostgreSQL must not run as root, so it runs as `{user}`, who cannot enter {}; give a folder that all may enter (such as \
         one in /var/lib), `chmod o+x {0}`, or run this program as another user", blocker.display()
    )]
    Unreachable { blocker: PathBuf, user: String },

    #[error("{} has lost or damaged its password file; restore it, or move the folder aside to begin anew", file.display())]
    NoPassword { file: PathBuf },

    #[error("{doing} failed ({how}); its last words:{}", lines(log))]
    Failed {
        doing: String,
        how: String,
        log: Vec<String>,
    },

    #[error(
        "{doing} took longer than {limit:?}; raise `start_timeout` if that is too short. Last words:{}",
        lines(log)
    )]
    TimedOut {
        doing: String,
        limit: Duration,
        log: Vec<String>,
    },

    #[error("starting the embedded server was abandoned by its caller")]
    Abandoned,

    #[error("could not {doing}")]
    Io { doing: String, source: io::Error },
}

/// Says what was being done when an `io::Error` came up.
pub(super) trait Doing<T> {
    /// `doing` completes the sentence "could not …".
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, EmbeddedError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, EmbeddedError> {
        self.map_err(|source| {
            Trouble::Io {
                doing: doing(),
                source,
            }
            .into()
        })
    }
}

fn lines(lines: &[String]) -> String {
    if lines.is_empty() {
        return "\n  (nothing)".to_owned();
    }
    lines.iter().map(|line| format!("\n  {line}")).collect()
}
