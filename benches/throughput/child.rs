//! This program as a process of its own, so that memory is one measurement's alone.

use std::process::Command;

use crate::drain;
use crate::scale;
use crate::support::Failed;

/// Set to the server's URL in a process that drains once.
pub(crate) const DRAINS: &str = "CALLBOARD_THROUGHPUT_DRAINS";
/// Set to the server's URL in a process that lives long.
pub(crate) const GROWS: &str = "CALLBOARD_THROUGHPUT_GROWS";

/// Runs such a process, and answers with what it said.
pub(crate) async fn said_by(
    which: &'static str,
    server: &str,
    words: &[String],
) -> Result<String, Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(which, server).args(words);
    let ran = tokio::task::spawn_blocking(move || command.output()).await??;
    if !ran.status.success() {
        return Err(String::from_utf8_lossy(&ran.stderr).into());
    }
    Ok(String::from_utf8(ran.stdout)?)
}

/// What this process is to do if it is such a one. `None` if it is not.
pub(crate) async fn live() -> Option<Result<(), Failed>> {
    if let Ok(server) = std::env::var(DRAINS) {
        return Some(drain_once(&server).await);
    }
    let server = std::env::var(GROWS).ok()?;
    Some(scale::be_grown(&server).await)
}

async fn drain_once(server: &str) -> Result<(), Failed> {
    let mut words = std::env::args().skip(1);
    let mut word = || words.next().ok_or("how many jobs and workers?");
    let (jobs, workers) = (word()?.parse()?, word()?.parse()?);
    drain::be_measured(server, jobs, workers).await
}
