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
            Bug::BatchForetellsNothing => "deaths in the express lane are charged",
        }
    }

    /// Runs once for each bug. Whether every one was found by its rule.
    pub(crate) fn show(options: &Options) -> Result<bool, BoxError> {
        println!(
            "{:<28} {:>8} {:>8}  rule",
            "planted bug", "findings", "first at"
        );
        let mut is_all = true;
        for (name, bug) in BUGS {
            let (findings, first_at) =
                findings_of(name, rule(bug), options).unwrap_or_else(|error| {
                    eprintln!("{error}");
                    (0, f64::NAN)
                });
            println!("{name:<28} {findings:>8} {first_at:>6.1} s  {}", rule(bug));
            is_all &= findings > 0;
        }
        Ok(is_all)
    }

    /// How often a rule was broken in a run with a bug, and when it was for the first time.
    fn findings_of(bug: &str, rule: &str, options: &Options) -> Result<(u64, f64), BoxError> {
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
        let ours = rules
            .iter()
            .find(|one| one["rule"] == rule)
            .ok_or("no such rule")?;
        let findings = ours["findings"].as_u64().unwrap_or_default();
        Ok((findings, ours["first_at_s"].as_f64().unwrap_or(f64::NAN)))
    }
}
