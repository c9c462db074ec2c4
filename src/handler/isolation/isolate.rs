//! One isolate, as its node holds it: a process, a socket to it, and what it says on stderr.
//!
//! An owned value. Whoever drops it kills the process, so a worker that is killed leaves none behind. The
//! other way round the socket closes when the node dies, however that happens, and the isolate kills itself.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use super::child::CALLED;
use super::frame::{self, Attempt, Ended, Order, PROTOCOL, Word};
use super::stderr::Stderr;
use super::{Isolation, Shelf};
use crate::Error;
use crate::handler::StopSignal;
use crate::job::{Failure, FailureKind};

/// How long an isolate that is no longer needed may take to exit by itself.
const EXIT_WITHIN: Duration = Duration::from_secs(1);
/// How long a killed process may take to end.
const END_WITHIN: Duration = Duration::from_secs(5);

/// A process that runs attempts of one kind, one at a time.
#[derive(Debug)]
pub(super) struct Isolate {
    process: Process,
    socket: UnixStream,
    stderr: Stderr,
    memory_limit: Option<u64>,
    /// How many it was given.
    jobs: u32,
}

impl Isolate {
    /// Starts one, and waits until it can run the kind.
    pub(super) async fn start(shelf: &Shelf) -> Result<Self, Error> {
        let (names, isolation) = (shelf.names(), shelf.isolation());
        let failed = || {
            Error::start(format!(
                "cannot start an isolate for the kind {:?}",
                names[0]
            ))
        };
        let mut isolate = Self::spawn(isolation).map_err(|cause| failed().because(cause))?;
        let greeting = isolate.greet(names);
        let why = match tokio::time::timeout(isolation.start_within, greeting).await {
            Ok(Ok(())) => return Ok(isolate),
            Ok(Err(NotReady::Refused(why))) => return Err(failed().because(why)),
            Ok(Err(NotReady::Broken(cause))) => format!("it ended before it was ready ({cause})"),
            Err(_) => format!("it was not ready within {:?}", isolation.start_within),
        };
        let end = isolate.end_now().await;
        let hint = "is callboard::isolation::run_if_child(…) the first thing in main?";
        Err(failed().because(format!("{why}; {hint} Its process: {end}")))
    }

