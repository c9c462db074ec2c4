//! The server process of one folder, from its start to its end.
//!
//! Invariant: a `Server` is running and ready when made, and gone when dropped; its folder is released after it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use super::binaries::Binaries;
use super::child::{self, ABRUPT, GENTLE};
use super::deadline::Deadline;
use super::error::{Doing, EmbeddedError, Trouble};
use super::folder::Folder;
use super::guard::Guard;
use super::log::Log;
use super::orphan;
use super::run_as::RunAs;
use super::settings::Durability;

/// How often a port may turn out to be taken before the start fails.
const PORT_TRIES: usize = 8;

const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// How a server's process is made.
#[derive(Debug)]
pub(super) struct Recipe<'a> {
    pub(super) binaries: &'a Binaries,
    pub(super) run_as: &'a RunAs,
    pub(super) settings: &'a [(String, String)],
    pub(super) port: Option<u16>,
    pub(super) deadline: &'a Deadline,
}

/// A running server and the folder it runs on.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    folder: Folder,
    guard: Option<Guard>,
}

impl Server {
    /// Starts a server and waits until it accepts connections; says on which port.
    pub(super) fn start(folder: Folder, recipe: &Recipe<'_>) -> Result<(Self, u16), EmbeddedError> {
        let ports = recipe
            .port
            .into_iter()
            .map(Ok)
            .chain(std::iter::repeat_with(free_port));
        let mut refusal = None;
        for port in ports.take(PORT_TRIES) {
            let port = port?;
            match attempt(&folder, port, recipe)? {
                Attempt::Ready(child) => return Ok((Self::ready(child, folder), port)),
                Attempt::PortTaken(failure) => refusal = Some(failure),
            }
            tracing::warn!(
                port,
                "the port for the embedded PostgreSQL is taken, trying another"
            );
        }
        Err(refusal.expect("at least one port was tried, and the last try was refused"))
    }

    fn ready(child: Child, folder: Folder) -> Self {
        let guard = match folder.durability() {
            Durability::Kept => None,
            Durability::Throwaway => set_guard(child.id(), &folder),
        };
        Self {
            child,
            folder,
            guard,
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.root()
    }

    /// Stops the server and releases its folder.
    pub(super) fn stop(mut self) -> Result<(), EmbeddedError> {
        self.halt()
    }

    /// Ends every process of the server, then removes a temporary folder. Again is harmless.
    fn halt(&mut self) -> Result<(), EmbeddedError> {
        let pid = self.pid();
        let ended = child::end(&mut self.child, GENTLE)
            .doing(|| format!("stop the PostgreSQL with pid {pid}"))?;
        if !ended {
            tracing::error!(pid, "the embedded PostgreSQL outlived even a kill");
        }
        if let Some(guard) = self.guard.take_if(|_| ended) {
            guard.dismiss();
        }
        if !self.folder().exists() {
            return Ok(());
        }
        // After a kill the server's own children end by themselves, a little later.
        orphan::await_lock(&self.folder)?;
        self.folder.discard()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.halt() {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the embedded PostgreSQL did not stop cleanly"
            );
        }
    }
}

fn set_guard(pid: u32, folder: &Folder) -> Option<Guard> {
    let set = Guard::set(pid, folder.root());
    set.inspect_err(|error| {
        tracing::warn!(%error, "no guard watches over the embedded PostgreSQL: if this process is \
                       killed, the server stays until the next start of one");
    })
    .ok()
}

enum Attempt {
    Ready(Child),
    PortTaken(EmbeddedError),
}

/// Starts the server once, on this port.
fn attempt(folder: &Folder, port: u16, recipe: &Recipe<'_>) -> Result<Attempt, EmbeddedError> {
    let program = recipe.binaries.program("postgres");
    let doing = format!(
        "starting {} on {}",
        program.display(),
        folder.data().display()
    );
    let (log, mut child) = spawn(folder, port, recipe)?;
    loop {
        if let Some(status) = child.try_wait().doing(|| format!("wait while {doing}"))? {
            return refused(doing, status, log.tail());
        }
        if is_ready(&folder.data(), child.id(), port) {
            return Ok(Attempt::Ready(child));
        }
        if let Err(over) = recipe.deadline.tick(&doing, || log.tail()) {
            child::end(&mut child, ABRUPT).doing(|| format!("stop after {doing}"))?;
            return Err(over);
        }
    }
}

/// Runs `postgres` on loopback only. Its standard input is the lock that tells the next start of its life.
fn spawn(folder: &Folder, port: u16, recipe: &Recipe<'_>) -> Result<(Log, Child), EmbeddedError> {
    let lock = orphan::quiet(folder, GENTLE)?;
    let program = recipe.binaries.program("postgres");
    let (log, out) =
        Log::open(&folder.log()).doing(|| format!("open {}", folder.log().display()))?;
    let err = out.try_clone().doing(|| "share the log file".to_owned())?;
    let mut command = recipe.run_as.command(&program);
    command.arg("-D").arg(folder.data());
    for (name, value) in recipe.settings {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    command.args([
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "unix_socket_directories=",
    ]);
    command.args([
        "-c",
        "log_destination=stderr",
        "-c",
        "logging_collector=off",
        "-c",
        "lc_messages=C",
    ]);
    command.arg("-c").arg(format!("port={port}"));
    command
        .stdin(lock)
        .stdout(out)
        .stderr(err)
        .current_dir(folder.root());
    let child = child::spawn_apart(&mut command).doing(|| format!("run {}", program.display()))?;
    Ok((log, child))
}

/// The server ended instead of getting ready: over the port, which another can mend, or over something else.
fn refused(doing: String, status: ExitStatus, log: Vec<String>) -> Result<Attempt, EmbeddedError> {
    let is_port = log.iter().any(|line| line.contains("could not bind"));
    let failure = Trouble::Failed {
        doing,
        how: status.to_string(),
        log,
    }
    .into();
    if is_port {
        Ok(Attempt::PortTaken(failure))
    } else {
        Err(failure)
    }
}

/// Whether this very process says it is ready on this port, and answers there.
fn is_ready(data: &Path, pid: u32, port: u16) -> bool {
    // Absent until the server has written it.
    let Ok(text) = fs::read_to_string(data.join("postmaster.pid")) else {
        return false;
    };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let says = |line: usize, what: &str| lines.get(line) == Some(&what);
    says(0, &pid.to_string()) && says(3, &port.to_string()) && says(7, "ready") && answers(port)
}

fn answers(port: u16) -> bool {
    TcpStream::connect_timeout(
        &SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        CONNECT_LIMIT,
    )
    .is_ok()
}

/// A port that is free now. It may be taken by the time the server asks for it, hence the tries.
fn free_port() -> Result<u16, EmbeddedError> {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
    Ok(probe
        .doing(|| "find a free loopback port".to_owned())?
        .port())
}
