//! `promote`: due jobs become available.

use std::time::Duration;

use diesel::sql_types::{BigInt, SmallInt, Text};

use super::Store;
use super::statement::{Bind, typed};
use crate::Error;

impl Store {
    /// Makes up to `limit` due jobs available; answers with queue and priority of each.
    pub(crate) async fn promote(&self, limit: u32) -> Result<Vec<(String, i16)>, Error> {
        let mut session = self.0.settle.session().await?;
        let limit = i64::from(limit);
        let binds: [&dyn Bind; 1] = [&typed::<BigInt, _>(&limit)];
        session
            .fetch::<(Text, SmallInt), _>("promote", &self.sql().promote, &binds)
            .await
    }

    /// How long until the next job is due; `None` if none waits.
    pub(crate) async fn next_due(&self) -> Result<Option<Duration>, Error> {
        let mut session = self.0.settle.session().await?;
        let micros = session
            .fetch::<BigInt, i64>("read the next due time", &self.sql().next_due, &[])
            .await?;
        Ok(micros
            .first()
            .map(|us| Duration::from_micros(us.unsigned_abs())))
    }
}
