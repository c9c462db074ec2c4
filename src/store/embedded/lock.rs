//! File locks that prove who is alive.
//!
//! The kernel drops a lock with its last holder, however that ends, so a lock never lies as a process id may.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use super::deadline::wait_until;

/// Rides out a child of another thread that has forked but not yet executed and so still shares our files.
const PATIENCE: Duration = Duration::from_millis(200);

/// Whether a lock was to be had.
#[derive(Debug)]
pub(super) enum Lock {
    /// It is ours as long as this file, or a copy in a child, is open.
    Taken(File),
    /// Somebody else has it.
    Held,
}

/// Tries for the lock on the file at `path`, which is created if absent.
pub(super) fn take(path: &Path) -> io::Result<Lock> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    let mut outcome = Ok(());
    wait_until(PATIENCE, || {
        outcome = file.try_lock();
        !matches!(outcome, Err(TryLockError::WouldBlock))
    });
    match outcome {
        Ok(()) => Ok(Lock::Taken(file)),
        Err(TryLockError::WouldBlock) => Ok(Lock::Held),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Writes this process's id into a lock file, for the message to whoever comes second.
pub(super) fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// The holder as the lock file names it.
pub(super) fn holder(path: &Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(32).read_to_string(&mut text));
    match (read, text.trim()) {
        (Ok(_), pid) if pid.parse() == Ok(std::process::id()) => {
            format!("this very process (pid {pid})")
        }
        (Ok(_), pid) if !pid.is_empty() => format!("the process with pid {pid}"),
        _ => "another process".to_owned(),
    }
}
