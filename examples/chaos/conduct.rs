//! What must hold of processes, whatever happened to them.

use std::collections::{BTreeMap, HashMap};

use crate::evidence::{Evidence, Run};
use crate::history::{Record, Said, Who};
use crate::node::workers;
use crate::rules::Verdict;

pub(crate) const RULES: [fn(&Evidence) -> Verdict; 5] = [
    no_more_than_workers,
    no_open_transaction,
    no_deadlock,
    deaths_end_in_restarts,
    nodes_end_when_told,
];

/// How long before the end of its process an actor's death may be without a restart.
const LAST_MOMENTS: i64 = 8_000_000;

fn no_more_than_workers(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::new("no more run at once than there are workers");
    let mut queues: BTreeMap<(Who, &str), Vec<&Run>> = BTreeMap::new();
    for run in &evidence.runs {
        queues.entry((run.who, &run.queue)).or_default().push(run);
    }
    for ((who, queue), runs) in queues {
        let ends = runs
            .iter()
            .filter_map(|run| run.ended.map(|(at, _)| (at, -1)));
        let mut steps: Vec<(i64, i32)> =
            runs.iter().map(|run| (run.began, 1)).chain(ends).collect();
        // Of what happens in the same microsecond, ends come first.
        steps.sort_unstable();
        let mut running = 0;
        let load = steps.into_iter().map(|(at, step)| {
            running += step;
            (running, at)
        });
        let (most, at) = load.max().unwrap_or_default();
        verdict.case(at, most <= workers(queue) as i32, || {
            format!("{} ran {most} jobs of {queue} at once", who.name())
        });
    }
    verdict
}

fn said(evidence: &Evidence) -> impl Iterator<Item = (Who, &Record)> {
    evidence
        .histories
        .iter()
        .flat_map(|(who, records)| records.iter().map(|record| (*who, record)))
}

fn no_open_transaction(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::new("no session stayed in a transaction");
    for (_, record) in said(evidence) {
        match &record.said {
            Said::Looked => verdict.case(record.at, true, String::new),
            Said::LeftOpen { session, state } => {
                verdict.case(record.at, false, || {
                    format!("a session of {session} was left {state}")
                });
            }
            _ => {}
        }
    }
    verdict
}

fn no_deadlock(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::new("nothing deadlocked");
    for (_, record) in said(evidence) {
        match record.said {
            Said::Looked => verdict.case(record.at, true, String::new),
            Said::Deadlock { count } => {
                verdict.case(record.at, false, || format!("{count} deadlocks"))
            }
            _ => {}
        }
    }
    verdict
}

fn deaths_end_in_restarts(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::new("every death of an actor ends in a restart");
    for (who, records) in &evidence.histories {
        let mut dead: HashMap<&str, i64> = HashMap::new();
        let mut end = records.last().map_or(0, |record| record.at);
        for record in records {
            match &record.said {
                Said::Exited {
                    path,
                    is_orderly: false,
                } => {
                    dead.insert(path, record.at);
                }
                Said::Started { path } if dead.remove(path.as_str()).is_some() => {
                    verdict.case(record.at, true, String::new);
                }
                Said::Unheard { .. } => dead.clear(),
                Said::Stopping => {
                    end = record.at;
                    break;
                }
                _ => {}
            }
        }
        for (path, at) in dead {
            verdict.case(at, end - at < LAST_MOMENTS, || {
                format!("{path} of {} died and was not restarted", who.name())
            });
        }
    }
    verdict
}

fn nodes_end_when_told(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::new("no process ended by itself");
    for (who, (at, how)) in &evidence.gone {
        verdict.case(*at, !how.starts_with("failed"), || {
            format!("{}: {how}", who.name())
        });
    }
    verdict
}
