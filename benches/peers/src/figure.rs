//! What is measured, and with how many jobs.

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One thing that every system does, and that is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Figure {
    /// The bulk call, on one connection, in batches of the setting's size.
    Bulk,
    /// The call for one job, by this many callers at once, each after its last answer.
    Single(u32),
    /// Jobs that are there already, with a handler that does nothing.
    Drain,
    /// One producer enqueues batches of [`PRODUCED_AT_ONCE`] as fast as it can while the workers run.
    EndToEnd,
    /// One job at a time into an idle, running worker: from the start of the enqueue call to the start of the handler.
    Latency,
}

/// The batch of the producer in [`Figure::EndToEnd`], the same for all.
pub(crate) const PRODUCED_AT_ONCE: u64 = 1_000;

/// How many jobs the workers have done before [`Figure::EndToEnd`] is measured: cached plans made on tables that were
/// empty would decide it otherwise.
const WARM_UP: u64 = 20_000;

/// How many jobs, and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) repetitions: u32,
    pub(crate) settings: Settings,
    bulk: u64,
    /// Of one caller, of sixteen, of sixty-four.
    single: [u64; 3],
    drain: u64,
    end_to_end: u64,
    latency: u64,
    /// A trial that takes longer has failed.
    pub(crate) patience: Duration,
}

/// Which of a system's settings are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settings {
    /// Each is tried once with the jobs of [`Effort::QUICK`], and the best one is measured.
    Best,
    /// The one that its system lists first, because it was best here.
    First,
}

impl Effort {
    pub(crate) const FULL: Self = Self {
        repetitions: 3,
        settings: Settings::Best,
        bulk: 100_000,
        single: [2_000, 8_000, 10_000],
        drain: 200_000,
        end_to_end: 100_000,
        latency: 250,
        patience: Duration::from_secs(180),
    };
    pub(crate) const QUICK: Self = Self {
        repetitions: 1,
        settings: Settings::First,
        bulk: 30_000,
        single: [500, 2_000, 5_000],
        drain: 50_000,
        end_to_end: 50_000,
        latency: 100,
        patience: Duration::from_secs(60),
    };

    /// How many jobs a repetition of the figure takes.
    pub(crate) fn jobs(self, figure: Figure) -> u64 {
        match figure {
            Figure::Bulk => self.bulk,
            Figure::Single(1) => self.single[0],
            Figure::Single(16) => self.single[1],
            Figure::Single(_) => self.single[2],
            Figure::Drain => self.drain,
            Figure::EndToEnd => self.end_to_end,
            Figure::Latency => self.latency,
        }
    }
}

impl Figure {
    pub(crate) const ALL: [Self; 7] = [
        Self::Bulk,
        Self::Single(1),
        Self::Single(16),
        Self::Single(64),
        Self::Drain,
        Self::EndToEnd,
        Self::Latency,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bulk => "bulk enqueue",
            Self::Single(1) => "single enqueue by 1",
            Self::Single(16) => "single enqueue by 16",
            Self::Single(_) => "single enqueue by 64",
            Self::Drain => "drain",
            Self::EndToEnd => "end to end",
            Self::Latency => "idle latency",
        }
    }

    pub(crate) fn read(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|figure| figure.name() == name);
        let names = Self::ALL.map(Self::name).join(", ");
        found.ok_or(format!("there is no figure {name:?}; expected {names}"))
    }

    /// The numbers of the jobs that are there before the workers start, when so many are measured.
    pub(crate) fn ready_beforehand(self, jobs: u64) -> Range<u64> {
        match self {
            Self::Drain => 0..jobs,
            Self::EndToEnd => jobs..jobs + WARM_UP,
            _ => 0..0,
        }
    }

    /// What the figure holds fixed for everybody.
    pub(crate) fn conditions(self) -> String {
        match self {
            Self::Bulk => "one connection, batch by the setting, no workers".to_owned(),
            Self::Single(callers) => {
                format!("callers: {callers}, each waits for its commit, no workers")
            }
            Self::Drain => "preloaded, analyzed, no-op handlers; from starting the workers until nothing is \
                            unfinished in the database"
                .to_owned(),
            Self::EndToEnd => format!(
                "one producer, batches of {PRODUCED_AT_ONCE}, in the process of the workers, which have drained \
                 {WARM_UP} jobs and been idle for 1 s; no-op handlers; until nothing is unfinished in the database"
            ),
            Self::Latency => "one job at a time, 10 to 15 ms after the last one, from the start of the enqueue to the \
                              start of the handler"
                .to_owned(),
        }
    }
}
