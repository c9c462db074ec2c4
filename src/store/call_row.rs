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
    fn differs_only_in_arguments(&self, other: &Self) -> bool {
        let Self {
            queue,
            kind,
            priority,
            max_attempts,
            time_limit_ms,
            backoff,
            version,
            fingerprint,
            due,
            payload: _,
            ordering_key,
            limit_key,
            traceparent,
        } = self;
        *queue == other.queue
            && *kind == other.kind
            && *priority == other.priority
            && *max_attempts == other.max_attempts
            && *time_limit_ms == other.time_limit_ms
            && *backoff == other.backoff
            && *version == other.version
            && *fingerprint == other.fingerprint
            && *due == other.due
            && *ordering_key == other.ordering_key
            && *limit_key == other.limit_key
            && *traceparent == other.traceparent
    }

    /// Whose turn it waits for.
    pub(crate) fn ordering(&self) -> Option<OrderingKey> {
        self.ordering_key.as_ref().map(|key| OrderingKey {
            queue: self.queue.to_string(),
            key: key.clone(),
        })
    }
}

/// Calls that differ in their arguments alone, are for now and have no ordering key: as most are that come together.
#[derive(Debug)]
pub(super) struct Alike<'a> {
    /// All are as it is, but for their arguments.
    pub(super) first: &'a CallRow,
    pub(super) fingerprint: i64,
    pub(super) backoff: Option<String>,
    pub(super) payloads: Vec<&'a [u8]>,
}

impl<'a> Alike<'a> {
    pub(super) fn of(rows: &'a [CallRow]) -> Option<Self> {
        let (first, others) = rows.split_first()?;
        let is_plain = first.due == Due::Now && first.ordering_key.is_none();
        let are_alike = is_plain
            && others
                .iter()
                .all(|other| other.differs_only_in_arguments(first));
        are_alike.then(|| Self {
            first,
            fingerprint: first.fingerprint.as_i64(),
            backoff: first.backoff.as_ref().map(backoff_json),
            payloads: rows.iter().map(|row| &*row.payload).collect(),
        })
    }
}

/// Calls by column, ready for `unnest`, and no longer than they must be: a value that all calls have stands
/// there once, and of what no call has, there is none.
#[derive(Debug)]
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
    /// As many as there are calls.
    pub(super) payloads: Vec<&'a [u8]>,
    pub(super) ordering_keys: Vec<Option<&'a str>>,
    pub(super) limit_keys: Vec<Option<&'a str>>,
    /// Whether an earlier row here has the same queue and ordering key.
    pub(super) repeated: Vec<bool>,
    pub(super) traceparents: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(rows: &'a [CallRow]) -> Self {
        let calls = || rows.iter();
        Self {
            queues: common(calls().map(|row| &*row.queue)),
            kinds: common(calls().map(|row| &*row.kind)),
            priorities: common(calls().map(|row| row.priority)),
            max_attempts: rare(calls().map(|row| row.max_attempts)),
            time_limits_ms: rare(calls().map(|row| row.time_limit_ms)),
            backoffs: rare(calls().map(|row| row.backoff.as_ref().map(backoff_json))),
            versions: common(calls().map(|row| row.version)),
            fingerprints: common(calls().map(|row| row.fingerprint.as_i64())),
            after_ms: rare(calls().map(after_ms)),
            at_us: rare(calls().map(at_us)),
            payloads: calls().map(|row| &*row.payload).collect(),
            ordering_keys: rare(calls().map(|row| row.ordering_key.as_deref())),
            limit_keys: rare(calls().map(|row| row.limit_key.as_deref())),
            repeated: common(repeated(rows).into_iter()),
            traceparents: rare(calls().map(|row| row.traceparent.as_deref())),
        }
    }
}

/// These, or one of them if all are the same.
pub(super) fn common<T: PartialEq>(values: impl Iterator<Item = T> + Clone) -> Vec<T> {
    let mut others = values.clone();
    let first = others.next();
    if others.all(|other| first.as_ref() == Some(&other)) {
        first.into_iter().collect()
    } else {
        values.collect()
    }
}

/// These, or nothing if there is none.
fn rare<T>(values: impl Iterator<Item = Option<T>> + Clone) -> Vec<Option<T>> {
    if values.clone().all(|value| value.is_none()) {
        Vec::new()
    } else {
        values.collect()
    }
}

fn repeated(rows: &[CallRow]) -> Vec<bool> {
    let mut seen = HashSet::new();
    let keys = rows
        .iter()
        .map(|row| (&*row.queue, row.ordering_key.as_deref()));
    keys.map(|(queue, key)| key.is_some_and(|key| !seen.insert((queue, key))))
        .collect()
}

fn after_ms(row: &CallRow) -> Option<i64> {
    match row.due {
        Due::After(delay) => Some(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)),
        Due::Now | Due::At(_) => None,
    }
}

fn at_us(row: &CallRow) -> Option<i64> {
    match row.due {
        Due::At(at) => Some(at.timestamp_micros()),
        Due::Now | Due::After(_) => None,
    }
}

fn backoff_json(backoff: &Backoff) -> String {
    serde_json::to_string(backoff).expect("a backoff has a JSON form")
}
