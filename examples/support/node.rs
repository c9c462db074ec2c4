//! Processes of an example that run as nodes beside it.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use callboard::{Board, BoxError, Database};
use tokio::sync::oneshot;

/// The argument with which the program is started as a node.
pub(crate) const AS_NODE: &str = "node";

/// Runs a board until it is told to stop, or the process that started this one is done or gone.
pub(crate) async fn run(board: Board) -> Result<(), BoxError> {
    tokio::select! {
        ended = board.run_until_signal() => ended?,
        () = end_of_input() => board.shutdown().await?,
    }
    Ok(())
}

/// A process of this program that runs as a node. It ends when this value does.
pub(crate) struct Node(Child);

impl Node {
    /// Starts this program as a node, with these arguments after [`AS_NODE`].
    pub(crate) fn start(database: &Database, more: &[&str]) -> Result<Self, BoxError> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(AS_NODE).args(more).stdin(Stdio::piped());
        if let Some(url) = database.embedded_url() {
            command.env("DATABASE_URL", url);
        }
        Ok(Self(command.spawn()?))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// As `kill -9` does.
    pub(crate) fn kill(&mut self) -> Result<(), BoxError> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    /// Lets it shut down gracefully.
    pub(crate) fn stop(mut self) -> Result<(), BoxError> {
        drop(self.0.stdin.take());
        let status = self.0.wait()?;
        if !status.success() {
            return Err(format!("the node {} ended with {status}", self.pid()).into());
        }
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Fails when it has ended already, as it should have.
        let _ended = self.kill();
    }
}

/// Waits until standard input is closed: by the process that started this one, however it ends.
async fn end_of_input() {
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        let read = std::io::stdin().read_to_end(&mut rest);
        // Nobody listens any more if a signal came first.
        let _ended = tell.send(read);
    });
    // An error would say that the thread is gone, which is an end too.
    let _end = told.await;
}
