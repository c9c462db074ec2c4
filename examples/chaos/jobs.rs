//! What must hold of jobs, whatever happened: that they end, and how often they happen.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::evidence::{Change, Evidence, Final};
use crate::rules::{CLOCKS, Verdict, changes};

pub(crate) const RULES: [fn(&Evidence) -> Verdict; 6] = [
    ended_once,
    nobody_waits,
    rolled_back_never_ran,
    nothing_early,
    one_call_one_job,
    effects_once,
];

fn ended_once(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::new("every job ended, in exactly one state");
    let acknowledged = evidence.calls.values().filter_map(|call| call.acknowledged);
    let jobs: HashSet<i64> = evidence
        .changes
        .keys()
        .copied()
        .chain(acknowledged)
        .collect();
    for job in jobs {
        let finals = evidence.finals.get(&job).map_or(0, Vec::len);
        let at = evidence.last_seen(job);
        // Who waits in vain is another rule's.
        match evidence.left.get(&job).map(String::as_str) {
            Some("available") => {}
            Some(state) => verdict.job(job, at, false, || format!("is still {state}")),
            None => verdict.job(job, at, finals == 1, || {
                format!("is in {finals} final states")
            }),
        }
    }
    verdict
}

fn nobody_waits(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::new("no available job waits while workers are idle");
    verdict.cases = evidence.changes.len();
    for (job, _) in evidence
        .left
        .iter()
        .filter(|(_, state)| *state == "available")
    {
        verdict.job(*job, evidence.last_seen(*job), false, || {
            "is available, and nobody came for it".to_owned()
        });
    }
    verdict
}

fn rolled_back_never_ran(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::new("nothing rolled back ever was a job");
    let ran: HashSet<i64> = evidence.runs.iter().map(|run| run.token).collect();
    for (token, call) in &evidence.calls {
        let Some(job) = call.rolled_back else {
            continue;
        };
        let is_unknown = !ran.contains(token) && !evidence.changes.contains_key(&job);
        verdict.job(job, evidence.last_seen(job), is_unknown, || {
            "was rolled back, and is there".to_owned()
        });
    }
    verdict
}

fn nothing_early(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::new("nothing started early");
    let waited =
        |change: &&Change| matches!(change.old_state.as_deref(), Some("scheduled" | "retryable"));
    for change in changes(evidence).filter(waited) {
        // A waiting job may end early, by a cancellation, and must not start early.
        let is_due =
            change.new_state.is_none() || change.due_at.is_some_and(|due| change.at >= due);
        verdict.job(change.job, change.at, is_due, || {
            format!("{} came before it was due", change.verb)
        });
    }
    for run in &evidence.runs {
        let due_at = evidence.calls.get(&run.token).map_or(0, |call| call.due_at);
        verdict.job(run.job, run.began, run.began + CLOCKS >= due_at, || {
            format!(
                "attempt {} began {} µs early",
                run.attempt,
                due_at - run.began
            )
        });
    }
    verdict
}

fn one_call_one_job(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::new("a call makes one job at most");
    let mut jobs: BTreeMap<i64, HashSet<i64>> = BTreeMap::new();
    for run in &evidence.runs {
        jobs.entry(run.token).or_default().insert(run.job);
    }
    for (token, call) in &evidence.calls {
        jobs.entry(*token).or_default().extend(call.acknowledged);
    }
    for jobs in jobs.into_values() {
        let job = jobs.iter().next().copied().unwrap_or_default();
        verdict.job(job, evidence.last_seen(job), jobs.len() <= 1, || {
            format!("one call made the jobs {jobs:?}")
        });
    }
    verdict
}

fn effects_once(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::new("effects in the completing transaction happen once");
    let mut effects: HashMap<i64, Vec<i32>> = HashMap::new();
    for (_, job, attempt) in &evidence.effects {
        effects.entry(*job).or_default().push(*attempt);
    }
    let completed = |job: &i64| {
        let finals = evidence.finals.get(job).into_iter().flatten();
        let attempts = finals
            .filter(|one| one.state == "completed")
            .map(|one| one.attempt);
        attempts.collect::<Vec<_>>()
    };
    for (job, attempts) in &effects {
        let completed = completed(job);
        verdict.job(
            *job,
            evidence.last_seen(*job),
            *attempts == completed,
            || format!("took effect in attempts {attempts:?}, and was completed in {completed:?}"),
        );
    }
    for (job, finals) in &evidence.finals {
        let is_effect = |one: &&Final| one.kind.ends_with("::effect") && one.state == "completed";
        if finals.iter().any(|one| is_effect(&one)) {
            verdict.job(
                *job,
                evidence.last_seen(*job),
                effects.contains_key(job),
                || "was completed without its effect".to_owned(),
            );
        }
    }
    verdict
}
