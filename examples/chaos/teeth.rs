//! Shows that the run has teeth: one run for each planted bug, each of which the right rule must find.

use callboard::BoxError;

use crate::options::Options;

#[cfg(not(feature = "planted-bugs"))]
const WITHOUT: &str = "there are no bugs to plant; try again with --features planted-bugs";

#[cfg(not(feature = "planted-bugs"))]
pub(crate) fn plant(_bug: &str) -> Result<(), BoxError> {
    Err(WITHOUT.into())
}

#[cfg(not(feature = "planted-bugs"))]
pub(crate) fn show(_options: &Options) -> Result<bool, BoxError> {
    Err(WITHOUT.into())
}

#[cfg(feature = "planted-bugs")]
pub(crate) use with_bugs::{plant, show};

#[cfg(feature = "planted-bugs")]
mod with_bugs {
    use std::process::Command;
    use std::time::Instant;

    use callboard::planted::{BUGS, Bug};

    use super::*;

    pub(crate) fn plant(name: &str) -> Result<(), BoxError> {
        let found = BUGS.iter().find(|(known, _)| *known == name);
        let names: Vec<_> = BUGS.iter().map(|(name, _)| *name).collect();
        let (_, bug) =
            found.ok_or_else(|| format!("no such bug; there are {}", names.join(", ")))?;
        callboard::planted::plant(*bug);
        Ok(())
    }

    /// The rule that finds a bug.
    fn rule(bug: Bug) -> &'static str {
        match bug {
            Bug::SettleById | Bug::SettleByState => "no answer of a stale lease was accepted",
            Bug::RescueWithoutRecheck | Bug::HeartbeatOnJobRuntime => {
                "only the jobs of dead nodes were taken back"
            }
            Bug::SnoozeLowersAttempt => "attempts only grow",
            Bug::SettlementLostWithLedger | Bug::ErrorMeansNotCommitted => {
                "every job ended, in exactly one state"
            }
            Bug::NotifyWithoutPoll => "no available job waits while workers are idle",
            Bug::RescueNotCharged => "deaths are charged",
            Bug::UnorderedBatch => "nothing deadlocked",
        }
    }

    /// Runs once for each bug. Whether every one was found by its rule.
    pub(crate) fn show(options: &Options) -> Result<bool, BoxError> {
        println!(
            "{:<28} {:>5}  {:>8}  rule",
            "planted bug", "took", "findings"
        );
        let mut is_all = true;
        for (name, bug) in BUGS {
            let began = Instant::now();
            let findings = findings_of(name, rule(bug), options).unwrap_or_else(|error| {
                eprintln!("{error}");
                0
            });
            let seconds = began.elapsed().as_secs();
            println!("{name:<28} {seconds:>4}s  {findings:>8}  {}", rule(bug));
            is_all &= findings > 0;
        }
        Ok(is_all)
    }

    fn findings_of(bug: &str, rule: &str, options: &Options) -> Result<u64, BoxError> {
        let name = format!("callboard-teeth-{}-{bug}.json", std::process::id());
        let report = std::env::temp_dir().join(name);
        let output = Command::new(std::env::current_exe()?)
            .args(["--bug", bug, "--seed", &options.seed.to_string()])
            .args(["--nodes", &options.nodes.to_string()])
            .args(["--seconds", &options.length.as_secs().to_string()])
            .arg("--json")
            .arg(&report)
            .output()?;
        let Ok(text) = std::fs::read_to_string(&report) else {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("the run with {bug} did not end: {said}").into());
        };
        std::fs::remove_file(&report)?;
        let report: serde_json::Value = serde_json::from_str(&text)?;
        let rules = report["rules"].as_array().ok_or("a report has rules")?;
        let ours = rules.iter().filter(|one| one["rule"] == rule);
        Ok(ours.filter_map(|one| one["findings"].as_u64()).sum())
    }
}
