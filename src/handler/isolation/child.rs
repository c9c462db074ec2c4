//! The other end: this program as an isolate.
//!
//! Two threads: one hears the node, whatever the handler does, and one runs the attempts. Nothing here
//! answers for a job: whatever happens to this process, its node sees it end.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use chrono::DateTime;
use futures_util::FutureExt;
use rustix::process::{Signal, getpid, kill_process_group};
use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tracing::Instrument;

use super::frame::{self, Attempt, Ended, Order, PROTOCOL, Said, Word};
use crate::BoxError;
use crate::client::Client;
use crate::handler::{
    Attachments, Context, ContextParts, Handler, IN_HANDLER, InTransaction, Place, Registry,
    StopSignal, WorkerState, install_hook, panicked,
};
use crate::job::{self, Failure, FailureKind, Fingerprint, JobId, NodeId, Stored};

/// What an isolate is called, by which it knows itself. Its name and not its environment, which what it
/// starts would inherit.
pub(super) const CALLED: &str = "callboard-isolate";
/// The exit code of an isolate that cannot work: a failure of the program, by the convention of `sysexits.h`.
const BROKEN: i32 = 70;
/// Enough for the thread that hears the node. It counts into the memory limit.
const HEARING_STACK: usize = 256 * 1024;

/// Runs attempts for a node, if this process is an isolate; then it never returns. Otherwise it returns
/// at once, having done nothing.
///
/// Call it first thing in `main`, with the handlers that the board has, isolated or not; it may be inside
/// of `#[tokio::main]`, though what is set up there is of no use to it. What comes before it in `main` happens
/// in every isolate too: a tracing subscriber is welcome, reading arguments and opening ports are not.
/// Handlers run on a multi-threaded tokio runtime with everything enabled and one worker thread.
///
/// See [`isolation`](super) for an example.
pub fn run_if_child(handlers: impl IntoIterator<Item = Handler>) {
    if !is_child() {
        return;
    }
    let handlers = handlers.into_iter().collect();
    // A thread of its own, since this one may already be inside of a runtime.
    let serving = std::thread::Builder::new()
        .name("isolate".to_owned())
        .spawn(move || serve(handlers));
    let why = match serving.map(std::thread::JoinHandle::join) {
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Ok(Ok(never))) => match never {},
        Ok(Err(_)) => "it panicked".to_owned(),
        Err(error) => format!("it has no thread: {error}"),
    };
    eprintln!("callboard: this isolate ends: {why}");
    std::process::exit(BROKEN);
}

/// Ends this process if it is an isolate that is about to become a node: its program forgot to call
/// [`run_if_child`], and would start isolates of its own, and they theirs.
pub(crate) fn refuse_to_be_a_node() {
    if is_child() {
        eprintln!(
            "callboard: this process was started as an isolate, but its program starts a board; call \
             callboard::isolation::run_if_child(…) first thing in main"
        );
        std::process::exit(BROKEN);
    }
}

fn is_child() -> bool {
    std::env::args_os()
        .next()
        .is_some_and(|name| name == CALLED)
}

fn serve(handlers: Vec<Handler>) -> Result<Infallible, BoxError> {
    install_hook();
    let mut socket = take_socket()?;
    if let Order::Begin {
        memory_limit: Some(bytes),
    } = frame::hear(&mut socket)?
    {
        limit_memory(bytes)?;
    }
    let handlers = match Registry::new(handlers) {
        Ok(handlers) => handlers,
        Err(error) => {
            frame::say(&mut socket, &Word::NotReady(error.to_string()))?;
            return Err(error.into());
        }
    };
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let _ignored = ignore_stops(&runtime)?;
    let (errands, attempts) = channel();
    let hearing = socket.try_clone()?;
    std::thread::Builder::new()
        .name("isolate-ear".to_owned())
        .stack_size(HEARING_STACK)
        .spawn(move || hear(hearing, &errands))?;
    let ready = Word::Ready {
        protocol: PROTOCOL,
        kinds: handlers.repertoire().kinds().to_vec(),
    };
    frame::say(&mut socket, &ready)?;
    runtime.block_on(run(&handlers, &attempts, &mut socket))
}

/// Ignores the signals by which a service manager asks every process of a service to stop, while what is
/// returned lives: the node hears them too, and tells its attempts in its own time.
fn ignore_stops(runtime: &Runtime) -> io::Result<[tokio::signal::unix::Signal; 2]> {
    let _context = runtime.enter();
    let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
    Ok([signal(terminate)?, signal(interrupt)?])
}

/// The socket that this process was started with, in place of a stdin. The handler gets an empty one.
fn take_socket() -> io::Result<UnixStream> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(UnixStream::from(socket))
}

