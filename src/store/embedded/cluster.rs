//! The cluster inside a folder: made once, checked at every start.
//!
//! Invariant: `data` exists only complete, since it is initialised under another name and renamed; the password is on
//! disk before the cluster that needs it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::address::{Password, SUPERUSER};
use super::binaries::Binaries;
use super::child::{self, GENTLE};
use super::deadline::Deadline;
use super::error::{Doing, EmbeddedError, Trouble};
use super::folder::{self, Folder};
use super::log::Log;
use super::orphan;
use super::run_as::RunAs;
use super::settings::Durability;
use super::temporary::random_hex;

/// The major version of existing data; none if there is none yet.
pub(super) fn existing_version(data: &Path) -> Result<Option<String>, EmbeddedError> {
    if !data
        .try_exists()
        .doing(|| format!("look for {}", data.display()))?
    {
        return Ok(None);
    }
    match fs::read_to_string(data.join("PG_VERSION")) {
        Ok(version) => Ok(Some(version.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Trouble::Foreign {
            folder: data.to_owned(),
            found: "it has no PG_VERSION".to_owned(),
        }
        .into()),
        Err(error) => Err(error).doing(|| format!("read the PG_VERSION of {}", data.display())),
    }
}

/// Refuses data that these binaries cannot run on.
pub(super) fn must_match(
    data: &Path,
    version: &str,
    binaries: &Binaries,
) -> Result<(), EmbeddedError> {
    if version == binaries.major.to_string() {
        return Ok(());
    }
    let (found, bin, major) = (version.to_owned(), binaries.folder.clone(), binaries.major);
    Err(Trouble::WrongVersion {
        data: data.to_owned(),
        found,
        bin,
        major,
    }
    .into())
}

/// Reads the password of existing data.
pub(super) fn password(folder: &Folder) -> Result<Password, EmbeddedError> {
    let file = folder.password();
    let text = fs::read_to_string(&file).ok();
    text.as_deref()
        .and_then(Password::parse)
        .ok_or_else(|| Trouble::NoPassword { file }.into())
}

/// Initialises a cluster, once no `initdb` of a killed owner is at work any more.
pub(super) fn create(
    folder: &Folder,
    binaries: &Binaries,
    run_as: &RunAs,
    deadline: &Deadline,
) -> Result<Password, EmbeddedError> {
    let lock = orphan::quiet(folder, GENTLE)?;
    let new = folder.unfinished();
    folder::remove(&new).doing(|| format!("remove the half-made {}", new.display()))?;
    let password = write_password(folder, run_as)?;
    folder::create_closed(&new).doing(|| format!("create {}", new.display()))?;
    run_as.own(&new)?;
    initdb(folder, binaries, run_as, lock, deadline)?;
    fs::rename(&new, folder.data()).doing(|| format!("rename {} to `data`", new.display()))?;
    if folder.durability() == Durability::Kept {
        let root = folder.root();
        File::open(root)
            .and_then(|root| root.sync_all())
            .doing(|| format!("sync {}", root.display()))?;
    }
    Ok(password)
}

/// Runs `initdb`, which holds `lock` as long as it lives, also if this process is killed.
fn initdb(
    folder: &Folder,
    binaries: &Binaries,
    run_as: &RunAs,
    lock: File,
    deadline: &Deadline,
) -> Result<(), EmbeddedError> {
    let program = binaries.program("initdb");
    let doing = format!(
        "initialising {} with {}",
        folder.data().display(),
        program.display()
    );
    let (log, out) =
        Log::open(&folder.log()).doing(|| format!("open {}", folder.log().display()))?;
    let err = out.try_clone().doing(|| "share the log file".to_owned())?;
    let mut command = run_as.command(&program);
    command
        .arg("-D")
        .arg(folder.unfinished())
        .args(["-U", SUPERUSER, "-A", "scram-sha-256"]);
    command
        .arg("--pwfile")
        .arg(folder.password())
        .args(["--encoding=UTF8", "--locale=C"]);
    if folder.durability() == Durability::Throwaway {
        command.arg("--no-sync");
    }
    command
        .stdin(lock)
        .stdout(out)
        .stderr(err)
        .current_dir(folder.root());
    let mut child =
        child::spawn_apart(&mut command).doing(|| format!("run {}", program.display()))?;
    let status = child::finish(&mut child, &doing, deadline, || log.tail())?;
    if status.success() {
        Ok(())
    } else {
        Err(Trouble::Failed {
            doing,
            how: status.to_string(),
            log: log.tail(),
        }
        .into())
    }
}

fn write_password(folder: &Folder, run_as: &RunAs) -> Result<Password, EmbeddedError> {
    let (file, text) = (folder.password(), random_hex::<16>()?);
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&file)?;
        writeln!(file, "{text}")?;
        file.sync_all()
    })();
    written.doing(|| format!("write {}", file.display()))?;
    run_as.own(&file)?;
    Password::parse(&text).ok_or_else(|| Trouble::NoPassword { file }.into())
}
