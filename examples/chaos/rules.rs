//! Rules and what they found. They stand in four files: of [`custody`](crate::custody), of
//! [`jobs`](crate::jobs), of the express [`lane`](crate::lane), and of processes' [`conduct`](crate::conduct).

use crate::evidence::{Change, Evidence};

/// Every verdict on a run.
pub(crate) fn judge(evidence: &Evidence) -> Vec<Verdict> {
    let rules = crate::jobs::RULES
        .iter()
        .chain(&crate::custody::RULES)
        .chain(&crate::lane::RULES)
        .chain(&crate::conduct::RULES);
    let mut verdicts: Vec<Verdict> = rules.map(|rule| rule(evidence)).collect();
    for verdict in &mut verdicts {
        verdict.findings.sort_by_key(|finding| finding.at);
    }
    verdicts
}

/// Two clocks are compared where handlers begin: the database's and theirs.
pub(crate) const CLOCKS: i64 = 2_000;

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
    pub(crate) at: i64,
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
    pub(crate) fn job(&mut self, job: i64, at: i64, is_right: bool, what: impl FnOnce() -> String) {
        self.cases += 1;
        if !is_right {
            let text = format!("job {job}: {}", what());
            self.findings.push(Finding {
                at,
                text,
                job: Some(job),
            });
        }
    }

    /// Looks at any other case.
    pub(crate) fn case(&mut self, at: i64, is_right: bool, what: impl FnOnce() -> String) {
        self.cases += 1;
        if !is_right {
            self.findings.push(Finding {
                at,
                text: what(),
                job: None,
            });
        }
    }
}

pub(crate) fn changes(evidence: &Evidence) -> impl Iterator<Item = &Change> {
    evidence.changes.values().flatten()
}

pub(crate) fn of_verb<'a>(
    evidence: &'a Evidence,
    verb: &'a str,
) -> impl Iterator<Item = &'a Change> {
    changes(evidence).filter(move |change| change.verb == verb)
}
