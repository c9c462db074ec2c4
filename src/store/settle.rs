//! `settle`: what became of attempts, behind the fence `(id, attempt, node)`.

use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text};
use serde_json::Value;

use super::Store;
use super::ctid::{Ctid, Ctids, Tid};
use super::executor::{Executor, OwnQuery, for_diesel, for_tokio_postgres};
use super::numbers::Numbers;
use super::session::Session;
use super::statement::{Bind, typed};
use crate::Error;
use crate::job::{Attempt, Ids, JobId, NodeId, Transition};

const VERB: &str = "settle";

/// From so many on it pays to look which of them can go into the history together.
const MANY: usize = 100;

/// An answer that is owed to the board.
#[derive(Debug)]
pub(crate) struct Settlement {
    pub(crate) id: JobId,
    pub(crate) attempt: Attempt,
    pub(crate) transition: Transition,
    /// How things stood when the job was given up.
    pub(crate) diagnostics: Option<serde_json::Value>,
    /// The attempt knows that the job has left something on its way, which goes with its end.
    pub(crate) has_trail: bool,
    /// Where its row lay when it was claimed.
    pub(crate) ctid: Option<Ctid>,
}

impl Settlement {
    /// Whether all that it says is that the attempt is completed.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.transition, Transition::Complete { output: None }) && !self.has_trail
    }
}

/// Settlements by column, ready for `unnest`.
#[derive(Default)]
struct Columns {
    ids: Vec<i64>,
    attempts: Vec<i32>,
    verbs: Vec<&'static str>,
    after_ms: Vec<Option<i64>>,
    failures: Vec<Option<String>>,
    outputs: Vec<Option<String>>,
    reasons: Vec<Option<&'static str>>,
    diagnostics: Vec<Option<String>>,
    error_fingerprints: Vec<Option<i64>>,
}

impl Columns {
    fn push(&mut self, settlement: &Settlement) {
        self.ids.push(settlement.id.as_i64());
        self.attempts.push(settlement.attempt.as_i32());
        self.diagnostics
            .push(settlement.diagnostics.as_ref().map(ToString::to_string));
        let (verb, after, failure, output, reason) = match &settlement.transition {
            Transition::Complete { output } => ("complete", None, None, output.as_ref(), None),
            Transition::Retry { after, failure } => {
                ("retry", Some(*after), Some(failure), None, None)
            }
            Transition::Snooze { after } => ("snooze", Some(*after), None, None, None),
            Transition::Cancel { failure } => ("cancel", None, Some(failure), None, None),
            Transition::Bury { reason, failure } => {
                ("bury", None, Some(failure), None, Some(*reason))
            }
            Transition::Release { failure } => ("release", None, failure.as_ref(), None, None),
        };
        self.verbs.push(verb);
        self.after_ms
            .push(after.map(|after| i64::try_from(after.as_millis()).unwrap_or(i64::MAX)));
        let json = |failure| serde_json::to_string(failure).expect("a failure has a JSON form");
        self.failures.push(failure.map(json));
        self.outputs.push(output.map(storable));
        let buried = failure.filter(|_| reason.is_some());
        self.error_fingerprints
            .push(buried.map(|failure| failure.fingerprint().as_i64()));
        self.reasons
            .push(reason.map(crate::job::BuryReason::as_str));
    }
}

/// JSON without the character NUL, which PostgreSQL's jsonb refuses.
fn storable(json: &Value) -> String {
    fn clean(json: Value) -> Value {
        let text = |text: String| text.replace('\0', "\u{fffd}");
        match json {
            Value::String(string) => Value::String(text(string)),
            Value::Array(items) => items.into_iter().map(clean).collect(),
            Value::Object(fields) => fields
                .into_iter()
                .map(|(name, value)| (text(name), clean(value)))
                .collect(),
            other => other,
        }
    }
    let written = json.to_string();
    if written.contains("\\u0000") {
        clean(json.clone()).to_string()
    } else {
        written
    }
}

macro_rules! values {
    ($form:ident, $node:ident, $columns:ident) => {
        $form! {
            BigInt, INT8: &$node;
            Array<BigInt>, INT8_ARRAY: &$columns.ids;
            Array<Integer>, INT4_ARRAY: &$columns.attempts;
            Array<Text>, TEXT_ARRAY: &$columns.verbs;
            Array<Nullable<BigInt>>, INT8_ARRAY: &$columns.after_ms;
            Array<Nullable<Text>>, TEXT_ARRAY: &$columns.failures;
            Array<Nullable<Text>>, TEXT_ARRAY: &$columns.outputs;
            Array<Nullable<Text>>, TEXT_ARRAY: &$columns.reasons;
            Array<Nullable<Text>>, TEXT_ARRAY: &$columns.diagnostics;
            Array<Nullable<BigInt>>, INT8_ARRAY: &$columns.error_fingerprints;
        }
    };
}

