//! All that the checker trusts: the histories of the processes, and the tables as they are in the end.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use callboard::BoxError;
use tokio_postgres::{Client, Row};

use crate::fault::Fault;
use crate::history::{How, Record, Said, Tx, Who, read};

/// A change of a job's row, as the trigger saw it.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) at: i64,
    pub(crate) tx: i64,
    /// Whose session made it.
    pub(crate) who: Option<Who>,
    pub(crate) verb: String,
    pub(crate) job: i64,
    pub(crate) old_state: Option<String>,
    /// `None`: the row is gone.
    pub(crate) new_state: Option<String>,
    pub(crate) attempt: i32,
    pub(crate) new_attempt: Option<i32>,
    pub(crate) node: Option<i64>,
    pub(crate) new_node: Option<i64>,
    pub(crate) deaths: i32,
    pub(crate) new_deaths: Option<i32>,
    pub(crate) due_at: Option<i64>,
}

impl Change {
    /// Whether the job became a node's own, by a claim or by its enqueue.
    pub(crate) fn is_claim(&self) -> bool {
        matches!(&*self.verb, "claim" | "birth" | "spill")
    }
}

/// A handler that began.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) who: Who,
    pub(crate) token: i64,
    pub(crate) job: i64,
    pub(crate) attempt: i32,
    pub(crate) queue: String,
    pub(crate) began: i64,
    pub(crate) ended: Option<(i64, How)>,
}

/// A call that somebody enqueued, or tried to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Call {
    pub(crate) due_at: i64,
    /// The job, if the enqueue or the commit was acknowledged.
    pub(crate) acknowledged: Option<i64>,
    pub(crate) rolled_back: Option<i64>,
}

/// Where a job lies in the end.
#[derive(Debug, Clone)]
pub(crate) struct Final {
    pub(crate) state: String,
    pub(crate) kind: String,
    pub(crate) attempt: i32,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Inflicted {
    pub(crate) fault: Fault,
    pub(crate) slot: Option<u32>,
    pub(crate) from: i64,
    pub(crate) to: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) histories: Vec<(Who, Vec<Record>)>,
    /// In the order of the changes.
    pub(crate) changes: BTreeMap<i64, Vec<Change>>,
    pub(crate) runs: Vec<Run>,
    pub(crate) calls: BTreeMap<i64, Call>,
    pub(crate) finals: HashMap<i64, Vec<Final>>,
    /// Jobs that have not ended, and their states.
    pub(crate) left: BTreeMap<i64, String>,
    /// Token, job, attempt.
    pub(crate) effects: Vec<(i64, i64, i32)>,
    pub(crate) faults: Vec<Inflicted>,
    /// Who was held up by the machine, from when to when.
    pub(crate) hiccups: Vec<(Who, i64, i64)>,
    pub(crate) gone: HashMap<Who, (i64, String)>,
    pub(crate) cancelled: HashSet<i64>,
    /// Which process a node's id belongs to, by its claims.
    pub(crate) nodes: HashMap<i64, Who>,
}

impl Evidence {
    pub(crate) async fn gather(folder: &Path, tables: &Client) -> Result<Self, BoxError> {
        let mut evidence = Self {
            histories: read(folder)?,
            ..Self::default()
        };
        for (who, records) in std::mem::take(&mut evidence.histories) {
            for record in &records {
                evidence.hear(who, record);
            }
            evidence.histories.push((who, records));
        }
        evidence.read(tables).await?;
        Ok(evidence)
    }

    fn hear(&mut self, who: Who, record: &Record) {
        let at = record.at;
        match &record.said {
            Said::Calling { token, after_ms } => {
                self.calls.entry(*token).or_default().due_at = at + after_ms * 1_000;
            }
            Said::Posted { token, job }
            | Said::Transaction {
                token,
                job,
                end: Tx::Committed,
            } => {
                self.calls.entry(*token).or_default().acknowledged = Some(*job);
            }
            Said::Transaction {
                token,
                job,
                end: Tx::RolledBack,
            } => {
                self.calls.entry(*token).or_default().rolled_back = Some(*job);
            }
            Said::Cancelling { job } => drop(self.cancelled.insert(*job)),
            Said::Began {
                token,
                job,
                attempt,
                queue,
                ..
            } => self.runs.push(Run {
                who,
                token: *token,
                job: *job,
                attempt: *attempt,
                queue: queue.clone(),
                began: at,
                ended: None,
            }),
            Said::Ended { job, attempt, how } => {
                let is_it = |run: &&mut Run| {
                    run.who == who
                        && run.job == *job
                        && run.attempt == *attempt
                        && run.ended.is_none()
                };
                if let Some(run) = self.runs.iter_mut().rev().find(is_it) {
                    run.ended = Some((at, *how));
                }
            }
            Said::Hiccup { ms } => self.hiccups.push((who, at - ms * 1_000, at)),
            Said::Fault { fault, slot } => self.faults.push(Inflicted {
                fault: *fault,
                slot: *slot,
                from: at,
                to: i64::MAX,
            }),
            Said::Over { fault, slot } => {
                let is_it = |one: &&mut Inflicted| {
                    one.fault == *fault && one.slot == *slot && one.to == i64::MAX
                };
                if let Some(one) = self.faults.iter_mut().rev().find(is_it) {
                    one.to = at;
                }
            }
            Said::Gone { who, how } => drop(self.gone.insert(*who, (at, how.clone()))),
            _ => {}
        }
    }

