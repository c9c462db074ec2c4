//! Running and ending processes within limits.
//!
//! Knows signals and nothing of PostgreSQL's files. A child is reaped here and only here.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::deadline::{Deadline, wait_until};
use super::error::{Doing, EmbeddedError};

/// How long a program that only prints something may take.
const QUESTION_LIMIT: Duration = Duration::from_secs(10);

/// Fast shutdown, immediate shutdown, kill: each with its limit. PostgreSQL itself kills its processes 5 s into an
/// immediate shutdown, hence 6 s.
pub(super) const GENTLE: &[(Signal, Duration)] =
    &[(Signal::INT, Duration::from_secs(10)), IMMEDIATE, KILL];

/// For data nobody waits for, and for servers that recover anyway.
pub(super) const ABRUPT: &[(Signal, Duration)] = &[IMMEDIATE, KILL];

const IMMEDIATE: (Signal, Duration) = (Signal::QUIT, Duration::from_secs(6));
const KILL: (Signal, Duration) = (Signal::KILL, Duration::from_secs(2));

/// What a short-lived program prints.
pub(super) fn output_of(command: &mut Command) -> io::Result<String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut status = None;
    // A failing `try_wait` ends the polling as well; the status is then asked for again below.
    if !wait_until(QUESTION_LIMIT, || {
        child.try_wait().map_or(true, |now| {
            status = now;
            now.is_some()
        })
    }) {
        child.kill()?;
        child.wait()?;
        return Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {QUESTION_LIMIT:?}"),
        ));
    }
    let mut said = String::new();
    if let Some(out) = child.stdout.take() {
        out.take(64 * 1024).read_to_string(&mut said)?;
    }
    match status {
        Some(status) if status.success() => Ok(said),
        Some(status) => Err(io::Error::other(status.to_string())),
        None => Err(io::Error::other("its end could not be observed")),
    }
}

/// Starts a long-running program in a process group of its own: a terminal sends Ctrl-C to the whole foreground group, and
/// the server must outlast the application's own shutdown.
pub(super) fn spawn_apart(command: &mut Command) -> io::Result<Child> {
    command.process_group(0).spawn()
}

/// Waits for a program to end; at the deadline it is killed with its whole group.
pub(super) fn finish(
    child: &mut Child,
    doing: &str,
    deadline: &Deadline,
    log: impl Fn() -> Vec<String>,
) -> Result<ExitStatus, EmbeddedError> {
    loop {
        if let Some(status) = child.try_wait().doing(|| format!("wait for {doing}"))? {
            return Ok(status);
        }
        if let Err(over) = deadline.tick(doing, &log) {
            kill_group(child).doing(|| format!("kill {doing} at its time limit"))?;
            return Err(over);
        }
    }
}

/// Ends a child by these signals in turn. Says whether it ended, which only a process stuck in the kernel does not.
pub(super) fn end(child: &mut Child, signals: &[(Signal, Duration)]) -> io::Result<bool> {
    for (signal, limit) in signals {
        if has_ended(child) {
            return Ok(true);
        }
        signal_to(child.id(), *signal)?;
        if wait_until(*limit, || has_ended(child)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reaps the child if it has ended. It also has when there is nothing to wait for: an application that is process 1 may
/// reap every child itself.
fn has_ended(child: &mut Child) -> bool {
    !matches!(child.try_wait(), Ok(None))
}

/// Sends a signal; a process that is gone already is fine.
pub(super) fn signal_to(pid: u32, signal: Signal) -> io::Result<()> {
    let Some(pid) = to_pid(pid) else {
        return Ok(());
    };
    match kill_process(pid, signal) {
        Err(error) if error != rustix::io::Errno::SRCH => Err(error.into()),
        _ => Ok(()),
    }
}

fn kill_group(child: &mut Child) -> io::Result<()> {
    if let Some(group) = to_pid(child.id()) {
        kill_process_group(group, Signal::KILL)?;
    }
    wait_until(KILL.1, || has_ended(child));
    Ok(())
}

/// A process id that is one; none for 0 and for what would name a group.
pub(super) fn to_pid(id: u32) -> Option<Pid> {
    i32::try_from(id)
        .ok()
        .filter(|id| *id > 1)
        .and_then(Pid::from_raw)
}