impl Store {
    /// Writes answers, each in one statement with all of its like, and tells which were accepted. The
    /// others came from stale leases and changed nothing.
    pub(crate) async fn settle<'a>(
        &self,
        node: NodeId,
        settlements: impl Iterator<Item = &'a Settlement>,
    ) -> Result<Vec<JobId>, Error> {
        let (mut plain, mut others): (Vec<_>, Vec<_>) =
            settlements.partition(|settlement| settlement.is_plain());
        // Rows are locked in the order of their ids, as everywhere.
        plain.sort_unstable_by_key(|settlement| settlement.id.as_i64());
        let mut session = self.0.settle.session().await?;
        // First, so that texts which the database refuses hold none of them up.
        let mut accepted = self.write_plain(&mut session, node, &plain).await?;
        if accepted.len() < plain.len() {
            let completed: Ids = accepted.iter().copied().map(JobId::from_i64).collect();
            others.extend(plain.iter().filter(|one| !completed.contains(&one.id)));
        }
        accepted.extend(self.write_others(&mut session, node, &others).await?);
        Ok(accepted.into_iter().map(JobId::from_i64).collect())
    }

    /// Those whose rows are where they were.
    async fn write_plain(
        &self,
        session: &mut Session,
        node: NodeId,
        plain: &[&Settlement],
    ) -> Result<Vec<i64>, Error> {
        let found = || plain.iter().filter_map(|one| Some((one, one.ctid?)));
        let ctids = Ctids(found().map(|(_, ctid)| ctid).collect());
        if ctids.0.is_empty() {
            return Ok(Vec::new());
        }
        let ids = Numbers(found().map(|(one, _)| one.id.as_i64()).collect());
        let attempts = Numbers(found().map(|(one, _)| one.attempt.as_i32()).collect());
        let node = node.as_i64();
        let binds: [&dyn Bind; 4] = [
            &typed::<BigInt, _>(&node),
            &typed::<Array<BigInt>, _>(&ids),
            &typed::<Array<Integer>, _>(&attempts),
            &typed::<Array<Tid>, _>(&ctids),
        ];
        let statement = match ctids.0.len() < MANY {
            true => &self.sql().complete,
            false => &self.sql().complete_many,
        };
        let completed = session
            .fetch::<Array<BigInt>, Vec<i64>>("complete", statement, &binds)
            .await?;
        Ok(completed.into_iter().flatten().collect())
    }

    pub(super) async fn write_others(
        &self,
        session: &mut Session,
        node: NodeId,
        others: &[&Settlement],
    ) -> Result<Vec<i64>, Error> {
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let mut columns = Columns::default();
        others.iter().for_each(|one| columns.push(one));
        let node = node.as_i64();
        let binds = values!(for_diesel, node, columns);
        let accepted = session
            .fetch::<Array<BigInt>, Vec<i64>>(VERB, &self.sql().settle, &binds)
            .await?;
        Ok(accepted.into_iter().flatten().collect())
    }

    /// Tells which answers were written before: of those that were sent, and whose sender heard nothing.
    pub(crate) async fn recall(
        &self,
        node: NodeId,
        answers: &[(JobId, Attempt)],
    ) -> Result<Vec<JobId>, Error> {
        let ids: Vec<i64> = answers.iter().map(|(id, _)| id.as_i64()).collect();
        let attempts: Vec<i32> = answers.iter().map(|(_, at)| at.as_i32()).collect();
        let mut session = self.upkeep().await?;
        let written = session
            .fetch::<BigInt, i64>(
                "recall",
                &self.sql().recall,
                &[
                    &typed::<BigInt, _>(&node.as_i64()),
                    &typed::<Array<BigInt>, _>(&ids),
                    &typed::<Array<Integer>, _>(&attempts),
                ],
            )
            .await?;
        Ok(written.into_iter().map(JobId::from_i64).collect())
    }

    /// Writes answers on the caller's own connection, in whatever transaction is open there, and tells
    /// which were accepted.
    pub(crate) async fn settle_on(
        &self,
        executor: impl Executor,
        node: NodeId,
        settlements: &[Settlement],
    ) -> Result<Vec<JobId>, Error> {
        let mut columns = Columns::default();
        settlements
            .iter()
            .for_each(|settlement| columns.push(settlement));
        let node = node.as_i64();
        let query = OwnQuery {
            verb: VERB,
            statement: &self.sql().settle,
            diesel: &values!(for_diesel, node, columns),
            raw: &values!(for_tokio_postgres, node, columns),
        };
        let accepted = executor.ids(query).await?;
        Ok(accepted.into_iter().map(JobId::from_i64).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nul_characters_are_replaced_and_what_only_looks_like_them_stays() {
        let stored = storable(&json!({ "a\0": ["\0b", "\\u0000", 1] }));
        let expected = json!({ "a\u{fffd}": ["\u{fffd}b", "\\u0000", 1] });
        assert_eq!(serde_json::from_str::<Value>(&stored).unwrap(), expected);
    }
}
