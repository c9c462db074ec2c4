//! One node: a process with a board and a producer, which does what the coordinator tells it on its
//! standard input, and ends with it.

use std::io::BufRead;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use callboard::queue::Express;
use callboard::supervision::EventKind;
use callboard::{Board, BoxError, Database, Queue};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;

use crate::deeds::{Till, handlers};
use crate::history::{Said, Who, open, write};
use crate::lane::LANE;
use crate::producer::{Producer, QUIET};

/// The first argument of a node's process.
pub(crate) const AS_NODE: &str = "node";
/// Where a node finds its database: by way of its own proxy.
pub(crate) const URL: &str = "CHAOS_URL";
/// How long a node may be silent.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// How many producers each node has.
const PRODUCERS: i64 = 4;

/// How many workers each queue has on each node.
pub(crate) fn workers(queue: &str) -> usize {
    match queue {
        "default" | "slow" | LANE => 4,
        _ => 1,
    }
}

/// The queue that only the node of this slot serves.
pub(crate) fn hog_queue(slot: u32) -> String {
    format!("hog-{slot}")
}

/// A gap in which this thread did not run is worth a line from here on.
const HICCUP: Duration = Duration::from_millis(250);

/// What a node is started with.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) folder: PathBuf,
    pub(crate) who: Who,
    pub(crate) seed: u64,
    pub(crate) bug: Option<String>,
}

impl Plan {
    pub(crate) fn arguments(&self) -> Vec<String> {
        let Self {
            folder,
            who,
            seed,
            bug,
        } = self;
        let folder = folder.display().to_string();
        let mut arguments = vec![AS_NODE.to_owned(), folder, who.name(), seed.to_string()];
        arguments.extend(bug.clone());
        arguments
    }

    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, BoxError> {
        let mut next = |what: &'static str| arguments.next().ok_or(what);
        Ok(Self {
            folder: next("no folder")?.into(),
            who: Who::parse(&next("no name")?).ok_or("not a name")?,
            seed: next("no seed")?.parse()?,
            bug: arguments.next(),
        })
    }
}

/// Runs the node until it is told to end.
pub(crate) async fn run(plan: Plan) -> Result<(), BoxError> {
    open(&plan.folder, plan.who)?;
    if let Some(bug) = &plan.bug {
        crate::teeth::plant(bug)?;
    }
    std::thread::spawn(watch_the_clock);
    let orders = listen();
    let url = std::env::var(URL)?;
    let board = start(&url, plan.who.slot).await?;
    tokio::spawn(note_events(board.clone()));
    tokio::spawn(note_counts(board.clone()));
    tokio::spawn(note_the_end());
    let mut producing = JoinSet::new();
    for part in 0..PRODUCERS {
        let producer = Producer::new(board.client().clone(), &url, plan.who, part, plan.seed);
        producing.spawn(producer.run());
    }
    tokio::spawn(obey(orders, board.clone(), producing));
    board.run_until_signal().await?;
    note_count(&board);
    Ok(())
}

/// Starts the board, again and again if the database is in trouble just then.
async fn start(url: &str, slot: u32) -> Result<Board, BoxError> {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let started = builder(url, slot)?.start().await;
        match started {
            Ok(board) => return Ok(board),
            Err(error) if error.is_config() || Instant::now() > until => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

fn builder(url: &str, slot: u32) -> Result<callboard::board::Builder, BoxError> {
    let database = Database::from_url(url)?
        .connect_timeout(Duration::from_secs(2))
        .statement_timeout(Duration::from_secs(5));
    let queue = |name: &str| {
        let url = url.to_owned();
        Queue::new(name)
            .workers(workers(name) as u32)
            .poll_every(Duration::from_millis(300))
            .cancel_grace(Duration::from_secs(4))
            .worker_state(move || {
                let till = Till::at(&url);
                async move { Ok::<_, BoxError>(till) }
            })
    };
    Ok(Board::builder(database)
        .without_migrations()
        .lease(LEASE)
        .sweep_every(Duration::from_millis(200))
        .shutdown_grace(Duration::from_millis(700))
        .queue(queue("default"))
        .queue(queue("slow"))
        .queue(queue(LANE).express(Express::new()))
        .queue(queue(QUIET))
        .queue(queue(&hog_queue(slot)))
        .functions(handlers()))
}

/// Writes down when this process was not given the processor.
pub(crate) fn watch_the_clock() {
    let mut last = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(20));
        let gap = last.elapsed();
        if gap > HICCUP {
            let ms = i64::try_from(gap.as_millis()).expect("a gap is short");
            write(Said::Hiccup { ms });
        }
        last = Instant::now();
    }
}

/// The coordinator's orders. Its end is the end of this process.
fn listen() -> UnboundedReceiver<String> {
    let (told, orders) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if told.send(line).is_err() {
                break;
            }
        }
        std::process::exit(3);
    });
    orders
}

async fn obey(mut orders: UnboundedReceiver<String>, board: Board, mut producing: JoinSet<()>) {
    while let Some(order) = orders.recv().await {
        let words: Vec<&str> = order.split(' ').collect();
        match words[..] {
            ["kill", ref path @ ..] => kill(&board, path),
            // What it does just now is written down as begun, and may be half done.
            ["rest"] => producing.abort_all(),
            _ => {}
        }
    }
}

/// Kills an actor of the board at whatever await it is.
fn kill(board: &Board, path: &[&str]) {
    let tree = board.supervisor().snapshot();
    if let Some(actor) = tree.find(path).and_then(|found| found.info.actor.clone()) {
        actor.kill();
    }
}

async fn note_events(board: Board) {
    let mut events = board.supervisor().events();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                let path = event.path.to_string();
                match event.kind {
                    EventKind::Exited { exit, .. } => {
                        write(Said::Exited {
                            path,
                            is_orderly: exit.is_normal(),
                        });
                    }
                    EventKind::Started { .. } | EventKind::Restarted { .. } => {
                        write(Said::Started { path });
                    }
                    _ => {}
                }
            }
            Err(missed) => write(Said::Unheard { events: missed.0 }),
        }
    }
}

async fn note_counts(board: Board) {
    loop {
        note_count(&board);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn note_count(board: &Board) {
    let counts = board.counts();
    write(Said::Counts {
        refused: counts.refused,
        rescued: counts.rescued,
    });
}

async fn note_the_end() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return;
    };
    if terminate.recv().await.is_some() {
        write(Said::Stopping);
    }
}
