//! The systems, and what each of them is asked to do.
//!
//! A file a system. Each says how it enqueues, how it works, and which settings are tried; the best one is reported.
//! The first of each list is what `--quick` uses, because it was the best before.

mod apalis;
mod awa;
mod callboard;
mod graphile_worker;
mod riverqueue;

use std::fmt;
use std::future::Future;

use serde::{Deserialize, Serialize};

pub(crate) use apalis::Apalis;
pub(crate) use awa::Awa;
pub(crate) use callboard::Callboard;
pub(crate) use graphile_worker::GraphileWorker;
pub(crate) use riverqueue::Riverqueue;

use crate::Failed;
use crate::figure::Figure;
use crate::payload::Payload;

/// A job system under measurement, connected to one database.
pub(crate) trait System: Sized + Send + Sync + 'static {
    /// The name of its package.
    const PACKAGE: &'static str;
    /// What it keeps of a finished job, and how durable its writes are.
    const KEEPS: &'static str;
    /// The batches to try in [`Figure::Bulk`].
    const BATCHES: &'static [u64];

    /// How it works.
    type Work: fmt::Display + Copy + Send + Sync + 'static;

    /// How many connections to try for single enqueues of so many callers.
    fn pools(callers: u32) -> Vec<u32>;

    /// The ways of working to try in this figure.
    fn works(figure: Figure) -> Vec<Self::Work>;

    /// A query for one boolean: whether any of so many jobs has not ended yet.
    fn unfinished(jobs: u64) -> String;

    /// What must be in the environment of a process that works so.
    fn environment(_work: &Self::Work) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Makes the tables in an empty database.
    fn prepare(url: &str) -> impl Future<Output = Result<(), Failed>>;

    /// Connects to enqueue only, with so many connections, all open.
    fn connect(url: &str, connections: u32) -> impl Future<Output = Result<Self, Failed>> + Send;

    /// Connects to enqueue and to work, and starts no worker yet.
    fn hire(url: &str, work: Self::Work) -> impl Future<Output = Result<Self, Failed>> + Send;

    /// Starts the workers of [`hire`](Self::hire). Their handlers do nothing but
    /// [`note`](crate::arrivals::note).
    fn start(&mut self) -> impl Future<Output = Result<(), Failed>> + Send;

    /// Enqueues all of them in one call.
    fn enqueue_many(&self, jobs: Vec<Payload>) -> impl Future<Output = Result<(), Failed>> + Send;

    /// Enqueues one; it is committed when this returns.
    fn enqueue_one(&self, job: Payload) -> impl Future<Output = Result<(), Failed>> + Send;
}

/// A pool of so many connections, all of them open, for the systems that use sqlx 0.9.
async fn open_pool(url: &str, connections: u32) -> Result<sqlx::PgPool, Failed> {
    let pool = sqlx::postgres::PgPoolOptions::new()
        .min_connections(connections)
        .max_connections(connections)
        .connect(url)
        .await?;
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(pool.acquire().await?);
    }
    Ok(pool)
}

/// Which system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Name {
    Callboard,
    GraphileWorker,
    Apalis,
    Riverqueue,
    Awa,
}

pub(crate) const ALL: [Name; 5] = [
    Name::Callboard,
    Name::GraphileWorker,
    Name::Apalis,
    Name::Riverqueue,
    Name::Awa,
];

/// The system that the others are compared with.
pub(crate) const OURS: &str = Callboard::PACKAGE;

/// Calls `$function::<S>($argument, …)` for the system of this name.
macro_rules! with_system {
    ($name:expr, $function:ident($($argument:expr),*)) => {
        match $name {
            $crate::system::Name::Callboard => $function::<$crate::system::Callboard>($($argument),*),
            $crate::system::Name::GraphileWorker => $function::<$crate::system::GraphileWorker>($($argument),*),
            $crate::system::Name::Apalis => $function::<$crate::system::Apalis>($($argument),*),
            $crate::system::Name::Riverqueue => $function::<$crate::system::Riverqueue>($($argument),*),
            $crate::system::Name::Awa => $function::<$crate::system::Awa>($($argument),*),
        }
    };
}
pub(crate) use with_system;

impl Name {
    pub(crate) fn package(self) -> &'static str {
        fn package<S: System>() -> &'static str {
            S::PACKAGE
        }
        with_system!(self, package())
    }

    pub(crate) fn read(name: &str) -> Result<Self, String> {
        let found = ALL.into_iter().find(|system| system.package() == name);
        let names = ALL.map(Self::package).join(", ");
        found.ok_or(format!("there is no system {name:?}; expected {names}"))
    }

    /// Name and version, as they are in the lock file.
    pub(crate) fn with_version(self) -> String {
        let name = format!("name = \"{}\"", self.package());
        let mut lines = include_str!("../../Cargo.lock").lines();
        let version = lines
            .find(|line| *line == name)
            .and_then(|_| lines.next()?.strip_prefix("version = "))
            .map_or("unknown", |version| version.trim_matches('"'));
        format!("{} {version}", self.package())
    }

    pub(crate) fn keeps(self) -> &'static str {
        fn keeps<S: System>() -> &'static str {
            S::KEEPS
        }
        with_system!(self, keeps())
    }

    /// The settings to try in this figure, in words.
    pub(crate) fn settings(self, figure: Figure) -> Vec<String> {
        fn settings<S: System>(figure: Figure) -> Vec<String> {
            match figure {
                Figure::Bulk => S::BATCHES
                    .iter()
                    .map(|batch| format!("batches of {batch}"))
                    .collect(),
                Figure::Single(callers) => S::pools(callers)
                    .iter()
                    .map(|pool| format!("connections: {pool}"))
                    .collect(),
                _ => S::works(figure).iter().map(S::Work::to_string).collect(),
            }
        }
        with_system!(self, settings(figure))
    }

    /// What must be in the environment of a process with this setting.
    pub(crate) fn environment(self, figure: Figure, setting: usize) -> Vec<(&'static str, String)> {
        fn environment<S: System>(figure: Figure, setting: usize) -> Vec<(&'static str, String)> {
            match figure {
                Figure::Bulk | Figure::Single(_) => Vec::new(),
                _ => S::environment(&S::works(figure)[setting]),
            }
        }
        with_system!(self, environment(figure, setting))
    }
}
