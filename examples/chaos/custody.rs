//! What must hold of custody, whatever happened: who may change a job's row, and when.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::evidence::{Change, Evidence, Run};
use crate::fault::Fault;
use crate::history::{How, Who};
use crate::lane::LANE;
use crate::node::LEASE;
use crate::rules::{CLOCKS, Verdict, changes, of_verb};

/// How long after a fault a node may be found dead for it.
pub(crate) const AFTERMATH: i64 = (LEASE.as_micros() as i64) + 1_000_000;
/// Claims of so long ago may be lost in a crash of the server: they commit asynchronously.
const ASYNCHRONOUS: i64 = 3_000_000;

pub(crate) const RULES: [fn(&Evidence) -> Verdict; 5] = [
    attempts_grow,
    answers_are_current,
    runs_have_causes,
    taken_back_from_the_dead,
    deaths_are_charged,
];

fn attempts_grow(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::new("attempts only grow");
    for change in changes(evidence).filter(|change| change.new_attempt.is_some()) {
        let steps = match &*change.verb {
            "claim" | "spill" => 1..=1,
            // What ran in the express lane may not have been counted yet.
            "charge" => 0..=1,
            _ => 0..=0,
        };
        let step = change.new_attempt.map(|new| new - change.attempt);
        let is_right = step.is_some_and(|step| steps.contains(&step));
        verdict.job(change.job, change.at, is_right, || {
            let new = change.new_attempt.unwrap_or_default();
            format!("{} took attempt {} to {new}", change.verb, change.attempt)
        });
    }
    let mut begun: HashMap<(i64, i32), Vec<&Run>> = HashMap::new();
    for run in &evidence.runs {
        begun.entry((run.job, run.attempt)).or_default().push(run);
    }
    for ((job, attempt), runs) in begun {
        // Others lost their claim in a crash of the server, which is looked at elsewhere.
        let claimed = runs.iter().filter(|run| claim_of(evidence, run).is_some());
        let is_right = claimed.count() <= 1;
        verdict.job(job, runs[0].began, is_right, || {
            format!("attempt {attempt} was run {} times", runs.len())
        });
    }
    verdict
}

fn claim_of<'a>(evidence: &'a Evidence, run: &Run) -> Option<&'a Change> {
    let of_job = evidence.changes.get(&run.job)?;
    of_job.iter().find(|change| {
        change.is_claim()
            && change.new_attempt == Some(run.attempt)
            && change.who == Some(run.who)
            && change.at <= run.began + CLOCKS
    })
}

fn answers_are_current(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::new("no answer of a stale lease was accepted");
    let mut runs: HashMap<(i64, i32, Who), &Run> = HashMap::new();
    for run in &evidence.runs {
        runs.insert((run.job, run.attempt, run.who), run);
    }
    let effects: HashSet<i64> = evidence.effects.iter().map(|(_, job, _)| *job).collect();
    for change in of_verb(evidence, "settle") {
        let owner = change
            .node
            .and_then(|node| evidence.nodes.get(&node))
            .copied();
        let session = change.who.map_or("somebody".to_owned(), Who::name);
        let is_executing = change.old_state.as_deref() == Some("executing");
        verdict.job(change.job, change.at, is_executing && owner == change.who, || {
            let state = change.old_state.as_deref().unwrap_or_default();
            let owner = owner.map_or("nobody".to_owned(), Who::name);
            format!(
                "the answer of {session} was accepted while it was {state}, in the hands of {owner}"
            )
        });
        let (Some(who), true) = (change.who, owner == change.who) else {
            continue;
        };
        let run = runs.get(&(change.job, change.attempt, who));
        let how = run.and_then(|run| run.ended).map(|(_, how)| how);
        let became = became(evidence, change);
        let is_wish = match became {
            "completed" => how == Some(How::Done) || effects.contains(&change.job),
            "retryable" | "dead" => matches!(how, Some(How::Failed | How::Panicked | How::CutOff)),
            "scheduled" => how == Some(How::Snoozed),
            "cancelled" => evidence.cancelled.contains(&change.job),
            // Released: not begun, or interrupted.
            _ => !matches!(how, Some(How::Done | How::Snoozed)),
        };
        verdict.job(change.job, change.at, is_wish, || {
            format!(
                "attempt {} of {session} ended as {how:?}, and the job became {became}",
                change.attempt
            )
        });
    }
    verdict
}

