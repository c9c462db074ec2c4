//! One repetition of one setting: a fresh database, a process that prepares, a process that measures.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::Failed;
use crate::child::{Deed, TASK, Task};
use crate::figure::Figure;
use crate::measured::Measured;
use crate::server::{Server, analyze};
use crate::system::Name;

/// The database that trials take turns on.
const DATABASE: &str = "callboard_peers";

/// What is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trial {
    pub(crate) figure: Figure,
    pub(crate) system: Name,
    /// Its place among the settings of the system for the figure.
    pub(crate) setting: usize,
    pub(crate) jobs: u64,
}

impl Trial {
    pub(crate) async fn run(
        &self,
        server: &Server,
        patience: Duration,
    ) -> Result<Measured, Failed> {
        let url = server.fresh(DATABASE).await?;
        let measured = async {
            self.child(Deed::Prepare, &url, patience).await?;
            // Statistics of empty tables would mislead the planner when they fill.
            if !self.figure.ready_beforehand(self.jobs).is_empty() {
                analyze(&url).await?;
            }
            let printed = self.child(Deed::Measure, &url, patience).await?;
            let last = printed.lines().last().unwrap_or_default();
            Ok(serde_json::from_str(last)?)
        };
        let measured = measured.await;
        server.drop(DATABASE).await?;
        measured
    }

    /// What the child printed.
    async fn child(&self, deed: Deed, url: &str, patience: Duration) -> Result<String, Failed> {
        let task = Task {
            deed,
            url: url.to_owned(),
            system: self.system,
            figure: self.figure,
            setting: self.setting,
            jobs: self.jobs,
        };
        let child = Command::new(std::env::current_exe()?)
            .env(TASK, serde_json::to_string(&task)?)
            .envs(self.system.environment(self.figure, self.setting))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = tokio::time::timeout(patience, child.wait_with_output())
            .await
            .map_err(|_| format!("{deed:?} took longer than {patience:?}"))??;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{deed:?} ended with {}: {}", output.status, said.trim()).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}
