//! What the end of a batch of the express lane completes, by column: in one row for many jobs, or a row each.

use std::sync::Arc;

use diesel::data_types::PgTimestamp;

use super::ClaimedJob;
use super::ctid::{Ctid, Ctids};
use super::numbers::Numbers;
use crate::job::{Attempt, JobId};

/// As many are worth a row of their own together.
const WORTH_A_ROW: usize = 16;
/// The first attempt at a job is all that anybody knows of it.
const FIRST: i32 = 1;

/// What a batch has to know of a job that its transaction holds.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) id: JobId,
    pub(crate) attempt: Attempt,
    pub(crate) priority: i16,
    kind: Arc<str>,
    enqueued_at: PgTimestamp,
    ctid: Ctid,
}

impl Held {
    /// None, of a job that was not claimed by `hold`.
    pub(crate) fn of(job: &ClaimedJob) -> Option<Self> {
        Some(Self {
            id: job.id,
            attempt: job.attempt,
            priority: job.priority,
            kind: Arc::clone(&job.kind),
            enqueued_at: job.enqueued_at_there(),
            ctid: job.ctid?,
        })
    }
}

#[derive(Debug)]
pub(super) struct Pack<'a> {
    pub(super) places: Ctids,
    pub(super) ids: Numbers<i64>,
    pub(super) enqueued_at: Numbers<PgTimestamp>,
    pub(super) kinds: Vec<&'a str>,
    kind_of: Vec<i16>,
    /// Those that are written by a row each.
    pub(super) singles: Ctids,
}

impl<'a> Pack<'a> {
    pub(super) fn of(completed: &[&'a Held]) -> Self {
        let is_first = |held: &&&Held| held.attempt.as_i32() == FIRST;
        let mut firsts = completed.iter().filter(is_first).count();
        if firsts < WORTH_A_ROW {
            firsts = 0;
        }
        let mut pack = Self {
            places: Ctids(Vec::with_capacity(firsts)),
            ids: Numbers(Vec::with_capacity(firsts)),
            enqueued_at: Numbers(Vec::with_capacity(firsts)),
            kind_of: Vec::with_capacity(firsts),
            kinds: Vec::new(),
            singles: Ctids(Vec::new()),
        };
        for held in completed {
            match firsts > 0 && is_first(&held) {
                true => pack.add(held),
                false => pack.singles.0.push(held.ctid),
            }
        }
        pack
    }

    fn add(&mut self, held: &'a Held) {
        let number = self.kinds.iter().position(|kind| **kind == *held.kind);
        let number = number.unwrap_or_else(|| {
            self.kinds.push(&held.kind);
            self.kinds.len() - 1
        });
        self.places.0.push(held.ctid);
        self.ids.0.push(held.id.as_i64());
        self.enqueued_at.0.push(held.enqueued_at);
        self.kind_of.push(number as i16 + 1);
    }

    /// Of which kind each is; nothing, if all are of the same.
    pub(super) fn kind_of(&self) -> Option<&[i16]> {
        (self.kinds.len() > 1).then_some(&self.kind_of)
    }

    /// The least and the greatest of the ids.
    pub(super) fn between(&self) -> (i64, i64) {
        let (least, greatest) = (self.ids.0.iter().min(), self.ids.0.iter().max());
        (
            least.copied().unwrap_or_default(),
            greatest.copied().unwrap_or_default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use diesel::deserialize::FromSql;
    use diesel::pg::PgValue;

    use super::*;

    fn held(id: i64, attempt: i32, kind: &str) -> Held {
        let tid = std::num::NonZeroU32::new(27).unwrap();
        Held {
            id: JobId::from_i64(id),
            attempt: Attempt::from_i32(attempt),
            priority: 0,
            kind: kind.into(),
            enqueued_at: PgTimestamp(0),
            ctid: Ctid::from_sql(PgValue::new(&[0, 0, 0, 0, 0, id as u8], &tid)).unwrap(),
        }
    }

    #[test]
    fn many_first_attempts_are_packed_and_others_are_not() {
        let mut all: Vec<Held> = (1..=16).map(|id| held(id, 1, "a")).collect();
        all.push(held(17, 2, "a"));
        let pack = Pack::of(&all.iter().collect::<Vec<_>>());
        assert_eq!((pack.ids.0.len(), pack.singles.0.len()), (16, 1));
        assert_eq!((pack.between(), pack.kind_of()), ((1, 16), None));
        assert_eq!(pack.kinds, ["a"]);
    }

    #[test]
    fn kinds_are_told_apart_when_there_are_several() {
        let all: Vec<Held> = (1..=16)
            .map(|id| held(id, 1, ["b", "a"][id as usize % 2]))
            .collect();
        let pack = Pack::of(&all.iter().collect::<Vec<_>>());
        assert_eq!(pack.kinds, ["a", "b"]);
        assert_eq!(pack.kind_of().unwrap()[..3], [1, 2, 1]);
    }

    #[test]
    fn few_are_not_packed() {
        let all: Vec<Held> = (1..=15).map(|id| held(id, 1, "a")).collect();
        let pack = Pack::of(&all.iter().collect::<Vec<_>>());
        assert_eq!((pack.ids.0.len(), pack.singles.0.len()), (0, 15));
    }
}
