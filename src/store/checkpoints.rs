//! What a job leaves on its way, for its next attempt and for people: `checkpoint`, `resume`, `progress`.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Binary, Integer, Nullable, Text};

use super::Store;
use super::statement::typed;
use crate::Error;
use crate::job::{Attempt, Fingerprint, JobId, NodeId};

/// How far a job has come, as its handler said.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// How much is done.
    pub done: u64,
    /// Of how much; 0 if the handler does not know.
    pub of: u64,
    /// What it says beside; may be empty.
    pub message: String,
    /// The attempt that said so.
    pub attempt: Attempt,
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
}

/// An attempt in somebody's hands: what its row says as long as it is the current one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holding {
    pub(crate) id: JobId,
    pub(crate) attempt: Attempt,
    pub(crate) node: NodeId,
}

/// A value as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) bytes: Vec<u8>,
}

/// Whether an attempt still is its job's current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fenced<T> {
    Current(T),
    Stale,
}

/// What a handler says of its progress.
#[derive(Debug)]
pub(crate) struct ProgressNote {
    pub(crate) done: u64,
    pub(crate) of: u64,
    pub(crate) message: String,
}

/// The values of a statement behind the fence, and others after them. A macro, because they borrow from one
/// another.
macro_rules! binds {
    ($holding:expr $(, $other:expr)*) => {
        &[
            &typed::<BigInt, _>(&$holding.id.as_i64()),
            &typed::<Integer, _>(&$holding.attempt.as_i32()),
            &typed::<BigInt, _>(&$holding.node.as_i64()),
            $(&$other,)*
        ]
    };
}

impl Store {
    /// Keeps a value for the next attempt.
    pub(crate) async fn checkpoint(
        &self,
        holding: Holding,
        fingerprint: Fingerprint,
        bytes: &[u8],
    ) -> Result<Fenced<()>, Error> {
        let mut session = self.clients().await?;
        let rows = session
            .fetch::<BigInt, i64>(
                "keep a checkpoint",
                &self.sql().checkpoint,
                binds!(
                    holding,
                    typed::<BigInt, _>(&fingerprint.as_i64()),
                    typed::<Binary, _>(bytes)
                ),
            )
            .await?;
        Ok(fenced(&rows))
    }

    /// What earlier attempts have kept.
    pub(crate) async fn resume(&self, holding: Holding) -> Result<Fenced<Option<Kept>>, Error> {
        let mut session = self.clients().await?;
        let rows = session
            .fetch::<(Nullable<BigInt>, Nullable<Binary>), (Option<i64>, Option<Vec<u8>>)>(
                "read a checkpoint",
                &self.sql().resume,
                binds!(holding),
            )
            .await?;
        let kept = |(fingerprint, bytes)| {
            let fingerprint = Option::map(fingerprint, Fingerprint::from_i64);
            let both = fingerprint.zip(bytes);
            both.map(|(fingerprint, bytes)| Kept { fingerprint, bytes })
        };
        let row = rows.into_iter().next();
        Ok(row.map_or(Fenced::Stale, |row| Fenced::Current(kept(row))))
    }

    /// Notes how far an attempt has come.
    pub(crate) async fn progress(
        &self,
        holding: Holding,
        note: &ProgressNote,
    ) -> Result<Fenced<()>, Error> {
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let mut session = self.clients().await?;
        let rows = session
            .fetch::<BigInt, i64>(
                "note a progress",
                &self.sql().progress,
                binds!(
                    holding,
                    typed::<BigInt, _>(&count(note.done)),
                    typed::<BigInt, _>(&count(note.of)),
                    typed::<Text, _>(&note.message)
                ),
            )
            .await?;
        Ok(fenced(&rows))
    }

    /// Clears away what jobs that have ended left behind, and counts it.
    pub(crate) async fn sweep(&self) -> Result<usize, Error> {
        let mut session = self.upkeep().await?;
        let verb = "sweep old checkpoints";
        session.change(verb, &self.sql().sweep, &[]).await
    }
}

fn fenced(rows: &[i64]) -> Fenced<()> {
    match rows {
        [] => Fenced::Stale,
        _ => Fenced::Current(()),
    }
}
