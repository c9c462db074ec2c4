//! The folder of one server: what lies where, and who owns it.
//!
//! ```text
//! owner.lock    locked by the owning process, holds its pid
//! server.lock   locked by the server's processes, which inherit it as standard input
//! password      of the superuser
//! server.log    what initdb and the server say
//! data          the cluster itself
//! data.new      a cluster being initialised; never used, removed at the next start
//! ```
//!
//! Invariant: a [`Folder`] exists only with the owner's lock; a temporary one is removed with it.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::process::geteuid;

use super::error::{Doing, EmbeddedError, Trouble};
use super::lock::{self, Lock};
use super::settings::Durability;

const OWNER_LOCK: &str = "owner.lock";

/// What an empty folder may hold: file systems and desktops put these there.
const HARMLESS: &[&str] = &["lost+found", ".DS_Store"];

const REMOVAL_TRIES: u32 = 5;
const REMOVAL_PAUSE: Duration = Duration::from_millis(50);

/// A folder owned by this process.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    durability: Durability,
    owner: File,
}

impl Folder {
    /// Takes the kept folder at `path`, creating it if absent.
    pub(super) fn claim(path: &Path) -> Result<Self, EmbeddedError> {
        create_if_absent(path).doing(|| format!("create the data folder {}", path.display()))?;
        let root = fs::canonicalize(path)
            .doing(|| format!("resolve the data folder {}", path.display()))?;
        refuse_foreign(&root)?;
        refuse_anothers(&root)?;
        Self::lock(root, Durability::Kept)
    }

    /// Takes the lock of a folder that is known to be one of ours.
    pub(super) fn lock(root: PathBuf, durability: Durability) -> Result<Self, EmbeddedError> {
        let path = root.join(OWNER_LOCK);
        match lock::take(&path).doing(|| format!("lock {}", path.display()))? {
            Lock::Held => Err(Trouble::InUse {
                holder: lock::holder(&path),
                folder: root,
            }
            .into()),
            Lock::Taken(mut owner) => {
                lock::sign(&mut owner).doing(|| format!("write {}", path.display()))?;
                Ok(Self {
                    root,
                    durability,
                    owner,
                })
            }
        }
    }

    /// Gives a locked folder its final name.
    pub(super) fn rename(&mut self, to: PathBuf) -> io::Result<()> {
        fs::rename(&self.root, &to)?;
        self.root = to;
        Ok(())
    }

    /// Removes a temporary folder; a kept one stays.
    pub(super) fn discard(&self) -> Result<(), EmbeddedError> {
        match self.durability {
            Durability::Kept => Ok(()),
            Durability::Throwaway => remove(&self.root)
                .doing(|| format!("remove the temporary folder {}", self.root.display())),
        }
    }

    pub(super) fn durability(&self) -> Durability {
        self.durability
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(super) fn unfinished(&self) -> PathBuf {
        self.root.join("data.new")
    }

    pub(super) fn password(&self) -> PathBuf {
        self.root.join("password")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.root.join("server.log")
    }

    pub(super) fn server_lock(&self) -> PathBuf {
        self.root.join("server.lock")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = self.discard() {
            tracing::warn!(%error, "a temporary PostgreSQL folder stays until the next start removes it");
        }
        // Explicitly, as a child about to execute may still share the file. Failing to unlock, closing does it.
        self.owner.unlock().ok();
    }
}

/// Creates a folder and those above it. One that exists keeps its permissions: all that is secret in it is closed by itself.
fn create_if_absent(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match create_root(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Creates the folder of a server, closed to others. As root it lets them through, since one of them runs the server.
pub(super) fn create_root(path: &Path) -> io::Result<()> {
    create_closed(path)?;
    let mode = if geteuid().is_root() { 0o711 } else { 0o700 };
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Creates a folder that must not exist, for this user only.
pub(super) fn create_closed(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Removes a folder and all in it, patient with files that appear meanwhile; an absent one is fine.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let mut tries = 1..=REMOVAL_TRIES;
    loop {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.exists() => {
                return Ok(());
            }
            Err(error) if tries.next().is_none() => return Err(error),
            Err(_) => thread::sleep(REMOVAL_PAUSE),
            Ok(()) => return Ok(()),
        }
    }
}

/// Refuses a folder that another user made a server in, unless this is root.
fn refuse_anothers(root: &Path) -> Result<(), EmbeddedError> {
    let (data, uid) = (root.to_owned(), geteuid().as_raw());
    match fs::metadata(root.join(OWNER_LOCK)) {
        Ok(meta) if uid != 0 && meta.uid() != uid => Err(Trouble::OtherOwner {
            data,
            owner: meta.uid(),
            uid,
        }
        .into()),
        // What is absent or unreadable shows itself when the lock is taken.
        _ => Ok(()),
    }
}

/// Refuses a folder with somebody else's contents. Ours is known by its lock file, the first thing made in it.
fn refuse_foreign(root: &Path) -> Result<(), EmbeddedError> {
    let foreign = |found| {
        Err(Trouble::Foreign {
            folder: root.to_owned(),
            found,
        }
        .into())
    };
    if let Ok(version) = fs::read_to_string(root.join("PG_VERSION")) {
        let version = version.trim();
        return foreign(format!(
            "it is the cluster of a PostgreSQL {version} that was not initialised here"
        ));
    }
    if root.join(OWNER_LOCK).is_file() {
        return Ok(());
    }
    let entries = fs::read_dir(root).doing(|| format!("read the folder {}", root.display()))?;
    for entry in entries {
        let name = entry
            .doing(|| format!("read the folder {}", root.display()))?
            .file_name();
        if !HARMLESS.iter().any(|harmless| name == *harmless) {
            return foreign(format!(
                "it holds {name:?} and was not made by an embedded server"
            ));
        }
    }
    Ok(())
}
