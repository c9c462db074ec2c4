//! What failed last on this node, by kind: for the forensics of a dead letter.
//!
//! Kept in memory and read at the burial, since then it says what was wrong *then*: the letters that lie
//! beside it in the table may be of other days, and a failure that was retried leaves no letter. It costs
//! a failure a short lock, and everybody else nothing. It is bounded by the kinds that run here.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::job::{Attempt, Failure, FailureKind, JobId, bounded_text};

/// How many errors of a kind are kept.
const KEPT: usize = 5;
/// How much of their messages, in bytes.
const MESSAGE_BYTES: usize = 300;

#[derive(Debug)]
struct Recent {
    job: JobId,
    attempt: Attempt,
    kind: FailureKind,
    message: String,
    at: DateTime<Utc>,
}

/// The last errors of each kind on this node, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct RecentErrors(Mutex<HashMap<String, VecDeque<Recent>>>);

impl RecentErrors {
    /// An attempt of a job of this kind has failed.
    pub(super) fn note(&self, kind: &str, job: JobId, attempt: Attempt, failure: &Failure) {
        let recent = Recent {
            job,
            attempt,
            kind: failure.kind,
            message: bounded_text(&failure.message, MESSAGE_BYTES),
            at: Utc::now(),
        };
        let mut kinds = self.lock();
        let errors = match kinds.get_mut(kind) {
            Some(errors) => errors,
            None => kinds.entry(kind.to_owned()).or_default(),
        };
        if errors.len() == KEPT {
            errors.pop_front();
        }
        errors.push_back(recent);
    }

    /// The last errors of this kind; those of the job itself are told elsewhere.
    pub(super) fn beside(&self, kind: &str, job: JobId) -> Vec<Value> {
        let kinds = self.lock();
        let errors = kinds.get(kind).into_iter().flatten();
        let beside = errors.filter(|error| error.job != job);
        beside.map(Recent::to_json).collect()
    }

    /// The last errors by kind.
    pub(crate) fn by_kind(&self) -> Value {
        let kinds = self.lock();
        let of_kind = |(kind, errors): (&String, &VecDeque<Recent>)| {
            let errors: Vec<Value> = errors.iter().map(Recent::to_json).collect();
            (kind.clone(), Value::from(errors))
        };
        Value::Object(kinds.iter().map(of_kind).collect())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, VecDeque<Recent>>> {
        // Nothing panics while it holds the lock, so a poisoned one guards a whole map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    fn to_json(&self) -> Value {
        json!({
            "job": self.job.as_i64(),
            "attempt": self.attempt.as_i32(),
            "kind": self.kind,
            "message": self.message,
            "at": self.at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_errors_of_other_jobs_of_the_kind_are_kept() {
        let recent = RecentErrors::default();
        for id in 1..=7 {
            let failure = Failure::new(FailureKind::Error, &format!("error {id}"));
            let (job, attempt) = (JobId::from_i64(id), Attempt::from_i32(1));
            recent.note("mail", job, attempt, &failure);
        }
        let jobs = |errors: &[Value]| -> Vec<_> {
            let jobs = errors.iter().map(|error| error["job"].as_i64());
            jobs.map(Option::unwrap).collect()
        };
        assert_eq!(
            jobs(&recent.beside("mail", JobId::from_i64(6))),
            [3, 4, 5, 7]
        );
        assert_eq!(
            recent.beside("sms", JobId::from_i64(6)),
            Vec::<Value>::new()
        );
        let all = recent.by_kind();
        assert_eq!(jobs(all["mail"].as_array().unwrap()), [3, 4, 5, 6, 7]);
        assert_eq!(all["mail"][0]["message"], "error 3");
        assert_eq!(all["mail"][0]["kind"], "error");
    }
}
