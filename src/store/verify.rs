//! `verify`: the arguments of all unfinished jobs, a part at a time.

use diesel::sql_types::{BigInt, Binary, Integer, Text};

use super::Store;
use super::statement::typed;
use crate::Error;
use crate::job::{Fingerprint, JobId, Stored};

/// How many jobs, and how many bytes of arguments, one statement brings at most; a single job may have more.
const PART_JOBS: i64 = 1_000;
const PART_BYTES: i64 = 8 * 1024 * 1024;

/// A job's arguments as they lie in its row.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) id: JobId,
    pub(crate) kind: String,
    version: i32,
    fingerprint: Fingerprint,
    payload: Vec<u8>,
}

impl Unread {
    pub(crate) fn stored(&self) -> Stored<'_> {
        Stored {
            version: self.version,
            fingerprint: self.fingerprint,
            bytes: &self.payload,
        }
    }
}

impl Store {
    /// The next unfinished jobs after this one. None: there are no more.
    pub(crate) async fn unread_after(&self, id: JobId) -> Result<Vec<Unread>, Error> {
        let mut session = self.clients().await?;
        let rows = session
            .fetch::<(BigInt, Text, Integer, BigInt, Binary), (i64, String, i32, i64, Vec<u8>)>(
                "read the arguments of jobs",
                &self.sql().verify,
                &[
                    &typed::<BigInt, _>(&id.as_i64()),
                    &typed::<BigInt, _>(&PART_JOBS),
                    &typed::<BigInt, _>(&PART_BYTES),
                ],
            )
            .await?;
        let unread =
            |(id, kind, version, fingerprint, payload): (i64, String, i32, i64, Vec<u8>)| Unread {
                id: JobId::from_i64(id),
                kind,
                version,
                fingerprint: Fingerprint::from_i64(fingerprint),
                payload,
            };
        Ok(rows.into_iter().map(unread).collect())
    }
}
