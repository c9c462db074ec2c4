//! A board whose handlers say when they begin.

use std::sync::Arc;
use std::time::{Duration, Instant};

use callboard::{Board, BoxError, Context, Database, Queue, functions};
use ractor::ActorCell;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex, Semaphore};

use crate::support::{Failed, database};

/// After so long something is wrong, and no figure.
const PATIENCE: Duration = Duration::from_secs(60);

/// What handlers have in common with the measurement.
#[derive(Clone)]
struct Reins {
    begun: UnboundedSender<Instant>,
    gate: Arc<Semaphore>,
}

/// Begins, and is done.
pub(crate) async fn mark(cx: &mut Context) -> Result<(), BoxError> {
    cx.state::<Reins>()?.begun.send(Instant::now())?;
    Ok(())
}

/// Begins, and crashes its worker.
pub(crate) async fn crash(cx: &mut Context) -> Result<(), BoxError> {
    cx.state::<Reins>()?.begun.send(Instant::now())?;
    panic!("as it was meant to")
}

/// Begins, and is done when the gate lets it.
pub(crate) async fn hold(cx: &mut Context) -> Result<(), BoxError> {
    let reins = cx.state::<Reins>()?.clone();
    reins.begun.send(Instant::now())?;
    reins.gate.acquire().await?.forget();
    Ok(())
}

/// A board with one worker, over a database of its own.
pub(crate) struct Stage {
    pub(crate) board: Board,
    pub(crate) url: String,
    gate: Arc<Semaphore>,
    begun: Mutex<UnboundedReceiver<Instant>>,
}

impl Stage {
    /// Over a fresh database of this server.
    pub(crate) async fn set(server: &str) -> Result<Self, Failed> {
        Self::set_at(database::fresh(server).await?).await
    }

    /// Over this database.
    pub(crate) async fn set_at(url: String) -> Result<Self, Failed> {
        let (sender, begun) = unbounded_channel();
        let gate = Arc::new(Semaphore::new(0));
        let reins = Reins {
            begun: sender,
            gate: Arc::clone(&gate),
        };
        let queue = Queue::new("default").workers(1).worker_state(move || {
            let reins = reins.clone();
            async move { Ok::<_, BoxError>(reins) }
        });
        let board = Board::builder(Database::from_url(&url)?)
            .queue(queue)
            .functions(functions![mark, crash, hold])
            .start()
            .await?;
        Ok(Self {
            board,
            url,
            gate,
            begun: Mutex::new(begun),
        })
    }

    /// Waits until the next handler begins, and says when.
    pub(crate) async fn begun(&self) -> Result<Instant, Failed> {
        let mut begun = self.begun.lock().await;
        let at = tokio::time::timeout(PATIENCE, begun.recv()).await?;
        at.ok_or_else(|| "the board is gone".into())
    }

    /// Lets one job that holds go.
    pub(crate) fn let_go(&self) {
        self.gate.add_permits(1);
    }

    /// The actor at this place of the tree.
    pub(crate) fn actor(&self, path: &[&str]) -> Result<ActorCell, Failed> {
        let tree = self.board.supervisor().snapshot();
        let found = tree.find(path).and_then(|found| found.info.actor.clone());
        found.ok_or_else(|| format!("nobody is at {path:?}").into())
    }

    /// Waits until every answer is written, and the tree is whole.
    pub(crate) async fn quiet(&self) -> Result<(), Failed> {
        let waiting = async {
            while self.board.counts().in_hand > 0 || !self.board.health().is_working() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        Ok(tokio::time::timeout(PATIENCE, waiting).await?)
    }
}
