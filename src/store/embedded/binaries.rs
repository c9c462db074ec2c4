//! Finding PostgreSQL's binaries on the machine.
//!
//! Knows the usual folders. A folder counts if it has `initdb` and `postgres`, and `postgres --version` can be run and
//! says 13 or newer. What the user named explicitly is used or refused, never passed over.

use std::ffi::OsString;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::child;
use super::error::{EmbeddedError, Trouble};
use super::install;
use super::run_as::RunAs;
use super::settings::OLDEST_MAJOR;

/// Folders below the root where systems put the binaries; `*` is any version, newest first.
const USUAL: &[&str] = &[
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "usr/libexec/postgresql*",
    "usr/bin",
    "usr/local/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "opt/homebrew/opt/postgresql/bin",
    "usr/local/opt/postgresql@*/bin",
    "usr/local/opt/postgresql/bin",
    "home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
    "Applications/Postgres.app/Contents/Versions/*/bin",
];

/// What the search may look at.
#[derive(Debug)]
pub(super) struct Surroundings {
    /// `CALLBOARD_PG_BIN`.
    pub(super) chosen: Option<OsString>,
    /// `PATH`.
    pub(super) path: Option<OsString>,
    /// The root of the file system.
    pub(super) root: PathBuf,
}

impl Surroundings {
    /// This process's own.
    pub(super) fn of_process() -> Self {
        let chosen = std::env::var_os("CALLBOARD_PG_BIN").filter(|value| !value.is_empty());
        Self {
            chosen,
            path: std::env::var_os("PATH"),
            root: PathBuf::from("/"),
        }
    }
}

/// A folder with usable binaries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    pub(super) folder: PathBuf,
    pub(super) major: u32,
}

impl Binaries {
    /// Finds binaries that `run_as` can run, if possible of version `wanted`.
    pub(super) fn find(
        named: Option<&Path>,
        wanted: Option<u32>,
        run_as: &RunAs,
        around: &Surroundings,
    ) -> Result<Self, EmbeddedError> {
        let (mut looked, mut fallback) = (Vec::new(), None);
        for (origin, folder) in candidates(named, around) {
            match probe(&folder, run_as) {
                Ok(binaries) if wanted.is_none_or(|major| major == binaries.major) => {
                    return Ok(binaries);
                }
                Ok(binaries) => fallback = fallback.or(Some(binaries)),
                Err(why) => looked.push(format!("{origin}: {why}")),
            }
        }
        let install = install::command(&around.root).to_owned();
        fallback.ok_or_else(|| Trouble::NoBinaries { looked, install }.into())
    }

    /// The path of one program.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// A place to look at, with what to call it.
type Candidate = (String, PathBuf);

/// Where to look, in order; lazily, since asking `pg_config` costs a process.
fn candidates<'a>(
    named: Option<&Path>,
    around: &'a Surroundings,
) -> Box<dyn Iterator<Item = Candidate> + 'a> {
    if let Some(folder) = named {
        return Box::new(iter::once((
            format!("`bin_dir` {}", folder.display()),
            folder.to_owned(),
        )));
    }
    if let Some(folder) = around.chosen.as_ref().map(PathBuf::from) {
        return Box::new(iter::once((
            format!("CALLBOARD_PG_BIN={}", folder.display()),
            folder,
        )));
    }
    let path = || {
        around
            .path
            .iter()
            .flat_map(std::env::split_paths)
            .filter(|dir| dir.is_absolute())
    };
    let from_path = path().map(|dir| (format!("PATH: {}", dir.display()), dir));
    let from_config = path().filter_map(|dir| bindir_of(&dir.join("pg_config")));
    let from_config =
        from_config.map(|dir| (format!("pg_config --bindir: {}", dir.display()), dir));
    let usual = USUAL
        .iter()
        .flat_map(|pattern| usual(&around.root, pattern));
    Box::new(from_path.chain(from_config).chain(usual))
}

/// The folders a pattern stands for; the pattern itself when there are none, so that the error can name it.
fn usual(root: &Path, pattern: &str) -> Vec<Candidate> {
    let mut folders = expand(root, pattern);
    if folders.is_empty() {
        folders.push(root.join(pattern));
    }
    folders
        .into_iter()
        .map(|folder| (folder.display().to_string(), folder))
        .collect()
}

/// The existing folders a pattern with at most one `*` stands for, newest version first.
fn expand(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return Vec::new();
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    // A folder that is absent or unreadable holds no binaries for us.
    let entries = fs::read_dir(root.join(parent))
        .into_iter()
        .flatten()
        .flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut found: Vec<(Vec<u32>, String)> = names
        .filter_map(|name| Some((version(name.strip_prefix(prefix)?)?, name)))
        .collect();
    found.sort_by(|one, other| other.cmp(one));
    let rest = after.trim_start_matches('/');
    found
        .into_iter()
        .map(|(_, name)| root.join(parent).join(name).join(rest))
        .collect()
}

/// The numbers of a version such as `17` or `9.6`; none for other text.
fn version(text: &str) -> Option<Vec<u32>> {
    text.split('.').map(|part| part.parse().ok()).collect()
}

/// What `pg_config` says, if it is there and works.
fn bindir_of(pg_config: &Path) -> Option<PathBuf> {
    if !pg_config.is_file() {
        return None;
    }
    let output = child::output_of(Command::new(pg_config).arg("--bindir")).ok()?;
    Some(PathBuf::from(output.trim()))
}

/// Whether a folder has usable binaries; else why not.
fn probe(folder: &Path, run_as: &RunAs) -> Result<Binaries, String> {
    if let Some(missing) = ["initdb", "postgres"]
        .into_iter()
        .find(|name| !folder.join(name).is_file())
    {
        return Err(format!("no `{missing}`"));
    }
    let folder = behind_links(folder);
    let postgres = folder.join("postgres");
    let said = child::output_of(run_as.command(&postgres).arg("--version")).map_err(|error| {
        format!(
            "could not run `postgres --version` as {}: {error}",
            run_as.name()
        )
    })?;
    match major_of(&said) {
        Some(major) if major >= OLDEST_MAJOR => Ok(Binaries { folder, major }),
        Some(_) => Err(format!("too old: {}", said.trim())),
        None => Err(format!(
            "not a PostgreSQL server: it says {:?}",
            said.trim()
        )),
    }
}

/// The folder that a folder of links points to: `postgres` finds its own files from there on every system.
fn behind_links(folder: &Path) -> PathBuf {
    let target = fs::canonicalize(folder.join("postgres")).ok();
    let parent = target
        .as_deref()
        .and_then(Path::parent)
        .filter(|dir| dir.join("initdb").is_file());
    parent.unwrap_or(folder).to_owned()
}

/// The major version in text such as `postgres (PostgreSQL) 18beta1`.
fn major_of(said: &str) -> Option<u32> {
    let after = said.split_once("(PostgreSQL)")?.1.trim_start();
    let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
#[path = "binaries_tests.rs"]
mod tests;
