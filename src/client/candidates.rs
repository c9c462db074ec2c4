//! Which calls may be claimed at birth: a pure look at the calls of one statement.

use std::collections::HashMap;

use crate::job::{Due, Repertoire};
use crate::store::CallRow;

/// The places of calls, by their queues.
pub(super) fn by_queue(rows: &[CallRow]) -> HashMap<&str, Vec<usize>> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut next = 0;
    // Most calls of a bulk are of one queue, and need one look together.
    for alike in rows.chunk_by(|row, next| row.queue == next.queue) {
        let end = next + alike.len();
        places.entry(&alike[0].queue).or_default().extend(next..end);
        next = end;
    }
    places
}

/// The calls of a queue that may be claimed at birth, in the order of claims.
///
/// They are the first of those that this node could run: whoever comes after a call that could run here, and
/// may not be claimed at birth, has to wait as that one does. Those are calls with an ordering key, which have
/// to look at others of their key, and calls for an instant, which only the database's clock can compare.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Candidates(Vec<usize>);

impl Candidates {
    /// Of the calls at these places; `kinds` are those that this node can run.
    pub(super) fn of(rows: &[CallRow], mut places: Vec<usize>, kinds: &Repertoire) -> Self {
        let is_for_us = |row: &CallRow| is_soon(row.due) && kinds.can_run(&row.kind, row.version);
        places.retain(|place| is_for_us(&rows[*place]));
        // Stable: the ids follow the places.
        places.sort_by_key(|place| rows[*place].priority);
        let may_be = |place: &usize| {
            let row = &rows[*place];
            row.due == Due::Now && row.ordering_key.is_none()
        };
        let count = places.iter().take_while(|place| may_be(place)).count();
        places.truncate(count);
        Self(places)
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// The places of the first so many.
    pub(super) fn first(self, count: u32) -> impl Iterator<Item = usize> {
        self.0.into_iter().take(count as usize)
    }
}

/// Whether it may be due when it is inserted.
fn is_soon(due: Due) -> bool {
    match due {
        Due::Now | Due::At(_) => true,
        Due::After(delay) => delay.is_zero(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::DateTime;

    use super::*;
    use crate::job::Fingerprint;

    fn row(kind: &'static str, priority: i16) -> CallRow {
        CallRow {
            queue: "default".into(),
            kind: kind.into(),
            priority,
            max_attempts: None,
            time_limit_ms: None,
            backoff: None,
            version: 1,
            fingerprint: Fingerprint::from_i64(0),
            due: Due::Now,
            payload: Vec::new(),
            ordering_key: None,
            limit_key: None,
            traceparent: None,
        }
    }

    fn candidates(rows: &[CallRow]) -> Vec<usize> {
        let kinds = [("known".to_owned(), 1), ("more".to_owned(), 2)];
        let kinds = Repertoire::new(kinds);
        Candidates::of(rows, (0..rows.len()).collect(), &kinds).0
    }

    #[test]
    fn they_come_in_the_order_of_claims_without_those_for_others_and_later_calls() {
        let later = CallRow {
            due: Due::After(Duration::from_secs(1)),
            ..row("known", -9)
        };
        let newer = CallRow {
            version: 2,
            ..row("known", -9)
        };
        let rows = [
            row("known", 1),
            row("unknown", -9),
            later,
            CallRow {
                version: 2,
                ..row("more", 0)
            },
            row("known", 0),
            newer,
        ];
        assert_eq!(candidates(&rows), [3, 4, 0]);
    }

    #[test]
    fn nobody_comes_before_a_call_that_has_to_wait_for_a_claim() {
        let keyed = CallRow {
            ordering_key: Some("user".to_owned()),
            ..row("known", 0)
        };
        let rows = [row("known", -1), keyed, row("known", 0), row("known", -2)];
        assert_eq!(candidates(&rows), [3, 0]);
        let at = CallRow {
            due: Due::At(DateTime::UNIX_EPOCH),
            ..row("known", 0)
        };
        assert_eq!(candidates(&[at, row("known", 0)]), [] as [usize; 0]);
    }

    #[test]
    fn places_are_found_by_queue() {
        let other = CallRow {
            queue: "other".into(),
            ..row("known", 0)
        };
        let rows = [row("known", 0), other, row("known", 0)];
        let expected = HashMap::from([("default", vec![0, 2]), ("other", vec![1])]);
        assert_eq!(by_queue(&rows), expected);
    }
}
