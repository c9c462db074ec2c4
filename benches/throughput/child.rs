//! This program as a process of its own, so that memory is one measurement's alone.

use std::process::Command;

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

/// The server's URL, if this is such a process.
pub(crate) fn is(which: &str) -> Option<String> {
    std::env::var(which).ok()
}
