//! What the examples share: how they end, and how they wait.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use callboard::{BoxError, Client, Error, JobId, JobInfo};
use tracing_subscriber::EnvFilter;

/// Runs an example. It is quiet unless `RUST_LOG` says otherwise, and an error is told in full.
pub(crate) async fn run(example: impl Future<Output = Result<(), BoxError>>) -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match example.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", in_full(&*error));
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, which some libraries keep out of its text.
fn in_full(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}

/// Waits until all of these jobs have ended, and tells how.
pub(crate) async fn until_ended(client: &Client, jobs: &[JobId]) -> Result<Vec<JobInfo>, Error> {
    let mut ended = Vec::with_capacity(jobs.len());
    for id in jobs {
        loop {
            match client.job(*id).await? {
                Some(job) if job.state.is_ended() => break ended.push(job),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
    Ok(ended)
}
