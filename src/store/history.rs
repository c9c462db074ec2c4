//! The history's partitions: made ahead, dropped when old.

use std::time::Duration;

use diesel::sql_types::{BigInt, Integer};

use super::Store;
use super::nodes::millis;
use super::statement::{Bind, Statement, typed};
use crate::Error;

impl Store {
    /// Makes the partitions of today and the days to come.
    pub(crate) async fn prepare_history(&self, days_ahead: u32) -> Result<(), Error> {
        let sql = "select callboard.history_prepare($1)";
        let statement = Statement::new(sql, self.database().schema_name());
        let days = i32::try_from(days_ahead).unwrap_or(i32::MAX);
        let binds: [&dyn Bind; 1] = [&typed::<Integer, _>(&days)];
        let mut session = self.upkeep().await?;
        session
            .change("prepare the history", &statement, &binds)
            .await
            .map(drop)
    }

    /// Drops what finished longer than `keep` ago, by whole days. Answers with how much was dropped:
    /// partitions and single rows.
    pub(crate) async fn prune(&self, keep: Duration) -> Result<u64, Error> {
        let sql = "select callboard.history_prune($1 * interval '1 millisecond')";
        let statement = Statement::new(sql, self.database().schema_name());
        let keep_ms = millis(keep);
        let binds: [&dyn Bind; 1] = [&typed::<BigInt, _>(&keep_ms)];
        let mut session = self.upkeep().await?;
        let rows = session
            .fetch::<BigInt, i64>("prune the history", &statement, &binds)
            .await?;
        Ok(rows.first().copied().unwrap_or_default().unsigned_abs())
    }
}
