//! Folders that are thrown away, and what killed owners left of them.
//!
//! Invariant: a folder under its final name has been locked since before it had that name, so one whose lock can be had
//! belongs to nobody.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::child::ABRUPT;
use super::deadline::Deadline;
use super::error::{Doing, EmbeddedError, Trouble};
use super::folder::{self, Folder};
use super::orphan;
use super::run_as::RunAs;
use super::settings::Durability;

const PREFIX: &str = "callboard-pg-";
const UNNAMED: &str = ".new";

/// A folder without its final name is left alone for this long: its maker may be about to lock it.
const UNNAMED_FOR: Duration = Duration::from_secs(600);

/// How many left folders one start removes at most, so that it stays bounded.
const SWEPT_PER_START: usize = 16;

/// Makes a temporary folder where `run_as` can reach it.
pub(super) fn create(run_as: &RunAs) -> Result<Folder, EmbeddedError> {
    let roots = roots();
    let Some(root) = roots
        .iter()
        .find(|root| root.is_dir() && run_as.can_enter(root))
    else {
        let preferred = roots.first().cloned().unwrap_or_default();
        run_as.must_enter(&preferred)?;
        return Err(Trouble::Foreign {
            folder: preferred,
            found: "it is not a folder".to_owned(),
        }
        .into());
    };
    let name = format!("{}{}-{}", prefix(), std::process::id(), random_hex::<4>()?);
    let (unnamed, named) = (root.join(format!("{name}{UNNAMED}")), root.join(&name));
    folder::create_root(&unnamed)
        .doing(|| format!("create the temporary folder {}", unnamed.display()))?;
    let mut folder = Folder::lock(unnamed, Durability::Throwaway)?;
    folder
        .rename(named)
        .doing(|| format!("name the temporary folder {name}"))?;
    Ok(folder)
}

/// Stops the servers and removes the folders of dead owners. Trouble with one is traced and does not keep the caller from
/// its own start.
pub(super) fn sweep(deadline: &Deadline) {
    let left = roots().into_iter().flat_map(|root| left_in(&root));
    for path in left
        .take(SWEPT_PER_START)
        .take_while(|_| !deadline.is_over())
    {
        match reclaim(path.clone()) {
            Ok(()) => {
                tracing::info!(folder = %path.display(), "removed the temporary PostgreSQL folder of a dead process")
            }
            // Owned by a living process, or another start was quicker.
            Err(error) if error.is_in_use() || !path.exists() => {}
            Err(error) => {
                tracing::warn!(%error, folder = %path.display(), "could not remove a dead process's folder")
            }
        }
    }
}

/// Takes a folder from its dead owner; dropping it removes it.
fn reclaim(path: PathBuf) -> Result<(), EmbeddedError> {
    let folder = Folder::lock(path, Durability::Throwaway)?;
    orphan::quiet(&folder, ABRUPT)?;
    folder.discard()
}

/// Folders of this user, by name and by real ownership, that may be left over.
fn left_in(root: &Path) -> Vec<PathBuf> {
    // A folder that cannot be read or vanishes meanwhile has nothing for us.
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| is_left(path))
        .collect()
}

fn is_left(path: &Path) -> bool {
    let Some(name) = path
        .file_name()
        .and_then(OsStr::to_str)
        .filter(|name| name.starts_with(&prefix()))
    else {
        return false;
    };
    let Ok(meta) = fs::symlink_metadata(path) else {
        return false;
    };
    let age = meta
        .modified()
        .ok()
        .and_then(|at| at.elapsed().ok())
        .unwrap_or_default();
    meta.is_dir() && meta.uid() == uid() && (!name.ends_with(UNNAMED) || age >= UNNAMED_FOR)
}

/// Where temporary folders may lie. Root's own may be closed to the server's user, so it has alternatives.
fn roots() -> Vec<PathBuf> {
    let mut roots = vec![std::env::temp_dir()];
    if uid() == 0 {
        roots.extend(["/tmp", "/var/tmp"].map(PathBuf::from));
    }
    let mut real: Vec<PathBuf> = Vec::new();
    for root in roots {
        let root = fs::canonicalize(&root).unwrap_or(root);
        if !real.contains(&root) {
            real.push(root);
        }
    }
    real
}

fn prefix() -> String {
    format!("{PREFIX}{}-", uid())
}

fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// `N` bytes from the kernel's random source, as hexadecimal digits.
pub(super) fn random_hex<const N: usize>() -> Result<String, EmbeddedError> {
    let mut bytes = [0; N];
    let read: io::Result<()> =
        fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes));
    read.doing(|| "read /dev/urandom".to_owned())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
