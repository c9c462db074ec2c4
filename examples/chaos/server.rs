//! The database of the run: an embedded PostgreSQL that keeps its folder across restarts, and the
//! ways in which it fails.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use callboard::store::embedded::Embedded;
use callboard::{BoxError, Database};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::deeds::connect;
use crate::history::Who;

/// How long the server may take to come back.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    folder: PathBuf,
    port: u16,
    url: String,
    running: Mutex<Option<Embedded>>,
}

impl Server {
    /// Starts a fresh server in this folder, with the board's tables and the run's own.
    pub(crate) async fn start(folder: PathBuf) -> Result<Self, BoxError> {
        let mut server = Self {
            folder,
            port: quiet_port()?,
            url: String::new(),
            running: Mutex::new(None),
        };
        let running = server.launch().await?;
        server.url = format!(
            "{}?application_name={}",
            running.url(),
            Who::COORDINATOR.name()
        );
        server.running = Mutex::new(Some(running));
        Database::from_url(&server.url)?.migrate().await?;
        let session = server.session().await?;
        session.batch_execute(include_str!("board.sql")).await?;
        Ok(server)
    }

    async fn launch(&self) -> Result<Embedded, BoxError> {
        let running = Embedded::builder()
            .data_dir(&self.folder)
            .port(self.port)
            // Processes crash here, and the machine does not.
            .setting("fsync", "off")
            .setting("full_page_writes", "off")
            .setting("deadlock_timeout", "200ms")
            .start()
            .await?;
        if running.port() != self.port {
            return Err("somebody took the database's port while it was down".into());
        }
        Ok(running)
    }

    /// The URL of the server itself, with no proxy before it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A connection, as soon as there is one to be had.
    pub(crate) async fn session(&self) -> Result<tokio_postgres::Client, BoxError> {
        let until = Instant::now() + PATIENCE;
        loop {
            match connect(&self.url).await {
                Err(_) if Instant::now() < until => sleep(Duration::from_millis(50)).await,
                connected => return connected,
            }
        }
    }

    /// Stops the server as a crash does, and starts it again.
    pub(crate) async fn restart(&self) -> Result<(), BoxError> {
        let mut running = self.running.lock().await;
        if let Some(server) = running.take() {
            signal(server.pid(), Signal::QUIT)?;
            server.stop().await?;
        }
        *running = Some(self.launch().await?);
        drop(running);
        self.session().await.map(drop)
    }

    /// Kills a session's process, whereupon the server ends all of them and recovers.
    pub(crate) async fn crash(&self) -> Result<(), BoxError> {
        let session = self.session().await?;
        let pid: i32 = session
            .query_one("select pg_backend_pid()", &[])
            .await?
            .get(0);
        signal(pid.unsigned_abs(), Signal::KILL)?;
        while !session.is_closed() {
            sleep(Duration::from_millis(5)).await;
        }
        self.session().await.map(drop)
    }

    /// Ends every session but the one that does it.
    pub(crate) async fn terminate_sessions(&self) -> Result<(), BoxError> {
        let terminate = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                         where backend_type = 'client backend' and pid <> pg_backend_pid()";
        self.session().await?.batch_execute(terminate).await?;
        Ok(())
    }

    pub(crate) async fn stop(&self) -> Result<(), BoxError> {
        if let Some(server) = self.running.lock().await.take() {
            server.stop().await?;
        }
        Ok(())
    }
}

/// A free port that the system gives to nobody who connects: somebody might else come to have it while
/// the server is down.
fn quiet_port() -> Result<u16, BoxError> {
    let mut tries = std::iter::repeat_with(|| fastrand::u16(15_000..30_000)).take(100);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    tries.find(is_free).ok_or_else(|| "no port is free".into())
}

fn signal(pid: u32, signal: Signal) -> Result<(), BoxError> {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or("not a process")?;
    Ok(kill_process(pid, signal)?)
}
