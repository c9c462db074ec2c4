//! Bugs planted on purpose, so that `examples/chaos.rs` can show that it would find them.
//!
//! Nothing here exists for applications: without the feature `planted-bugs` no bug can be chosen,
//! `planted` is a constant `false`, and the statements are what their files say. A process has one bug
//! at most, chosen before its board is built.

/// A bug that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// An answer is accepted for whatever attempt the job is at.
    SettleById = 1,
    /// An answer is accepted for whatever attempt is executing.
    SettleByState,
    /// A rescue changes what it found a while ago, without looking again.
    RescueWithoutRecheck,
    /// A snoozed attempt is not counted, so its number is given again.
    SnoozeLowersAttempt,
    /// The answers that a ledger is writing die with it.
    SettlementLostWithLedger,
    /// A claim whose connection broke is taken for one that was never made.
    ErrorMeansNotCommitted,
    /// A fetcher looks only when it is told to.
    NotifyWithoutPoll,
    /// Liveness is proven on the runtime that runs the jobs.
    HeartbeatOnJobRuntime,
    /// The death of a process costs its jobs nothing.
    RescueNotCharged,
    /// A batch of the express lane does not name what it is about to begin.
    BatchForetellsNothing,
}

/// Every bug, by the name that the example gives it.
pub const BUGS: [(&str, Bug); 10] = [
    ("settle-by-id", Bug::SettleById),
    ("settle-by-state", Bug::SettleByState),
    ("rescue-without-recheck", Bug::RescueWithoutRecheck),
    ("snooze-lowers-attempt", Bug::SnoozeLowersAttempt),
    ("settlement-lost-with-ledger", Bug::SettlementLostWithLedger),
    ("error-means-not-committed", Bug::ErrorMeansNotCommitted),
    ("notify-without-poll", Bug::NotifyWithoutPoll),
    ("heartbeat-on-job-runtime", Bug::HeartbeatOnJobRuntime),
    ("rescue-not-charged", Bug::RescueNotCharged),
    ("batch-foretells-nothing", Bug::BatchForetellsNothing),
];

#[cfg(not(feature = "planted-bugs"))]
mod chosen {
    use super::Bug;

    pub(crate) const fn planted(_bug: Bug) -> bool {
        false
    }

    pub(crate) fn sql(_verb: &str, text: &str) -> String {
        text.to_owned()
    }
}

#[cfg(any(test, feature = "planted-bugs"))]
mod changes {
    use super::Bug;

    /// What in a statement gives way to what.
    pub(super) type Change = (Bug, &'static str, &'static str, &'static str);

    const FENCE: &str = "where j.attempt = a.attempt and j.node = $1 and j.state = 'executing'";

    const COMPLETION_FENCE: &str = "where j.ctid = answer.lies_at and j.id is not distinct from answer.id \
         and j.attempt = answer.attempt\n       and j.node = $1 and j.state = 'executing'";

    pub(super) const CHANGES: &[Change] = &[
        (
            Bug::SettleById,
            "settle",
            FENCE,
            "where $1::bigint is not null",
        ),
        (
            Bug::SettleByState,
            "settle",
            FENCE,
            "where j.state = 'executing' and $1::bigint is not null",
        ),
        (
            Bug::SettleById,
            "complete",
            COMPLETION_FENCE,
            "where j.id = answer.id and $1::bigint is not null",
        ),
        (
            Bug::SettleByState,
            "complete",
            COMPLETION_FENCE,
            "where j.id = answer.id and j.state = 'executing' and $1::bigint is not null",
        ),
        (
            Bug::BatchForetellsNothing,
            "foretell",
            "$5, $6, $7 where",
            "$5, '{}'::bigint[], '{}'::integer[] where",
        ),
        (
            Bug::SnoozeLowersAttempt,
            "settle",
            "node = null,",
            "node = null, attempt = j.attempt - case h.verb when 'snooze' then 1 else 0 end,",
        ),
        (
            Bug::RescueNotCharged,
            "rescue",
            "deaths = c.deaths",
            "deaths = j.deaths",
        ),
        // Who rescues a node's jobs keeps others from it, too.
        (
            Bug::RescueWithoutRecheck,
            "rescue",
            "condemned_at is not null for update skip locked",
            "condemned_at is not null",
        ),
        (
            Bug::RescueWithoutRecheck,
            "rescue",
            "for update of j skip locked",
            "",
        ),
        (
            Bug::RescueWithoutRecheck,
            "rescue",
            "v.id, v.deaths,",
            // A while for each row, between the look and the change.
            "v.id, v.deaths + length(pg_sleep(0.3)::text) as deaths,",
        ),
    ];
}

#[cfg(feature = "planted-bugs")]
mod chosen {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Bug;
    use super::changes::{CHANGES, Change};

    static CHOSEN: AtomicU8 = AtomicU8::new(0);

    /// Plants a bug in this process. Boards and clients that were built before may lack it.
    pub fn plant(bug: Bug) {
        CHOSEN.store(bug as u8, Ordering::Release);
    }

    pub(crate) fn planted(bug: Bug) -> bool {
        CHOSEN.load(Ordering::Acquire) == bug as u8
    }

    /// The statement of a verb, with the bug if it is planted there.
    pub(crate) fn sql(verb: &str, text: &str) -> String {
        let of_verb = verb.strip_suffix("_many").unwrap_or(verb);
        let here = |(bug, of, _, _): &&Change| *of == of_verb && planted(*bug);
        CHANGES
            .iter()
            .filter(here)
            .fold(text.to_owned(), |text, (bug, _, right, wrong)| {
                assert!(
                    text.contains(right),
                    "{bug:?} has lost its place in {verb}.sql"
                );
                text.replacen(right, wrong, 1)
            })
    }
}

#[cfg(feature = "planted-bugs")]
pub use chosen::plant;
pub(crate) use chosen::{planted, sql};

#[cfg(test)]
mod tests {
    use super::changes::CHANGES;

    #[test]
    fn every_bug_has_its_place_in_its_statement() {
        let statements = [
            ("settle", include_str!("store/sql/settle.sql")),
            ("complete", include_str!("store/sql/complete.sql")),
            ("complete", include_str!("store/sql/complete_many.sql")),
            ("foretell", include_str!("store/sql/foretell.sql")),
            ("rescue", include_str!("store/sql/rescue.sql")),
        ];
        for (bug, verb, right, _) in CHANGES {
            let mut of_verb = statements.iter().filter(|(of, _)| of == verb).peekable();
            assert!(of_verb.peek().is_some(), "{verb}");
            for (_, text) in of_verb {
                assert!(
                    text.contains(right),
                    "{bug:?} has lost its place in {verb}.sql"
                );
            }
        }
    }
}
