//! Servers that outlived their owner.
//!
//! Whether one is alive is told by the lock that its processes inherited; its pid is only the way to stop it, and only
//! after the process has proven to be a PostgreSQL on that very folder.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::child;
use super::deadline::wait_until;
use super::error::{Doing, EmbeddedError, Trouble};
use super::folder::Folder;
use super::lock::{self, Lock};

/// How long processes may take to notice that their server is gone.
const LAST_PROCESSES: Duration = Duration::from_secs(10);

/// Makes sure that no server runs on the folder, ending one by `signals` if need be. Returns the lock to hand to the next.
pub(super) fn quiet(
    folder: &Folder,
    signals: &[(Signal, Duration)],
) -> Result<File, EmbeddedError> {
    let data = folder.data();
    if let Some(pid) = recorded_pid(&data).filter(|pid| is_server(*pid, &data)) {
        tracing::warn!(pid, folder = %folder.root().display(), "stopping a PostgreSQL whose owner is gone");
        end(pid, &data, signals)
            .doing(|| format!("stop the orphaned PostgreSQL with pid {pid}"))?;
    }
    let lock = await_lock(folder)?;
    let stale = data.join("postmaster.pid");
    match fs::remove_file(&stale) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("remove the stale {}", stale.display()))
        }
        _ => Ok(lock),
    }
}

/// Waits for the last process of the server to go.
pub(super) fn await_lock(folder: &Folder) -> Result<File, EmbeddedError> {
    let (path, mut taken) = (folder.server_lock(), Ok(Lock::Held));
    wait_until(LAST_PROCESSES, || {
        taken = lock::take(&path);
        !matches!(taken, Ok(Lock::Held))
    });
    match taken.doing(|| format!("lock {}", path.display()))? {
        Lock::Taken(lock) => Ok(lock),
        Lock::Held => Err(Trouble::StillRunning {
            folder: folder.root().to_owned(),
            limit: LAST_PROCESSES,
        }
        .into()),
    }
}

/// The pid in the first line of `postmaster.pid`.
fn recorded_pid(data: &Path) -> Option<u32> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    // A server in stand-alone mode writes its pid negated.
    text.lines()
        .next()?
        .trim()
        .trim_start_matches('-')
        .parse()
        .ok()
}

fn end(pid: u32, data: &Path, signals: &[(Signal, Duration)]) -> io::Result<()> {
    for (signal, limit) in signals {
        child::signal_to(pid, *signal)?;
        if wait_until(*limit, || !is_server(pid, data)) {
            return Ok(());
        }
    }
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        "it outlived even a kill",
    ))
}

/// Whether `pid` is a PostgreSQL on this data folder, by its program and its working folder, which is the data folder.
#[cfg(target_os = "linux")]
fn is_server(pid: u32, data: &Path) -> bool {
    let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}"));
    let is_postgres = |program: &Path| {
        program
            .file_name()
            .is_some_and(|name| name.to_string_lossy().contains("postgres"))
    };
    link("exe").is_ok_and(|program| is_postgres(&program))
        && link("cwd").is_ok_and(|folder| folder == data)
}

/// Whether `pid` is a PostgreSQL on this data folder, by its command line, which names the data folder.
#[cfg(not(target_os = "linux"))]
fn is_server(pid: u32, data: &Path) -> bool {
    let mut command = std::process::Command::new("ps");
    let line = child::output_of(command.args(["-ww", "-o", "command=", "-p", &pid.to_string()]))
        .unwrap_or_default();
    line.contains("postgres") && line.contains(&format!("-D {}", data.display()))
}
