//! What a run tells: for people, and for machines.

use std::collections::BTreeMap;
use std::path::Path;

use callboard::BoxError;
use serde_json::json;

use crate::evidence::Evidence;
use crate::fault::Fault;
use crate::history::counts;
use crate::options::Options;
use crate::rules::{Verdict, judge};

/// How many findings of a rule are told, and how many jobs with all that happened to them.
const TOLD: usize = 5;

pub(crate) struct Report {
    began: i64,
    faults: BTreeMap<Fault, usize>,
    states: BTreeMap<String, usize>,
    acknowledged: usize,
    runs: usize,
    refused: u64,
    rescued: u64,
    verdicts: Vec<Verdict>,
    timelines: Vec<(i64, Vec<(i64, String)>)>,
}

impl Report {
    pub(crate) fn of(evidence: &Evidence) -> Self {
        let verdicts = judge(evidence);
        let mut faults = BTreeMap::new();
        for one in &evidence.faults {
            *faults.entry(one.fault).or_default() += 1;
        }
        let mut states = BTreeMap::new();
        for one in evidence.finals.values().flatten() {
            *states.entry(one.state.clone()).or_default() += 1;
        }
        let (refused, rescued) = counts(&evidence.histories);
        let mut jobs: Vec<i64> = Vec::new();
        for verdict in &verdicts {
            let in_question = verdict
                .findings
                .iter()
                .filter_map(|finding| finding.job)
                .take(TOLD);
            jobs.extend(in_question);
        }
        jobs.sort_unstable();
        jobs.dedup();
        Self {
            began: evidence.began(),
            faults,
            states,
            acknowledged: evidence
                .calls
                .values()
                .filter(|call| call.acknowledged.is_some())
                .count(),
            runs: evidence.runs.len(),
            refused,
            rescued,
            timelines: jobs
                .into_iter()
                .map(|job| (job, evidence.timeline(job)))
                .collect(),
            verdicts,
        }
    }

    /// How long after the beginning.
    fn seconds(&self, at: i64) -> f64 {
        (at - self.began) as f64 / 1e6
    }

    fn findings(&self) -> usize {
        self.verdicts
            .iter()
            .map(|verdict| verdict.findings.len())
            .sum()
    }

    /// Whether the faults did anything to custody at all.
    fn has_teeth(&self) -> bool {
        self.rescued > 0 && self.refused > 0
    }

    pub(crate) fn is_fine(&self) -> bool {
        self.findings() == 0 && self.has_teeth()
    }

    pub(crate) fn print(&self, options: &Options) {
        println!("\n{:<44} {:>8}", "fault", "times");
        for (fault, times) in &self.faults {
            println!("{fault:<44} {times:>8}");
        }
        println!("\n{:<44} {:>8}", "jobs", "");
        println!("{:<44} {:>8}", "enqueues acknowledged", self.acknowledged);
        println!("{:<44} {:>8}", "attempts run", self.runs);
        for (state, jobs) in &self.states {
            println!("{state:<44} {jobs:>8}");
        }
        println!("{:<44} {:>8}", "taken back from dead nodes", self.rescued);
        println!(
            "{:<44} {:>8}",
            "answers of stale leases refused", self.refused
        );
        println!("\n{:<52} {:>8} {:>8}", "rule", "cases", "findings");
        for verdict in &self.verdicts {
            println!(
                "{:<52} {:>8} {:>8}",
                verdict.rule,
                verdict.cases,
                verdict.findings.len()
            );
        }
        for verdict in self
            .verdicts
            .iter()
            .filter(|verdict| !verdict.findings.is_empty())
        {
            println!("\nNot so: {}", verdict.rule);
            for finding in verdict.findings.iter().take(TOLD) {
                println!("  at {:.1} s, {}", self.seconds(finding.at), finding.text);
            }
            if verdict.findings.len() > TOLD {
                println!("  and {} more", verdict.findings.len() - TOLD);
            }
        }
        for (job, lines) in &self.timelines {
            let began = lines.first().map_or(0, |(at, _)| *at);
            println!("\njob {job}");
            for (at, line) in lines {
                match *at {
                    i64::MAX => println!("               {line}"),
                    at => println!("  {:>10.3} s {line}", (at - began) as f64 / 1e6),
                }
            }
        }
        println!();
        if !self.has_teeth() {
            println!(
                "No teeth: no job was taken back, or no stale answer refused. Try another seed."
            );
        }
        match self.findings() {
            0 => println!("Seed {}: every rule held.", options.seed),
            findings => println!("Seed {}: {findings} findings.", options.seed),
        }
    }

    pub(crate) fn write(&self, options: &Options, path: &Path) -> Result<(), BoxError> {
        let named = self
            .faults
            .iter()
            .map(|(fault, times)| (format!("{fault:?}"), *times));
        let rule = |verdict: &Verdict| {
            let texts: Vec<&str> = verdict
                .findings
                .iter()
                .map(|finding| &*finding.text)
                .collect();
            json!({
                "rule": verdict.rule,
                "cases": verdict.cases,
                "findings": texts.len(),
                "first_at_s": verdict.findings.first().map(|first| self.seconds(first.at)),
                "texts": texts,
            })
        };
        let report = json!({
            "seed": options.seed,
            "nodes": options.nodes,
            "seconds": options.length.as_secs(),
            "bug": options.bug,
            "is_fine": self.is_fine(),
            "faults": named.collect::<BTreeMap<_, _>>(),
            "acknowledged": self.acknowledged,
            "runs": self.runs,
            "states": self.states,
            "rescued": self.rescued,
            "refused": self.refused,
            "rules": self.verdicts.iter().map(rule).collect::<Vec<_>>(),
        });
        Ok(std::fs::write(path, serde_json::to_vec_pretty(&report)?)?)
    }
}
