//! What does a board report, and how does Prometheus get it?
//!
//! The application installs a recorder, and the board reports to it: here the one of Prometheus, whose text
//! is printed at the end. A program that serves HTTP gives that text to whoever asks for `/metrics`
//! (`PrometheusHandle::render`). `docs/metrics.md` lists all metrics, `dashboards/callboard.json` is a
//! dashboard for Grafana.
//!
//! `cargo run --example metrics serve 127.0.0.1:9464 720` lives an eventful life for so many seconds, and serves
//! its metrics at that address: what `dashboards/callboard.svg` was drawn from.

use std::process::ExitCode;
use std::time::Duration;

use callboard::event::{METRICS, MetricKind, SECONDS, SIZES};
use callboard::{Board, BoxError, Database, Event, Queue, call, functions};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

#[path = "metrics/life.rs"]
mod life;
#[path = "metrics/serve.rs"]
mod serve;
mod support;

const JOBS: u64 = 500;

/// Every hundredth fails.
async fn work(number: u64) -> Result<(), BoxError> {
    match number % 100 {
        99 => Err(format!("number {number} is beyond me").into()),
        _ => Ok(()),
    }
}

/// Installs a recorder for the whole process, with buckets for each histogram.
fn install_recorder() -> Result<PrometheusHandle, BoxError> {
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS {
        let bounds: &[f64] = match metric.kind {
            MetricKind::Seconds => &SECONDS,
            MetricKind::Sizes => &SIZES,
            _ => continue,
        };
        let name = Matcher::Full(metric.name.to_owned());
        builder = builder.set_buckets_for_metric(name, bounds)?;
    }
    Ok(builder.install_recorder()?)
}

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        [] => support::run(example()).await,
        ["serve", address, seconds] => support::run(served(address, seconds)).await,
        [life::AS_NODE] => support::run(life::node()).await,
        _ => {
            eprintln!("usage: metrics [serve ADDRESS SECONDS]");
            ExitCode::FAILURE
        }
    }
}

/// Lives for so many seconds, and serves the metrics meanwhile.
async fn served(address: &str, seconds: &str) -> Result<(), BoxError> {
    let lifetime = Duration::from_secs(seconds.parse()?);
    let recorder = install_recorder()?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("the metrics are at http://{address}/metrics for {lifetime:?}");
    tokio::select! {
        ended = life::live() => ended,
        ended = serve::serve(listener, recorder) => Ok(ended?),
        () = tokio::time::sleep(lifetime) => Ok(()),
    }
}

async fn example() -> Result<(), BoxError> {
    // First: a board reports to the recorder that is there when it starts.
    let recorder = install_recorder()?;
    let board = Board::builder(Database::from_env_or_embedded().await?)
        .queue(Queue::new("default").workers(4))
        .functions(functions![work])
        .metrics()
        // So that the gauges are there soon; the default of 15 seconds is enough for Prometheus.
        .sample_every(Duration::from_secs(1))
        .start()
        .await?;
    let calls = (0..JOBS).map(|number| call!(work(number)).max_attempts(1));
    let jobs = board.client().enqueue_many(calls).await?;
    support::until_ended(board.client(), &jobs).await?;
    let mut events = board.events();
    while let Some(event) = events.next().await {
        if let Ok(Event::Sampled(_)) = event {
            break;
        }
    }
    board.shutdown().await?;
    println!("{}", recorder.render());
    Ok(())
}
