//! What must hold, whatever happened: the rules about jobs and their rows. Those about processes are
//! in [`conduct`](crate::conduct).

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::evidence::{Change, Evidence, Run};
use crate::history::{How, Who};
use crate::node::LEASE;
use crate::storm::Fault;

/// A rule, and what it found.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) rule: &'static str,
    /// How many cases it looked at.
    pub(crate) cases: usize,
    pub(crate) findings: Vec<Finding>,
}

#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) text: String,
    pub(crate) job: Option<i64>,
}

impl Verdict {
    pub(crate) fn new(rule: &'static str) -> Self {
        Self {
            rule,
            cases: 0,
            findings: Vec::new(),
        }
    }

    /// Looks at a case of a job.
    fn job(&mut self, job: i64, is_right: bool, what: impl FnOnce() -> String) {
        self.cases += 1;
        if !is_right {
            let text = format!("job {job}: {}", what());
            self.findings.push(Finding {
                text,
                job: Some(job),
            });
        }
    }

    /// Looks at any other case.
    pub(crate) fn case(&mut self, is_right: bool, what: impl FnOnce() -> String) {
        self.cases += 1;
        if !is_right {
            self.findings.push(Finding {
                text: what(),
                job: None,
            });
        }
    }
}

/// How long after a fault a node may be found dead for it.
const AFTERMATH: i64 = (LEASE.as_micros() as i64) + 1_000_000;
/// Claims of so long ago may be lost in a crash of the server: they commit asynchronously.
const ASYNCHRONOUS: i64 = 3_000_000;
/// Two clocks are compared where handlers begin: the database's and theirs.
const CLOCKS: i64 = 2_000;

pub(crate) const RULES: [fn(&Evidence) -> Verdict; 11] = [
    ended_once,
    nobody_waits,
    rolled_back_never_ran,
    attempts_grow,
    answers_are_current,
    runs_have_causes,
    taken_back_from_the_dead,
    deaths_are_charged,
    nothing_early,
    one_call_one_job,
    effects_once,
];

fn changes(evidence: &Evidence) -> impl Iterator<Item = &Change> {
    evidence.changes.values().flatten()
}

fn of_verb<'a>(evidence: &'a Evidence, verb: &'a str) -> impl Iterator<Item = &'a Change> {
    changes(evidence).filter(move |change| change.verb == verb)
}

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
        // Who waits in vain is another rule's.
        match evidence.left.get(&job).map(String::as_str) {
            Some("available") => {}
            Some(state) => verdict.job(job, false, || format!("is still {state}")),
            None => verdict.job(job, finals == 1, || format!("is in {finals} final states")),
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
        verdict.job(*job, false, || {
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
        verdict.job(job, is_unknown, || {
            "was rolled back, and is there".to_owned()
        });
    }
    verdict
}

fn attempts_grow(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::new("attempts only grow");
    for change in changes(evidence).filter(|change| change.new_attempt.is_some()) {
        let step = i32::from(change.verb == "claim");
        let is_right = change.new_attempt == Some(change.attempt + step);
        verdict.job(change.job, is_right, || {
            let new = change.new_attempt.unwrap_or_default();
            format!("{} took attempt {} to {new}", change.verb, change.attempt)
        });
    }
    let mut begun: HashMap<(i64, i32), Vec<&Run>> = HashMap::new();
    for run in &evidence.runs {
        begun.entry((run.job, run.attempt)).or_default().push(run);
    }
    for ((job, attempt), runs) in begun {
        let people: HashSet<Who> = runs.iter().map(|run| run.who).collect();
        let claimed = runs.iter().filter(|run| claim_of(evidence, run).is_some());
        let is_right = people.len() == runs.len() && claimed.count() <= 1;
        verdict.job(job, is_right, || {
            format!("attempt {attempt} was run {} times", runs.len())
        });
    }
    verdict
}

fn claim_of<'a>(evidence: &'a Evidence, run: &Run) -> Option<&'a Change> {
    let of_job = evidence.changes.get(&run.job)?;
    of_job.iter().find(|change| {
        change.verb == "claim"
            && change.new_attempt == Some(run.attempt)
            && change.who == Some(run.who)
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
        verdict.job(change.job, is_executing && owner == change.who, || {
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
        verdict.job(change.job, is_wish, || {
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
            verdict.job(*job, is_chain, || "changed without a trace".to_owned());
        }
        for change in changes {
            let is_right = match change.verb.as_str() {
                "claim" => change.old_state.as_deref() == Some("available"),
                "unknown" => false,
                _ => true,
            };
            verdict.job(*job, is_right, || {
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
    for run in &evidence.runs {
        let was_lost = || {
            let just_before = |at| run.began <= at && at - run.began < ASYNCHRONOUS;
            crashes
                .iter()
                .any(|one| just_before(one.from) || just_before(one.to))
        };
        let is_right = claim_of(evidence, run).is_some() || was_lost();
        verdict.job(run.job, is_right, || {
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
        verdict.job(change.job, is_executing, || {
            let state = change.old_state.as_deref().unwrap_or_default();
            format!("was taken back when it was {state}")
        });
        let owner = change
            .node
            .and_then(|node| evidence.nodes.get(&node))
            .copied();
        if let (true, Some(owner)) = (is_executing, owner) {
            verdict.job(change.job, looked_dead(evidence, owner, change.at), || {
                format!(
                    "was taken back from {}, which was alive and well",
                    owner.name()
                )
            });
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
            verdict.job(change.job, is_right, || {
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

fn nothing_early(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::new("nothing started early");
    let waited =
        |change: &&Change| matches!(change.old_state.as_deref(), Some("scheduled" | "retryable"));
    for change in changes(evidence).filter(waited) {
        // A waiting job may end early, by a cancellation, and must not start early.
        let is_due =
            change.new_state.is_none() || change.due_at.is_some_and(|due| change.at >= due);
        verdict.job(change.job, is_due, || {
            format!("{} came before it was due", change.verb)
        });
    }
    for run in &evidence.runs {
        let due_at = evidence.calls.get(&run.token).map_or(0, |call| call.due_at);
        verdict.job(run.job, run.began + CLOCKS >= due_at, || {
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
        verdict.job(job, jobs.len() <= 1, || {
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
        verdict.job(*job, *attempts == completed, || {
            format!("took effect in attempts {attempts:?}, and was completed in {completed:?}")
        });
    }
    for (job, finals) in &evidence.finals {
        let is_effect = |one: &&crate::evidence::Final| {
            one.kind.ends_with("::effect") && one.state == "completed"
        };
        if finals.iter().any(|one| is_effect(&one)) {
            verdict.job(*job, effects.contains_key(job), || {
                "was completed without its effect".to_owned()
            });
        }
    }
    verdict
}
