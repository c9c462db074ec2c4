//! Ctrl-C and SIGTERM, wired to a graceful shutdown by one call.

use super::Board;
use crate::Error;

impl Board {
    /// Waits for Ctrl-C or SIGTERM, or for the end of the tree, and shuts down gracefully. A second
    /// signal ends the grace at once; a third ends the process with code 130.
    ///
    /// # Errors
    ///
    /// [`Error::is_start`] when signals cannot be heard, or the tree does not stop in time.
    pub async fn run_until_signal(&self) -> Result<(), Error> {
        let mut signals = Signals::new()?;
        tokio::select! {
            () = signals.next() => tracing::info!("shutting down; once more to hurry"),
            () = self.stopped() => return Ok(()),
        }
        let mut signals_heard = 1_u32;
        let shutdown = self.shutdown();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                stopped = &mut shutdown => return stopped,
                () = signals.next() => {
                    signals_heard += 1;
                    if signals_heard > 2 {
                        std::process::exit(130);
                    }
                    self.hurry();
                }
            }
        }
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> Result<Self, Error> {
        use tokio::signal::unix::{SignalKind, signal};
        let deaf = |cause: std::io::Error| Error::start("cannot listen for signals").because(cause);
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(deaf)?,
            terminate: signal(SignalKind::terminate()).map_err(deaf)?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Result<Self, Error> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
