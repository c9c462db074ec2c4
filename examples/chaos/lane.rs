//! What must hold of the express lane, where a claim is a lock that leaves no trace: how its jobs end, and who
//! answers for them when their process dies.

use crate::custody::AFTERMATH;
use crate::evidence::{Change, Evidence, Run};
use crate::fault::Fault;
use crate::history::{How, Who};
use crate::rules::{CLOCKS, Verdict, of_verb};

/// The queue that uses it.
pub(crate) const LANE: &str = "lane";
/// A batch ends, or is lost, so soon after its claim.
const BATCH: i64 = 1_000_000;

pub(crate) const RULES: [fn(&Evidence) -> Verdict; 3] =
    [what_ended_was_done, runs_leave_a_trace, deaths_are_charged];

fn what_ended_was_done(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::new("the express lane ended only what was done");
    for change in of_verb(evidence, "finish") {
        let is_done = |run: &&Run| {
            let ended = run
                .ended
                .is_some_and(|(at, how)| how == How::Done && at <= change.at + CLOCKS);
            run.job == change.job
                && Some(run.who) == change.who
                && run.attempt == change.attempt + 1
                && ended
        };
        let is_right = change.old_state.as_deref() == Some("available")
            && evidence.runs.iter().any(|run| is_done(&run));
        verdict.job(change.job, change.at, is_right, || {
            let session = change.who.map_or("somebody".to_owned(), Who::name);
            format!(
                "{session} ended attempt {}, which it had not done",
                change.attempt + 1
            )
        });
    }
    verdict
}

fn runs_leave_a_trace(evidence: &Evidence) -> Verdict {
    let mut verdict =
        Verdict::new("every batch of the express lane ended, or was lost for a reason");
    for run in in_the_lane(evidence) {
        let until = run.began + AFTERMATH;
        let died = evidence
            .gone
            .get(&run.who)
            .is_some_and(|(at, _)| at - run.began < 2 * BATCH);
        let is_right =
            its_end(evidence, run).is_some() || died || is_disturbed(evidence, run, until);
        verdict.job(run.job, run.began, is_right, || {
            format!(
                "{} ran attempt {}, and nothing came of it",
                run.who.name(),
                run.attempt
            )
        });
    }
    verdict
}

/// What a killed process had begun in the lane and not ended is charged with its death, unless a suspect ran
/// beside it.
fn deaths_are_charged(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::new("deaths in the express lane are charged");
    for run in in_the_lane(evidence).filter(|run| run.ended.is_none()) {
        let killed = evidence
            .gone
            .get(&run.who)
            .filter(|(_, how)| how == "killed");
        let Some((died_at, _)) = killed else { continue };
        let is_ordinary = its_end(evidence, run).is_some();
        if is_ordinary
            || is_disturbed(evidence, run, died_at + AFTERMATH)
            || ran_a_suspect(evidence, run.who)
        {
            continue;
        }
        let is_charge = |change: &&Change| {
            matches!(&*change.verb, "charge" | "rescue")
                && change.at > run.began
                && change
                    .new_deaths
                    .is_none_or(|deaths| deaths > change.deaths)
        };
        let is_right = changes_of(evidence, run).any(|change| is_charge(&change));
        verdict.job(run.job, *died_at, is_right, || {
            format!(
                "{} died while it ran attempt {}, at no charge",
                run.who.name(),
                run.attempt
            )
        });
    }
    verdict
}

/// Runs that no row shows as executing when they begin.
fn in_the_lane(evidence: &Evidence) -> impl Iterator<Item = &Run> {
    let is_claimed = |run: &Run| {
        changes_of(evidence, run).any(|change| {
            change.is_claim()
                && change.new_attempt == Some(run.attempt)
                && change.at <= run.began + CLOCKS
        })
    };
    let runs = evidence.runs.iter();
    runs.filter(move |run| run.queue == LANE && !is_claimed(run))
}

/// The change by which its process ended it, or made an ordinary executing job of it.
fn its_end<'a>(evidence: &'a Evidence, run: &Run) -> Option<&'a Change> {
    let (who, attempt) = (Some(run.who), run.attempt);
    changes_of(evidence, run).find(move |change| {
        change.who == who
            && matches!(&*change.verb, "finish" | "spill")
            && change.attempt + 1 == attempt
    })
}

fn changes_of<'a>(evidence: &'a Evidence, run: &Run) -> impl Iterator<Item = &'a Change> {
    evidence.changes.get(&run.job).into_iter().flatten()
}

/// Whether the connections of its batch may have been lost until then, which frees all of it at no charge.
fn is_disturbed(evidence: &Evidence, run: &Run, until: i64) -> bool {
    let harmless = [
        Fault::Kill,
        Fault::Terminate,
        Fault::KillActors,
        Fault::Walk,
    ];
    let overlaps =
        |from: i64, to: i64| from <= until && run.began - BATCH <= to.saturating_add(AFTERMATH);
    let mut faults = evidence.faults.iter();
    faults.any(|one| {
        !harmless.contains(&one.fault)
            && one.slot.is_none_or(|slot| slot == run.who.slot)
            && overlaps(one.from, one.to)
    }) || evidence
        .hiccups
        .iter()
        .any(|(of, from, to)| *of == run.who && overlaps(*from, *to))
}

fn ran_a_suspect(evidence: &Evidence, who: Who) -> bool {
    of_verb(evidence, "rescue").any(|change| {
        let owner = change.node.and_then(|node| evidence.nodes.get(&node));
        change.deaths > 0 && owner == Some(&who)
    })
}