#[cfg(target_os = "linux")]
fn limit_memory(bytes: u64) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    // Not RLIMIT_AS, which counts what allocators and threads reserve and never use: gigabytes.
    let limit = Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    Ok(setrlimit(Resource::Data, limit)?)
}

#[cfg(not(target_os = "linux"))]
fn limit_memory(bytes: u64) -> io::Result<()> {
    let text = format!("memory cannot be limited to {bytes} bytes on this system");
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}

/// Hears the node until there is no more to hear.
fn hear(mut socket: UnixStream, errands: &Sender<(Attempt, StopSignal)>) {
    let mut current = StopSignal::default();
    loop {
        match frame::hear(&mut socket) {
            Ok(Order::Run(attempt)) => {
                current = StopSignal::default();
                if errands.send((*attempt, current.clone())).is_err() {
                    die();
                }
            }
            Ok(Order::Stop(reason)) => current.stop_for(reason),
            Ok(Order::End) => std::process::exit(0),
            // The node is gone, and nobody waits for what runs here.
            Ok(Order::Begin { .. }) | Err(_) => die(),
        }
    }
}

/// Ends this process and all that its handlers have started, whatever they are at.
fn die() -> ! {
    // It leads its group, so this ends it too.
    let _dead = kill_process_group(getpid(), Signal::KILL);
    std::process::abort();
}

async fn run(
    handlers: &Registry,
    attempts: &Receiver<(Attempt, StopSignal)>,
    socket: &mut UnixStream,
) -> Result<Infallible, BoxError> {
    let mut client: Option<Client> = None;
    loop {
        // It blocks this thread, which has nothing else to do: spawned tasks run on another.
        let (attempt, signal) = attempts.recv()?;
        let known = client.take_if(|client| client.schema() == attempt.schema);
        let client = client.insert(known.unwrap_or_else(|| unconnected(&attempt.schema)));
        let ended = match handlers.handler(&attempt.kind) {
            Some(handler) => perform(handler, &attempt, signal, client.clone()).await,
            None => Ended {
                said: Said::Failed(format!("its isolate has no handler of {:?}", attempt.kind)),
                is_completed: false,
            },
        };
        frame::say(socket, &Word::Ended(ended))?;
    }
}

fn unconnected(schema: &str) -> Client {
    let why = "an isolated handler has no client of its board; make one with Client::connect and keep it in a \
               static";
    Client::unconnected(schema, why)
}

/// Runs one attempt to its end, whatever that is.
async fn perform(
    handler: &Handler,
    attempt: &Attempt,
    signal: StopSignal,
    client: Client,
) -> Ended {
    let parts = parts(attempt, signal, client);
    let span = parts.span.clone();
    let mut cx = Context::new(
        parts,
        WorkerState::absent("none for isolates, where a static keeps what is to last"),
    );
    let stored = Stored {
        version: attempt.version,
        fingerprint: Fingerprint::from_i64(attempt.fingerprint),
        bytes: &attempt.payload,
    };
    let performing = async {
        match (handler.own_run())(&mut cx, stored) {
            Ok(performed) => performed
                .await
                .map_err(|error| Failure::from_error(&*error)),
            Err(why) => Err(Failure::new(FailureKind::Undecodable, &why.to_string())),
        }
    };
    let performing = IN_HANDLER.scope((), performing.instrument(span));
    let said = match AssertUnwindSafe(performing).catch_unwind().await {
        Ok(Ok(outcome)) => Said::decided(outcome),
        Ok(Err(failure)) => Said::failed(failure),
        Err(payload) => Said::failed(panicked(&*payload).into_failure()),
    };
    let (_state, in_transaction) = cx.into_state();
    Ended {
        said,
        is_completed: in_transaction == InTransaction::Completed,
    }
}

fn parts(attempt: &Attempt, signal: StopSignal, client: Client) -> ContextParts {
    let span = tracing::info_span!(
        "attempt",
        job = attempt.id,
        attempt = attempt.attempt,
        kind = attempt.kind,
        queue = attempt.queue,
        worker = attempt.worker,
    );
    ContextParts {
        id: JobId::from_i64(attempt.id),
        attempt: job::Attempt::from_i32(attempt.attempt),
        failures: attempt.failures,
        max_attempts: attempt.max_attempts,
        kind: attempt.kind.as_str().into(),
        place: Arc::new(Place {
            queue: attempt.queue.as_str().into(),
            worker: attempt.worker.as_str().into(),
            node: NodeId::from_i64(attempt.node),
            client,
        }),
        enqueued_at: DateTime::from_timestamp_micros(attempt.enqueued_at).unwrap_or_default(),
        deadline: Instant::now() + attempt.time_left,
        signal,
        span,
        attachments: Attachments::default(),
        traceparent: attempt.traceparent.clone(),
        // Isolated kinds are never in the express lane.
        lane_exit: None,
    }
}
