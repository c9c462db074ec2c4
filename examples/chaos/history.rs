//! What every process writes down for the checker: append-only files outside of the database, a line
//! of JSON for each thing that happened.
//!
//! A line is one write, so that a process killed with SIGKILL leaves whole lines. What a job does is
//! written before the board can know of it.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::SystemTime;

use callboard::BoxError;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;

/// A process of the run: its place among the nodes and its life there. `0.0` is the coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Who {
    pub(crate) slot: u32,
    pub(crate) life: u32,
}

impl Who {
    pub(crate) const COORDINATOR: Self = Self { slot: 0, life: 0 };

    /// How its sessions are named, and its file.
    pub(crate) fn name(self) -> String {
        format!("chaos-{}-{}", self.slot, self.life)
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (slot, life) = name.strip_prefix("chaos-")?.split_once('-')?;
        Some(Self {
            slot: slot.parse().ok()?,
            life: life.parse().ok()?,
        })
    }
}

/// How a handler ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum How {
    Done,
    Failed,
    Snoozed,
    Panicked,
    /// Dropped at an await.
    CutOff,
}

/// How a transaction with an enqueue ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Tx {
    Committed,
    RolledBack,
    Unknown,
}

/// What happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "it")]
pub(crate) enum Said {
    /// A call is about to be enqueued, to run `after_ms` from now.
    Calling { token: i64, after_ms: i64 },
    /// The enqueue was acknowledged.
    Posted { token: i64, job: i64 },
    /// The enqueue failed, which tells nothing about the job.
    Unsure { token: i64, error: String },
    /// Enqueued in a transaction, which is not over yet.
    InTransaction { token: i64, job: i64 },
    /// How the transaction ended.
    Transaction { token: i64, job: i64, end: Tx },
    /// A cancellation is about to be asked for.
    Cancelling { job: i64 },
    /// What came of it.
    Cancelled { job: i64, how: String },
    /// A handler begins.
    Began {
        token: i64,
        job: i64,
        attempt: i32,
        node: i64,
        queue: String,
    },
    /// A handler has ended; the board learns of it next.
    Ended { job: i64, attempt: i32, how: How },
    /// What the board has counted since its start.
    Counts { refused: u64, rescued: u64 },
    /// This process was not given the processor for so long, or the database no answer.
    Hiccup { ms: i64 },
    /// An actor of the board's tree ended.
    Exited { path: String, is_orderly: bool },
    /// It runs again.
    Started { path: String },
    /// So many of these two were missed.
    Unheard { events: u64 },
    /// The end of this process is asked for: what stops from here on is meant to.
    Stopping,
    /// A fault begins, on a node or on all.
    Fault { fault: Fault, slot: Option<u32> },
    /// A fault is over.
    Over { fault: Fault, slot: Option<u32> },
    /// A node's process was started.
    Spawned { who: Who },
    /// A node's process has ended.
    Gone { who: Who, how: String },
    /// The sessions of the server were looked at.
    Looked,
    /// Deadlocks that the server has counted, or that a session was the victim of.
    Deadlock { count: i64 },
    /// A session has been in a transaction for too long.
    LeftOpen { session: String, state: String },
    /// No more faults.
    Calm,
    /// Every job has ended, or patience has.
    Drained { left: i64 },
}

/// A line of a history.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Microseconds since 1970.
    pub(crate) at: i64,
    #[serde(flatten)]
    pub(crate) said: Said,
}

pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since = since.expect("it is later than 1970");
    i64::try_from(since.as_micros()).expect("it is earlier than the year 200000")
}

static HISTORY: OnceLock<Mutex<File>> = OnceLock::new();

/// Opens the file of this process.
pub(crate) fn open(folder: &Path, who: Who) -> Result<(), BoxError> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path(folder, who))?;
    HISTORY
        .set(Mutex::new(file))
        .map_err(|_| "the history is open already".into())
}

fn path(folder: &Path, who: Who) -> PathBuf {
    folder.join(format!("{}.jsonl", who.name()))
}

/// Writes a line.
///
/// # Panics
///
/// If it cannot be written: a run without its history proves nothing.
pub(crate) fn write(said: Said) {
    let file = HISTORY.get().expect("the history is opened first");
    let mut file = file.lock().expect("nobody panics while writing");
    // Taken under the lock, so that lines are in order.
    let record = Record { at: now(), said };
    let mut line = serde_json::to_vec(&record).expect("a record is JSON");
    line.push(b'\n');
    file.write_all(&line).expect("the history can be written");
}

/// The whole histories of a run.
pub(crate) fn read(folder: &Path) -> Result<Vec<(Who, Vec<Record>)>, BoxError> {
    let mut histories = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        let is_history = path.extension().is_some_and(|ext| ext == "jsonl");
        let Some(who) = name.and_then(Who::parse).filter(|_| is_history) else {
            continue;
        };
        let mut records = Vec::new();
        for line in BufReader::new(File::open(&path)?).lines() {
            let line = line?;
            let record = serde_json::from_str(&line);
            records.push(record.map_err(|error| format!("{}: {error}: {line}", path.display()))?);
        }
        histories.push((who, records));
    }
    histories.sort_by_key(|(who, _)| *who);
    Ok(histories)
}

/// How many answers all boards together had refused, and how many jobs taken back, when they were last
/// heard of.
pub(crate) fn counts(histories: &[(Who, Vec<Record>)]) -> (u64, u64) {
    let last = |(_, records): &(Who, Vec<Record>)| {
        let counts = records.iter().rev().find_map(|record| match record.said {
            Said::Counts { refused, rescued } => Some((refused, rescued)),
            _ => None,
        });
        counts.unwrap_or_default()
    };
    histories
        .iter()
        .map(last)
        .fold((0, 0), |(refused, rescued), (more, others)| {
            (refused + more, rescued + others)
        })
}
