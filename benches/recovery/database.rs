//! A server that goes away and comes back.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use callboard::call;
use callboard::store::embedded::{Embedded, EmbeddedBuilder};

use crate::Effort;
use crate::figure::Figure;
use crate::stage::{Stage, hold, mark};
use crate::support::Failed;

/// Long enough for every actor to have reached its longest pause.
const AWAY: Duration = Duration::from_secs(3);

/// Measures from the first connection that the server takes again until the next job runs.
pub(crate) async fn back(effort: Effort) -> Result<Figure, Failed> {
    let folder = std::env::temp_dir().join(format!("callboard-recovery-{}", std::process::id()));
    let samples = outages(&folder, effort).await;
    std::fs::remove_dir_all(&folder)?;
    let name = "the database is back → next job running";
    let setting = format!("away for {AWAY:?}, jobs waiting");
    Ok(Figure::new(name, setting, Duration::from_secs(1), samples?))
}

async fn outages(folder: &std::path::Path, effort: Effort) -> Result<Vec<Duration>, Failed> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let configured = || -> EmbeddedBuilder { Embedded::builder().data_dir(folder).port(port) };
    let mut server = configured().start().await?;
    let stage = Stage::set_at(server.url().to_owned()).await?;
    let mut samples = Vec::new();
    for _ in 0..effort.outages {
        let calls = [call!(hold()), call!(mark())];
        stage.board.client().enqueue_many(calls).await?;
        stage.begun().await?;
        server.stop().await?;
        stage.let_go();
        tokio::time::sleep(AWAY).await;
        let back = tokio::spawn(first_connection(stage.url.clone()));
        server = configured().start().await?;
        samples.push(stage.begun().await? - back.await?);
        stage.quiet().await?;
    }
    stage.board.shutdown().await?;
    server.stop().await?;
    Ok(samples)
}

async fn first_connection(url: String) -> Instant {
    loop {
        if let Ok((_, connection)) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await {
            let back = Instant::now();
            drop(connection);
            return back;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