    async fn read(&mut self, tables: &Client) -> Result<(), BoxError> {
        let audit = "select (extract(epoch from at) * 1000000)::bigint, tx, session, verb, job, old_state, \
                     new_state, attempt, new_attempt, node, new_node, deaths, new_deaths, \
                     (extract(epoch from due_at) * 1000000)::bigint from chaos.audit order by seq";
        for row in tables.query(audit, &[]).await? {
            let change = change(&row);
            if let (true, Some(node), Some(who)) = (change.is_claim(), change.new_node, change.who)
            {
                self.nodes.entry(node).or_insert(who);
            }
            self.changes.entry(change.job).or_default().push(change);
        }
        let finals = "select id, state, kind, attempt from callboard.finished_jobs \
                      union all select id, 'dead', kind, attempt from callboard.dead_letters";
        for row in tables.query(finals, &[]).await? {
            self.finals.entry(row.get(0)).or_default().push(Final {
                state: row.get(1),
                kind: row.get(2),
                attempt: row.get(3),
            });
        }
        for row in tables
            .query("select id, state from callboard.jobs", &[])
            .await?
        {
            self.left.insert(row.get(0), row.get(1));
        }
        let effects = "select token, job, attempt from chaos.effects order by token";
        for row in tables.query(effects, &[]).await? {
            self.effects.push((row.get(0), row.get(1), row.get(2)));
        }
        Ok(())
    }

    /// When the first thing happened.
    pub(crate) fn began(&self) -> i64 {
        let first = |(_, records): &(Who, Vec<Record>)| records.first().map(|record| record.at);
        self.histories
            .iter()
            .filter_map(first)
            .min()
            .unwrap_or_default()
    }

    /// When a job's row last changed.
    pub(crate) fn last_seen(&self, job: i64) -> i64 {
        let last = self.changes.get(&job).and_then(|changes| changes.last());
        last.map_or(0, |change| change.at)
    }

    /// Everything that is known of a job, in the order of time.
    pub(crate) fn timeline(&self, job: i64) -> Vec<(i64, String)> {
        let tokens: HashSet<i64> = self.tokens_of(job).collect();
        let mut lines = Vec::new();
        for (who, records) in &self.histories {
            for record in records {
                if is_about(&record.said, job, &tokens) {
                    lines.push((record.at, format!("{:<12} {:?}", who.name(), record.said)));
                }
            }
        }
        for change in self.changes.get(&job).into_iter().flatten() {
            lines.push((change.at, tell(change, &self.nodes)));
        }
        for one in self.finals.get(&job).into_iter().flatten() {
            lines.push((
                i64::MAX,
                format!("in the end: {} at attempt {}", one.state, one.attempt),
            ));
        }
        if let Some(state) = self.left.get(&job) {
            lines.push((i64::MAX, format!("in the end: still {state}")));
        }
        let (from, to) = lines
            .iter()
            .filter(|(at, _)| *at != i64::MAX)
            .fold((i64::MAX, i64::MIN), |(from, to), (at, _)| {
                (from.min(*at), to.max(*at))
            });
        for one in self
            .faults
            .iter()
            .filter(|one| one.from <= to && one.to >= from)
        {
            let on = one
                .slot
                .map_or("all".to_owned(), |slot| format!("node {slot}"));
            lines.push((
                one.from,
                format!("fault        {} begins, on {on}", one.fault),
            ));
            lines.push((
                one.to,
                format!("fault        {} is over, on {on}", one.fault),
            ));
        }
        lines.sort_by_key(|(at, _)| *at);
        lines
    }

    fn tokens_of(&self, job: i64) -> impl Iterator<Item = i64> {
        let ran = self
            .runs
            .iter()
            .filter(move |run| run.job == job)
            .map(|run| run.token);
        let called = self
            .calls
            .iter()
            .filter(move |(_, call)| call.acknowledged == Some(job));
        ran.chain(called.map(|(token, _)| *token))
    }
}

fn is_about(said: &Said, about: i64, tokens: &HashSet<i64>) -> bool {
    match said {
        Said::Calling { token, .. } | Said::Unsure { token, .. } => tokens.contains(token),
        Said::Posted { job, .. }
        | Said::InTransaction { job, .. }
        | Said::Transaction { job, .. }
        | Said::Cancelling { job }
        | Said::Cancelled { job, .. }
        | Said::Began { job, .. }
        | Said::Ended { job, .. } => *job == about,
        _ => false,
    }
}

fn tell(change: &Change, nodes: &HashMap<i64, Who>) -> String {
    let session = change.who.map_or("somebody".to_owned(), Who::name);
    let owner = |node: Option<i64>| {
        let known = node.and_then(|node| nodes.get(&node));
        known.map_or(String::new(), |who| format!(" of {}", who.name()))
    };
    let gone = "gone".to_owned();
    format!(
        "{session:<12} {}: {}{} -> {}{}, attempt {} -> {}, deaths {} -> {}",
        change.verb,
        change.old_state.as_ref().unwrap_or(&"nothing".to_owned()),
        owner(change.node),
        change.new_state.as_ref().unwrap_or(&gone),
        owner(change.new_node),
        change.attempt,
        change.new_attempt.unwrap_or(change.attempt),
        change.deaths,
        change.new_deaths.unwrap_or(change.deaths),
    )
}

fn change(row: &Row) -> Change {
    let session: String = row.get(2);
    Change {
        at: row.get(0),
        tx: row.get(1),
        who: Who::parse(&session),
        verb: row.get(3),
        job: row.get(4),
        old_state: row.get(5),
        new_state: row.get(6),
        attempt: row.get(7),
        new_attempt: row.get(8),
        node: row.get(9),
        new_node: row.get(10),
        deaths: row.get(11),
        new_deaths: row.get(12),
        due_at: row.get(13),
    }
}