fn became<'a>(evidence: &'a Evidence, change: &'a Change) -> &'a str {
    let last = || {
        evidence
            .finals
            .get(&change.job)
            .and_then(|finals| finals.first())
    };
    let state = change.new_state.as_deref();
    state
        .or_else(|| last().map(|last| last.state.as_str()))
        .unwrap_or("nothing")
}

fn runs_have_causes(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::new("every run has a cause");
    for (job, changes) in &evidence.changes {
        for pair in changes.windows(2) {
            let is_chain =
                pair[0].new_state == pair[1].old_state && pair[0].new_node == pair[1].node;
            verdict.job(*job, pair[1].at, is_chain, || {
                "changed without a trace".to_owned()
            });
        }
        for change in changes {
            let is_right = match change.verb.as_str() {
                "claim" | "spill" => change.old_state.as_deref() == Some("available"),
                "unknown" => false,
                _ => true,
            };
            verdict.job(*job, change.at, is_right, || {
                let state = change.old_state.as_deref().unwrap_or("nothing");
                format!("{} found it {state}", change.verb)
            });
        }
    }
    let crashes = |fault| matches!(fault, Fault::Restart | Fault::Crash);
    let crashes: Vec<_> = evidence
        .faults
        .iter()
        .filter(|one| crashes(one.fault))
        .collect();
    // In the express lane a claim is no change of a row.
    for run in evidence.runs.iter().filter(|run| run.queue != LANE) {
        let was_lost = || {
            let just_before = |at| run.began <= at && at - run.began < ASYNCHRONOUS;
            crashes
                .iter()
                .any(|one| just_before(one.from) || just_before(one.to))
        };
        let is_right = claim_of(evidence, run).is_some() || was_lost();
        verdict.job(run.job, run.began, is_right, || {
            format!(
                "{} ran attempt {}, which it never claimed",
                run.who.name(),
                run.attempt
            )
        });
    }
    verdict
}

fn taken_back_from_the_dead(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::new("only the jobs of dead nodes were taken back");
    for change in of_verb(evidence, "rescue") {
        let is_executing = change.old_state.as_deref() == Some("executing");
        verdict.job(change.job, change.at, is_executing, || {
            let state = change.old_state.as_deref().unwrap_or_default();
            format!("was taken back when it was {state}")
        });
        let owner = change
            .node
            .and_then(|node| evidence.nodes.get(&node))
            .copied();
        if let (true, Some(owner)) = (is_executing, owner) {
            verdict.job(
                change.job,
                change.at,
                looked_dead(evidence, owner, change.at),
                || {
                    format!(
                        "was taken back from {}, which was alive and well",
                        owner.name()
                    )
                },
            );
        }
    }
    verdict
}

/// Whether anything happened to a node for which it may be taken for dead.
fn looked_dead(evidence: &Evidence, who: Who, at: i64) -> bool {
    let covers = |from: i64, to: i64| from <= at && at <= to.saturating_add(AFTERMATH);
    let is_hit = |slot: Option<u32>| slot.is_none_or(|slot| slot == who.slot);
    let mut faults = evidence.faults.iter();
    let has_ended = evidence.gone.get(&who).is_some_and(|(gone, _)| *gone <= at);
    let mut hiccups = evidence.hiccups.iter();
    has_ended
        || faults.any(|one| {
            one.fault.may_look_like_death() && is_hit(one.slot) && covers(one.from, one.to)
        })
        || hiccups
            .any(|(of, from, to)| (*of == who || *of == Who::COORDINATOR) && covers(*from, *to))
}

/// A death is charged to the suspect that ran, or else to everybody who did.
fn deaths_are_charged(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::new("deaths are charged");
    let mut deaths: BTreeMap<(i64, Option<i64>), Vec<&Change>> = BTreeMap::new();
    for change in of_verb(evidence, "rescue") {
        deaths
            .entry((change.tx, change.node))
            .or_default()
            .push(change);
    }
    for changes in deaths.into_values() {
        let is_suspected = changes.iter().any(|change| change.deaths > 0);
        for change in changes {
            let charge = i32::from(change.deaths > 0 || !is_suspected);
            let is_right = change
                .new_deaths
                .is_none_or(|new| new == change.deaths + charge);
            verdict.job(change.job, change.at, is_right, || {
                let new = change.new_deaths.unwrap_or_default();
                format!(
                    "its process died, and its deaths went from {} to {new}",
                    change.deaths
                )
            });
        }
    }
    verdict
}