    fn spawn(isolation: &Isolation) -> io::Result<Self> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut command = Command::new(program()?);
        command
            .arg0(CALLED)
            .args(&isolation.arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal is for the node, which tells its attempts itself. And what the handler
            // starts can be killed with it.
            .process_group(0);
        // The kernel could kill it with its parent (PR_SET_PDEATHSIG), but means the thread that started it.
        let mut child = command.spawn()?;
        // It holds the other end of the socket, whose closing says that the process has ended.
        drop(command);
        let stderr = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self {
            process: Process(child),
            socket: UnixStream::from_std(ours)?,
            stderr: Stderr::new(stderr),
            memory_limit: isolation.memory_limit,
            jobs: 0,
        })
    }

    async fn greet(&mut self, names: &[String]) -> Result<(), NotReady> {
        let begin = Order::Begin {
            memory_limit: self.memory_limit,
        };
        frame::send(&mut self.socket, &begin).await?;
        match frame::receive(&mut self.socket).await? {
            Word::Ready { protocol, kinds } if protocol == PROTOCOL => {
                match names.iter().find(|name| !kinds.contains(name)) {
                    None => Ok(()),
                    Some(name) => Err(NotReady::Refused(format!(
                        "it has no handler of {name:?}; give run_if_child the handlers that the board has"
                    ))),
                }
            }
            Word::NotReady(why) => Err(NotReady::Refused(why)),
            _ => Err(NotReady::Refused(
                "the program on disk is not the one that runs here; start the node anew".to_owned(),
            )),
        }
    }

    /// Whether it still runs, as far as is known.
    pub(super) fn is_there(&self) -> bool {
        let nothing_said = self.socket.try_read(&mut [0]);
        nothing_said.is_err_and(|why| why.kind() == io::ErrorKind::WouldBlock)
    }

    /// How many attempts it was given.
    pub(super) fn jobs(&self) -> u32 {
        self.jobs
    }

    /// Runs an attempt, and passes the signal to stop on. After an error it is of no use any more.
    pub(super) async fn perform(
        &mut self,
        attempt: Attempt,
        signal: &StopSignal,
    ) -> io::Result<Ended> {
        self.jobs = self.jobs.saturating_add(1);
        self.stderr.forget();
        let (mut from, mut to) = self.socket.split();
        frame::send(&mut to, &Order::Run(Box::new(attempt))).await?;
        // Kept while the signal is passed on: half a frame may have come.
        let mut word = pin!(frame::receive(&mut from));
        let word = tokio::select! {
            biased;
            word = &mut word => word?,
            () = signal.stopped() => {
                if let Some(reason) = signal.reason() {
                    frame::send(&mut to, &frame::stop_order(reason)).await?;
                }
                word.await?
            }
        };
        match word {
            Word::Ended(ended) => Ok(ended),
            other => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it said {other:?}"),
            )),
        }
    }

    /// Lets it exit by itself, now that it has nothing to do.
    pub(super) async fn end(mut self) {
        let exiting = async {
            frame::send(&mut self.socket, &Order::End).await?;
            // The end of the process closes its socket.
            self.socket.read_to_end(&mut Vec::new()).await
        };
        // Late or broken, it is killed.
        let _exited = tokio::time::timeout(EXIT_WITHIN, exiting).await;
        self.process.ended().await;
    }

    /// The failure of an attempt under which it died.
    pub(super) async fn failure(self, cause: &io::Error) -> Failure {
        let within = match self.memory_limit {
            Some(bytes) => format!(", with a memory limit of {bytes} bytes"),
            None => String::new(),
        };
        let how = match cause.kind() {
            // It closed because the process ended, whose status says more.
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset => String::new(),
            _ => format!(" after its node could not understand it ({cause})"),
        };
        let pid = self.process.pid();
        let end = self.end_now().await;
        let text = format!("the process of the attempt ({pid}{within}) ended{how}: {end}");
        Failure::new(FailureKind::Crashed, &text)
    }

    /// Kills it if it is still there, and says how it ended and what it said last.
    async fn end_now(mut self) -> String {
        let ended = self.process.ended().await;
        let said = self.stderr.last_lines().await;
        match said.is_empty() {
            true => format!("{ended}, without a word on stderr"),
            false => format!("{ended}; the last it said on stderr:\n{said}"),
        }
    }
}

/// Why an isolate cannot be used.
enum NotReady {
    /// It says so.
    Refused(String),
    Broken(io::Error),
}

impl From<io::Error> for NotReady {
    fn from(cause: io::Error) -> Self {
        Self::Broken(cause)
    }
}

/// The program of this process. Not by its path where that can be helped: a deploy may have put another there.
fn program() -> io::Result<std::path::PathBuf> {
    let itself = std::path::Path::new("/proc/self/exe");
    match itself.exists() {
        true => Ok(itself.to_owned()),
        false => std::env::current_exe(),
    }
}

/// A process that leads a group of its own; killed with its group when it is dropped.
struct Process(Child);

impl Process {
    fn pid(&self) -> String {
        let pid = self.0.id();
        pid.map_or_else(|| "gone".to_owned(), |pid| format!("pid {pid}"))
    }

    /// Kills what is there of the group, if anything.
    fn kill(&self) {
        // None once it is reaped: then the id may be somebody else's.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw) {
            // All of it may have ended already.
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }

    /// Kills it if it is still there, and says how it ended.
    async fn ended(&mut self) -> String {
        // An end that is under way keeps its own status.
        self.kill();
        match tokio::time::timeout(END_WITHIN, self.0.wait()).await {
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(cause)) => format!("its end cannot be seen ({cause})"),
            Err(_) => format!("it was killed and did not end within {END_WITHIN:?}"),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // tokio reaps it.
        self.kill();
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Process({})", self.pid())
    }
}
