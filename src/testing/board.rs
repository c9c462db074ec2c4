//! A board of a test's own: [`TestBoard`].

use std::ops::Deref;
use std::time::Duration;

use super::attempts::{Attempts, Mishap};
use super::tail::Tail;
use super::{Proxy, TestTree, ThrowawayDatabase};
use crate::board::Builder;
use crate::event::{Attempted, Event};
use crate::store::Database;
use crate::{Board, Client, Error};

/// How long a test waits for a fact before it fails, unless told otherwise.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(20);

/// A board of a test's own, over a database of its own: everything is gone when it is dropped, also
/// after a panic.
///
/// It is a [`Board`] with more to it, see the [module](crate::testing). Its connections go through a
/// proxy, so that a test can cut them.
///
/// # Examples
///
/// ```no_run
/// # use callboard::{BoxError, Context, Job, Outcome, Queue};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct SendWelcome { user_id: i64 }
/// # impl Job for SendWelcome {
/// #     const KIND: &'static str = "mail.send_welcome";
/// #     const QUEUE: &'static str = "mail";
/// #     async fn perform(self, _: &mut Context) -> Result<Outcome, BoxError> { Ok(Outcome::Done) }
/// # }
/// use callboard::testing::TestBoard;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let board = TestBoard::start(|board| board.queue(Queue::new("mail")).job::<SendWelcome>()).await;
/// let job = board.client().enqueue(SendWelcome { user_id: 1 }).await?;
/// board.settled(job).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TestBoard {
    board: Board,
    pub(super) tree: TestTree,
    /// Every attempt that has ended.
    pub(super) ended: Tail<Attempted, Event>,
    pub(super) attempts: Attempts,
    pub(super) proxy: Proxy,
    pub(super) mode: Mode,
    /// For the test's own questions, past the proxy.
    pub(super) rows: Client,
    /// Last, so that nobody is connected any more when it goes.
    database: ThrowawayDatabase,
}

/// Whether the queues of a test's board run by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Running,
    /// Only while they are drained.
    Paused,
}

impl TestBoard {
    /// Starts a board with what `configure` adds to it: queues, jobs, functions, options.
    ///
    /// # Panics
    ///
    /// When it does not start; the text says why.
    pub async fn start(configure: impl FnOnce(Builder) -> Builder) -> Self {
        Self::on(Self::database().await, configure).await
    }

    /// Starts a board whose queues run nothing until they are [drained](Self::drain), so that a test
    /// can look at what was enqueued.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn paused(configure: impl FnOnce(Builder) -> Builder) -> Self {
        let mut board = Self::start(configure).await;
        board.mode = Mode::Paused;
        for queue in board.queues() {
            board.pause(&queue).await;
        }
        board
    }

    /// As [`start`](Self::start), over a database that the test has prepared.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn on(
        database: ThrowawayDatabase,
        configure: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let starting = Self::try_on(database, configure).await;
        starting.unwrap_or_else(|error| panic!("the test's board does not start: {error}"))
    }

    async fn database() -> ThrowawayDatabase {
        let database = ThrowawayDatabase::create().await;
        database.unwrap_or_else(|error| panic!("the test gets no database: {error}"))
    }

    async fn try_on(
        database: ThrowawayDatabase,
        configure: impl FnOnce(Builder) -> Builder,
    ) -> Result<Self, Error> {
        let proxy = Proxy::start(database.url())?;
        let attempts = Attempts::default();
        let through_proxy = Database::from_url(proxy.url())?;
        let builder = configure(Board::builder(through_proxy));
        let watching = attempts.clone();
        let board = builder.map_handlers(move |handler| watching.wrap(handler));
        let board = board.start().await?;
        Ok(Self {
            tree: TestTree::of(board.supervisor()),
            ended: Tail::picking(|| board.events(), ended),
            board,
            attempts,
            proxy,
            mode: Mode::Running,
            rows: Client::connect(database.database().clone()).await?,
            database,
        })
    }

    /// Lets this board's waits take so long before the test fails (default [`DEFAULT_PATIENCE`]).
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.tree.patience = patience;
        self
    }

    /// The URL of its database, past the proxy: for the test's own questions.
    #[must_use]
    pub fn url(&self) -> &str {
        self.database.url()
    }

    /// The proxy that its connections go through, to break them in more ways than there are
    /// [faults](super::Fault).
    #[must_use]
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// Makes every job's `attempt` (from 1) of this kind meet with a mishap instead of running.
    pub fn mishap(&self, kind: impl Into<String>, attempt: u32, mishap: Mishap) {
        let attempt = i32::try_from(attempt).unwrap_or(i32::MAX);
        self.attempts.set(kind.into(), attempt, mishap);
    }

    /// Lets all attempts run undisturbed from now on.
    pub fn clear_mishaps(&self) {
        self.attempts.clear();
    }

    /// Shuts the board down gracefully and drops its database.
    ///
    /// # Errors
    ///
    /// As [`Board::shutdown`].
    pub async fn end(self) -> Result<(), Error> {
        self.board.shutdown().await
    }
}

fn ended(event: Event) -> Option<Attempted> {
    match event {
        Event::Attempted(attempted) => Some(attempted),
        _ => None,
    }
}

/// Everything that a board can do, its test can.
impl Deref for TestBoard {
    type Target = Board;

    fn deref(&self) -> &Board {
        &self.board
    }
}

impl Drop for TestBoard {
    fn drop(&mut self) {
        // A graceful end takes an await; whoever wants one has awaited it.
        self.board.supervisor().cell().kill();
    }
}
