//! A checked call, and calls laid out by column: what the enqueue statement takes, for whichever
//! client runs it.

use std::borrow::Cow;
use std::collections::HashSet;

use super::OrderingKey;
use crate::job::{Backoff, Due, Fingerprint};

/// A call that was checked and whose queue and priority are filled in.
#[derive(Debug)]
pub(crate) struct CallRow {
    pub(crate) queue: Cow<'static, str>,
    pub(crate) kind: Cow<'static, str>,
    pub(crate) priority: i16,
    pub(crate) max_attempts: Option<i16>,
    pub(crate) time_limit_ms: Option<i64>,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) version: i32,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) due: Due,
    pub(crate) payload: Vec<u8>,
    pub(crate) ordering_key: Option<String>,
    pub(crate) limit_key: Option<String>,
    pub(crate) traceparent: Option<String>,
}

impl CallRow {
    /// Whose turn it waits for.
    pub(crate) fn ordering(&self) -> Option<OrderingKey> {
        self.ordering_key.as_ref().map(|key| OrderingKey {
            queue: self.queue.to_string(),
            key: key.clone(),
        })
    }
}

/// Calls by column, ready for `unnest`.
#[derive(Debug, Default)]
pub(super) struct Columns<'a> {
    pub(super) queues: Vec<&'a str>,
    pub(super) kinds: Vec<&'a str>,
    pub(super) priorities: Vec<i16>,
    pub(super) max_attempts: Vec<Option<i16>>,
    pub(super) time_limits_ms: Vec<Option<i64>>,
    pub(super) backoffs: Vec<Option<String>>,
    pub(super) versions: Vec<i32>,
    pub(super) fingerprints: Vec<i64>,
    pub(super) after_ms: Vec<Option<i64>>,
    pub(super) at_us: Vec<Option<i64>>,
    pub(super) payloads: Vec<&'a [u8]>,
    pub(super) ordering_keys: Vec<Option<&'a str>>,
    pub(super) limit_keys: Vec<Option<&'a str>>,
    /// Whether an earlier row here has the same queue and ordering key.
    pub(super) repeated: Vec<bool>,
    pub(super) traceparents: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(rows: &'a [CallRow]) -> Self {
        let mut columns = Self::default();
        let mut seen = HashSet::new();
        for row in rows {
            columns.push(row);
            let key = row.ordering_key.as_deref();
            let is_new = key.is_none_or(|key| seen.insert((&*row.queue, key)));
            columns.ordering_keys.push(key);
            columns.repeated.push(!is_new);
        }
        columns
    }

    fn push(&mut self, row: &'a CallRow) {
        self.queues.push(&row.queue);
        self.kinds.push(&row.kind);
        self.priorities.push(row.priority);
        self.max_attempts.push(row.max_attempts);
        self.time_limits_ms.push(row.time_limit_ms);
        self.backoffs
            .push(row.backoff.map(|backoff| backoff_json(&backoff)));
        self.versions.push(row.version);
        self.fingerprints.push(row.fingerprint.as_i64());
        let (after_ms, at_us) = match row.due {
            Due::Now => (None, None),
            Due::After(delay) => (
                Some(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)),
                None,
            ),
            Due::At(at) => (None, Some(at.timestamp_micros())),
        };
        self.after_ms.push(after_ms);
        self.at_us.push(at_us);
        self.payloads.push(&row.payload);
        self.limit_keys.push(row.limit_key.as_deref());
        self.traceparents.push(row.traceparent.as_deref());
    }
}

fn backoff_json(backoff: &Backoff) -> String {
    serde_json::to_string(backoff).expect("a backoff has a JSON form")
}
