//! The user the server's processes run as.
//!
//! PostgreSQL refuses to run as root, so a root process hands its children to the owner of existing data, else to
//! `postgres`, else to `nobody`. Everything that starts a PostgreSQL program gets its command here.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use super::child;
use super::error::{Doing, EmbeddedError, Trouble};

/// Who runs the server: this process's user, or another if that is root.
#[derive(Debug, Clone)]
pub(super) struct RunAs {
    other: Option<User>,
}

#[derive(Debug, Clone)]
struct User {
    uid: u32,
    gid: u32,
    name: String,
}

impl RunAs {
    /// Decides by this process's user and the folder of existing data, if any.
    pub(super) fn choose(data: Option<&Path>) -> Result<Self, EmbeddedError> {
        let uid = rustix::process::geteuid().as_raw();
        let owner = data
            .map(fs::metadata)
            .transpose()
            .doing(|| format!("look at {data:?}"))?;
        match owner {
            Some(owner) if uid != 0 && owner.uid() != uid => {
                let data = data.map(Path::to_owned).unwrap_or_default();
                Err(Trouble::OtherOwner {
                    data,
                    owner: owner.uid(),
                    uid,
                }
                .into())
            }
            Some(owner) if uid == 0 && owner.uid() != 0 => Ok(Self {
                other: Some(User::with_ids(owner.uid(), owner.gid())),
            }),
            _ if uid == 0 => Ok(Self {
                other: Some(User::unprivileged()?),
            }),
            _ => Ok(Self { other: None }),
        }
    }

    /// The user's name, for messages.
    pub(super) fn name(&self) -> &str {
        self.other.as_ref().map_or("this user", |user| &user.name)
    }

    /// A command of this user. As root, the standard library drops the supplementary groups with the user id.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C");
        for (name, _) in std::env::vars_os() {
            // The server reads PGPORT, PGDATA and more; and it must not answer systemd in our place.
            if name.as_encoded_bytes().starts_with(b"PG") || name == "NOTIFY_SOCKET" {
                command.env_remove(&name);
            }
        }
        if let Some(user) = &self.other {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    /// Gives a file or folder to this user.
    pub(super) fn own(&self, path: &Path) -> Result<(), EmbeddedError> {
        let Some(user) = &self.other else {
            return Ok(());
        };
        chown(path, Some(user.uid), Some(user.gid))
            .doing(|| format!("give {} to user {}", path.display(), user.name))
    }

    /// Refuses a folder that this user cannot enter, naming the folder above it that is closed.
    pub(super) fn must_enter(&self, folder: &Path) -> Result<(), EmbeddedError> {
        if self.can_enter(folder) {
            return Ok(());
        }
        let mut above: Vec<PathBuf> = folder.ancestors().map(Path::to_owned).collect();
        above.reverse();
        let blocker = above
            .into_iter()
            .find(|path| !self.can_enter(path))
            .unwrap_or_else(|| folder.to_owned());
        Err(Trouble::Unreachable {
            blocker,
            user: self.name().to_owned(),
        }
        .into())
    }

    /// Asks the kernel rather than reading permission bits, since access lists and mounts decide as well.
    pub(super) fn can_enter(&self, folder: &Path) -> bool {
        let Some(user) = &self.other else { return true };
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "cd -- \"$1\"", "sh"])
            .arg(folder)
            .current_dir("/")
            .uid(user.uid)
            .gid(user.gid);
        child::output_of(command.stderr(Stdio::null())).is_ok()
    }
}

impl User {
    fn with_ids(uid: u32, gid: u32) -> Self {
        Self {
            uid,
            gid,
            name: format!("the owner of the data, user id {uid}"),
        }
    }

    /// `postgres` if this system has it, else `nobody`.
    fn unprivileged() -> Result<Self, EmbeddedError> {
        let found = ["postgres", "nobody"].into_iter().find_map(Self::named);
        let missing = || {
            io::Error::new(
                io::ErrorKind::NotFound,
                "this system has neither `postgres` nor `nobody`",
            )
        };
        found
            .ok_or_else(missing)
            .doing(|| "find a user to run PostgreSQL as, since it refuses root".to_owned())
    }

    /// Looks a user up with `id`, which knows every user database of the system.
    fn named(name: &str) -> Option<Self> {
        let ask = |flag| {
            child::output_of(Command::new("id").args([flag, name]))
                .ok()
                .and_then(|said| id(&said))
        };
        let user = Self {
            uid: ask("-u")?,
            gid: ask("-g")?,
            name: name.to_owned(),
        };
        (user.uid != 0).then_some(user)
    }
}

/// A user or group id; macOS prints that of `nobody` as -2.
fn id(said: &str) -> Option<u32> {
    let said = said.trim();
    said.parse()
        .ok()
        .or_else(|| said.parse::<i32>().ok().map(i32::cast_unsigned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_signed_and_unsigned() {
        assert_eq!(
            [id("104\n"), id("-2\n"), id("4294967294"), id("x")],
            [Some(104), Some(4_294_967_294), Some(4_294_967_294), None]
        );
    }

    #[test]
    fn closed_folder_is_named() {
        let run_as = RunAs::choose(None).unwrap();
        if run_as.other.is_none() {
            return;
        }
        let error = run_as
            .must_enter(Path::new("/root/some/folder"))
            .unwrap_err();
        assert!(error.is_folder_refused());
        assert!(error.to_string().contains("cannot enter /root;"), "{error}");
    }
}
