//! The way from options to a running server, on a thread of its own.
//!
//! Killed at any point, nothing is lost: what is left is recognised by its locks and taken up or removed by the next start.

use std::path::Path;
use std::sync::Arc;

use super::address::Address;
use super::binaries::{Binaries, Surroundings};
use super::deadline::Deadline;
use super::error::{EmbeddedError, Trouble};
use super::folder::Folder;
use super::run_as::RunAs;
use super::server::Recipe;
use super::{Embedded, EmbeddedBuilder, cluster, settings, temporary};

pub(super) use super::server::Server;

pub(super) async fn start(options: EmbeddedBuilder) -> Result<Embedded, EmbeddedError> {
    // Dropping this future drops `caller`, which the thread notices at its next tick.
    let caller = Arc::new(());
    let deadline = Deadline::after(options.start_timeout, Arc::downgrade(&caller));
    let started = on_a_thread(move || start_blocking(&options, &deadline)).await;
    drop(caller);
    started
}

pub(super) async fn stop(server: Server) -> Result<(), EmbeddedError> {
    on_a_thread(move || server.stop()).await
}

/// Runs blocking work off the runtime's own threads; its panic is the caller's.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EmbeddedError> + Send + 'static,
) -> Result<T, EmbeddedError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Trouble::Abandoned.into()),
        },
    }
}

fn start_blocking(
    options: &EmbeddedBuilder,
    deadline: &Deadline,
) -> Result<Embedded, EmbeddedError> {
    temporary::sweep(deadline);
    match &options.data_dir {
        Some(path) => start_kept(path, options, deadline),
        None => start_temporary(options, deadline),
    }
}

fn start_temporary(
    options: &EmbeddedBuilder,
    deadline: &Deadline,
) -> Result<Embedded, EmbeddedError> {
    let run_as = RunAs::choose(None)?;
    let binaries = find(options, None, &run_as)?;
    start_on(
        temporary::create(&run_as)?,
        None,
        &binaries,
        &run_as,
        options,
        deadline,
    )
}

fn start_kept(
    path: &Path,
    options: &EmbeddedBuilder,
    deadline: &Deadline,
) -> Result<Embedded, EmbeddedError> {
    let folder = Folder::claim(path)?;
    let data = folder.data();
    let run_as = RunAs::choose(data.exists().then_some(data.as_path()))?;
    let version = cluster::existing_version(&data)?;
    let binaries = find(options, version.as_deref(), &run_as)?;
    if let Some(version) = &version {
        cluster::must_match(&data, version, &binaries)?;
    }
    start_on(folder, version, &binaries, &run_as, options, deadline)
}

fn find(
    options: &EmbeddedBuilder,
    version: Option<&str>,
    run_as: &RunAs,
) -> Result<Binaries, EmbeddedError> {
    let wanted = version.and_then(|version| version.parse().ok());
    Binaries::find(
        options.bin_dir.as_deref(),
        wanted,
        run_as,
        &Surroundings::of_process(),
    )
}

fn start_on(
    folder: Folder,
    version: Option<String>,
    binaries: &Binaries,
    run_as: &RunAs,
    options: &EmbeddedBuilder,
    deadline: &Deadline,
) -> Result<Embedded, EmbeddedError> {
    run_as.must_enter(folder.root())?;
    let password = match version {
        Some(_) => cluster::password(&folder)?,
        None => cluster::create(&folder, binaries, run_as, deadline)?,
    };
    let settings = settings::effective(folder.durability(), &options.settings);
    let recipe = Recipe {
        binaries,
        run_as,
        settings: &settings,
        port: options.port,
        deadline,
    };
    let (server, port) = Server::start(folder, &recipe)?;
    tracing::info!(port, pid = server.pid(), folder = %server.folder().display(), "embedded PostgreSQL is ready");
    Ok(Embedded::new(Address { port, password }, server))
}
