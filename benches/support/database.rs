//! A database for one measurement.

use std::sync::atomic::{AtomicU32, Ordering};

use super::Failed;

/// Makes an empty database on this server, and returns its URL.
pub(crate) async fn fresh(server: &str) -> Result<String, Failed> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("callboard_bench_{}_{next}", std::process::id());
    run(server, &format!("create database {name}")).await?;
    let (server, _) = server.rsplit_once('/').ok_or("the URL names a database")?;
    Ok(format!("{server}/{name}"))
}

/// Runs statements on a connection of their own.
pub(crate) async fn run(server: &str, sql: &str) -> Result<(), Failed> {
    let (client, connection) = tokio_postgres::connect(server, tokio_postgres::NoTls).await?;
    let connection = tokio::spawn(connection);
    client.batch_execute(sql).await?;
    drop(client);
    Ok(connection.await??)
}
