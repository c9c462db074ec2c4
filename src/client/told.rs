//! What is to be told of jobs that were enqueued, and to whom.

use std::collections::{HashMap, HashSet};

use crate::job::Due;
use crate::store::{CallRow, Notice, OrderingKey};

/// Whom to tell of jobs that were enqueued.
#[derive(Debug)]
pub(super) struct Told {
    /// Which queues got jobs that are due, or will be, and the most urgent priority of each.
    pub(super) queues: HashMap<(String, bool), i16>,
    pub(super) keys: HashSet<OrderingKey>,
    pub(super) enqueued: Option<Enqueued>,
}

/// How many jobs of each queue and kind were enqueued.
#[derive(Debug, Default)]
pub(super) struct Enqueued(pub(super) HashMap<(String, String), u32>);

impl Enqueued {
    pub(super) fn with(mut self, rows: &[CallRow]) -> Self {
        self.note(rows);
        self
    }

    fn note(&mut self, rows: &[CallRow]) {
        let alike = rows.chunk_by(|row, next| row.queue == next.queue && row.kind == next.kind);
        for rows in alike {
            let key = (rows[0].queue.to_string(), rows[0].kind.to_string());
            *self.0.entry(key).or_default() += rows.len() as u32;
        }
    }
}

impl Told {
    pub(super) fn new(enqueued: Option<Enqueued>) -> Self {
        Self {
            queues: HashMap::new(),
            keys: HashSet::new(),
            enqueued,
        }
    }

    pub(super) fn note(&mut self, rows: &[CallRow]) {
        if let Some(enqueued) = &mut self.enqueued {
            enqueued.note(rows);
        }
        // Most calls of a bulk are alike, and need one look together.
        let alike = rows.chunk_by(|row, next| {
            let of = |row: &CallRow| (row.due == Due::Now, row.priority);
            of(row) == of(next) && row.queue == next.queue
        });
        for rows in alike {
            let row = &rows[0];
            let key = (row.queue.to_string(), row.due == Due::Now);
            let most_urgent = self.queues.entry(key).or_insert(row.priority);
            *most_urgent = row.priority.min(*most_urgent);
            self.keys.extend(rows.iter().filter_map(CallRow::ordering));
        }
    }
}

pub(super) fn notice_of(row: &CallRow) -> Notice {
    notice(row.queue.to_string(), row.due == Due::Now, row.priority)
}

pub(super) fn notice(queue: String, is_due: bool, priority: i16) -> Notice {
    if is_due {
        Notice::Available { queue, priority }
    } else {
        Notice::Scheduled
    }
}
