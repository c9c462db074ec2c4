//! Whether a build can read the jobs that are on the board, before it is deployed.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Handler, Registry};
use crate::job::{JobId, Kind, Stored};
use crate::{Client, Error};

/// How many reasons are told apart; texts of the user's own may differ for each job.
const MAX_REASONS: usize = 100;

/// What handlers can read of the unfinished jobs on a board; see [`Client::verify`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Verified {
    /// How many jobs can be read.
    pub readable: u64,
    /// Those that could not be read, by kind, version of their arguments and reason. Run by these handlers they
    /// would be buried, but for arguments of a newer version than any that they read: those wait for a node that
    /// reads them.
    pub unreadable: Vec<Unreadable>,
    /// How many jobs are of kinds that none of the handlers runs, by kind. They wait for a node that does.
    pub unknown: BTreeMap<String, u64>,
}

/// Jobs that a build cannot read, all for the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unreadable {
    /// Their kind.
    pub kind: String,
    /// The version of their arguments.
    pub version: i32,
    /// Why they cannot be read.
    pub why: String,
    /// How many.
    pub jobs: u64,
    /// The oldest of them.
    pub oldest: JobId,
}

impl Verified {
    /// Whether every job of a known kind can be read.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.unreadable.is_empty()
    }

    fn add(&mut self, kind: &str, version: i32, job: JobId, mut why: String) {
        let is_known = self.unreadable.iter().any(|known| known.why == why);
        if !is_known && self.unreadable.len() >= MAX_REASONS {
            why = "for other reasons".to_owned();
        }
        let is_same = |known: &&mut Unreadable| {
            known.kind == kind && known.version == version && known.why == why
        };
        match self.unreadable.iter_mut().find(is_same) {
            Some(known) => known.jobs += 1,
            None => self.unreadable.push(Unreadable {
                kind: kind.to_owned(),
                version,
                why,
                jobs: 1,
                oldest: job,
            }),
        }
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} jobs can be read", self.readable)?;
        for (kind, jobs) in &self.unknown {
            write!(f, "; {jobs} of the unknown kind {kind:?} cannot be run")?;
        }
        for Unreadable {
            kind,
            version,
            why,
            jobs,
            oldest,
        } in &self.unreadable
        {
            write!(
                f,
                "; {jobs} of {kind:?} with arguments of version {version} cannot be read ({oldest} is the \
                 oldest): {why}"
            )?;
        }
        Ok(())
    }
}

impl Client {
    /// Reads the arguments of every unfinished job with these handlers, as they would, upcasters included, and
    /// tells what they could not read. Nothing is changed and nothing is run.
    ///
    /// For a check before a deploy, with the build that is to be deployed, and for tests against a copy of the
    /// real board. It goes through the whole table, a part at a time; jobs that come meanwhile may be left out.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use callboard::{BoxError, Client, Database, functions};
    /// # async fn send_welcome(_user: i64) -> Result<(), BoxError> { Ok(()) }
    /// # async fn example() -> Result<(), callboard::Error> {
    /// let client = Client::connect(Database::from_url("postgres://localhost/app")?).await?;
    /// let verified = client.verify(functions![send_welcome]).await?;
    /// assert!(verified.is_readable(), "{verified}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::is_config`] when the handlers cannot work together; [`Error::is_unreachable`] and
    /// [`Error::is_database`].
    pub async fn verify(
        &self,
        handlers: impl IntoIterator<Item = Handler> + Send,
    ) -> Result<Verified, Error> {
        let registry = Registry::new(handlers)?;
        let (mut verified, mut after) = (Verified::default(), JobId::from_i64(i64::MIN));
        loop {
            let part = self.store().unread_after(after).await?;
            let Some(last) = part.last() else {
                return Ok(verified);
            };
            after = last.id;
            for job in &part {
                match registry.handler(&job.kind) {
                    None => *verified.unknown.entry(job.kind.clone()).or_default() += 1,
                    Some(handler) => match read(&handler.kind, job.stored()) {
                        Ok(()) => verified.readable += 1,
                        Err(why) => verified.add(&job.kind, job.stored().version, job.id, why),
                    },
                }
            }
            // Decoding is work for the processor; others get their turn.
            tokio::task::yield_now().await;
        }
    }
}

/// Reads arguments, with code of the user's own, which may panic.
fn read(kind: &Kind, stored: Stored<'_>) -> Result<(), String> {
    // What is left broken is thrown away.
    match catch_unwind(AssertUnwindSafe(|| kind.check_arguments(stored))) {
        Ok(read) => read.map_err(|why| why.to_string()),
        Err(_) => Err("decoding them panics".to_owned()),
    }
}
