//! Ends a temporary server whose owner is gone: a shell that waits for the end of a pipe.
//!
//! The pipe ends with its owner's process, however that ends: return from `main` with the server in a
//! static, `exit`, abort, SIGKILL. An owner that stops its server itself says so before it lets the
//! pipe go. If the guard is killed too, the next start finds what is left by its lock.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::child;

/// Arguments: the server's process id and its folder. The id is believed only as long as the folder
/// names it too.
const SCRIPT: &str = r#"
read -r word && exit 0
is_there() { [ "$(head -n 1 "$2/data/postmaster.pid" 2>/dev/null)" = "$1" ] && kill -0 "$1" 2>/dev/null; }
is_there "$1" "$2" && kill -s QUIT "$1"
tries=200
while is_there "$1" "$2" && [ $((tries -= 1)) -gt 0 ]; do sleep 0.05; done
rm -rf -- "$2"
"#;

/// Watches over one server. Dropping it without a word ends the server.
#[derive(Debug)]
pub(super) struct Guard(Child);

impl Guard {
    /// Sets a guard over the server with this pid on this folder.
    pub(super) fn set(pid: u32, folder: &Path) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "callboard-guard", &pid.to_string()])
            .arg(folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        child::spawn_apart(&mut command).map(Self)
    }

    /// Tells the guard that the server is gone, and waits for it to go too.
    pub(super) fn dismiss(mut self) {
        let told = self
            .0
            .stdin
            .take()
            .map(|mut pipe| pipe.write_all(b"gone\n"));
        if let Some(Err(error)) = told {
            tracing::debug!(%error, "the guard of the embedded PostgreSQL had gone already");
        }
        // It ends at once, or has ended; an application that is process 1 may have reaped it.
        let _reaped = self.0.wait();
    }
}
