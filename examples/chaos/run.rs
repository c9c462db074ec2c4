//! The coordinator's part: a server, nodes, faults; then calm, and the check.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use callboard::{BoxError, Client, Database};
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::deeds::Till;
use crate::evidence::Evidence;
use crate::fleet::Fleet;
use crate::history::{Said, Who, open, write};
use crate::node::{Plan, watch_the_clock};
use crate::options::Options;
use crate::producer::long_transaction;
use crate::report::Report;
use crate::server::Server;
use crate::storm::{Storm, fresh_token};
use crate::watch::watch;

/// How long nothing may change while there are jobs left, before they are given up.
const PATIENCE: Duration = Duration::from_secs(25);

/// How long the calm lasts at most.
const CALM: Duration = Duration::from_secs(120);

/// Runs the whole and says whether all was well.
pub(crate) async fn run(options: &Options) -> Result<bool, BoxError> {
    let folder = std::env::temp_dir().join(format!("callboard-chaos-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let report = tokio::select! {
        report = observe(options, &folder) => report,
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
        _ = terminate.recv() => Err("terminated".into()),
    };
    let is_fine = report.as_ref().is_ok_and(Report::is_fine);
    if is_fine && !options.is_keeping {
        std::fs::remove_dir_all(&folder)?;
    } else {
        // The database is of no use any more, and large.
        let _kept = std::fs::remove_dir_all(postgres(&folder));
        println!("The histories are in {}.", folder.display());
    }
    report.map(|_| is_fine)
}

fn postgres(folder: &Path) -> PathBuf {
    folder.join("postgres")
}

async fn observe(options: &Options, folder: &Path) -> Result<Report, BoxError> {
    open(folder, Who::COORDINATOR)?;
    std::thread::spawn(watch_the_clock);
    let server = Server::start(postgres(folder)).await?;
    let watching = tokio::spawn(watch(server.url().to_owned()));
    let client = Client::connect(Database::from_url(server.url())?).await?;
    let plan = Plan {
        folder: folder.to_owned(),
        who: Who::COORDINATOR,
        seed: options.seed,
        bug: options.bug.clone(),
    };
    let fleet = Fleet::start(server.url(), options.nodes, &plan)?;
    until_up(&server, options.nodes).await?;
    let storm = options.storm();
    println!(
        "seed {}: {} nodes, {} s of faults, then calm",
        options.seed,
        options.nodes,
        storm.as_secs()
    );
    let faults = Storm::new(&server, &fleet, &client, options.seed);
    faults.rage(storm).await?;
    faults.strike_the_lane().await?;
    faults.encore(folder).await?;
    faults.last_words().await?;
    calm(&server, &fleet, &client).await?;
    stop(&fleet).await?;
    watching.abort();
    crate::watch::look_in_the_end(&server).await?;
    let evidence = Evidence::gather(folder, &server.session().await?).await?;
    server.stop().await?;
    let report = Report::of(&evidence);
    report.print(options);
    if let Some(path) = &options.json {
        report.write(options, path)?;
    }
    Ok(report)
}

async fn until_up(server: &Server, nodes: u32) -> Result<(), BoxError> {
    let session = server.session().await?;
    for _ in 0..600 {
        let up: i64 = session
            .query_one("select count(*) from callboard.nodes", &[])
            .await?
            .get(0);
        if up >= i64::from(nodes) {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    Err("the nodes do not come up".into())
}

/// No more faults and no more jobs, but for a few that nobody is told about.
async fn calm(server: &Server, fleet: &Fleet, client: &Client) -> Result<(), BoxError> {
    write(Said::Calm);
    fleet.order_all("rest").await;
    for _ in 0..3 {
        long_transaction(client, &mut Till::at(server.url()), fresh_token()).await;
    }
    let session = server.session().await?;
    let began = Instant::now();
    let (mut last, mut since) = ((0, 0), Instant::now());
    loop {
        let progress =
            "select (select count(*) from callboard.jobs), (select max(seq) from chaos.audit)";
        let row = session.query_one(progress, &[]).await?;
        let seen: (i64, Option<i64>) = (row.get(0), row.get(1));
        let seen = (seen.0, seen.1.unwrap_or_default());
        if seen != last {
            (last, since) = (seen, Instant::now());
        }
        if seen.0 == 0 || since.elapsed() > PATIENCE || began.elapsed() > CALM {
            write(Said::Drained { left: seen.0 });
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn stop(fleet: &Fleet) -> Result<(), BoxError> {
    for node in &fleet.nodes {
        node.lock().await.signal(Signal::TERM)?;
    }
    for node in &fleet.nodes {
        node.lock().await.ended().await?;
    }
    Ok(())
}
