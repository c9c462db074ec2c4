//! A node in a process of its own: this test binary again, running the ignored test below.
//!
//! Handlers there and tests here talk through tables of the test's database, which outlive every
//! process: `ran` (an attempt began), `told` (it was told to stop), `gate` (attempts that may end).

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use callboard::board::Builder;
use callboard::{Board, BoxError, Context, Queue, functions};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{database_at, server, sql};

const PLAN: &str = "CALLBOARD_TEST_NODE";
const PATIENCE: Duration = Duration::from_secs(20);

/// What a node is, here or in a process of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    pub url: String,
    pub lease: Duration,
    pub workers: u32,
    pub max_demand: u32,
    pub poll_every: Duration,
    pub grace: Duration,
    pub is_migrating_only: bool,
}

impl Plan {
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            lease: Duration::from_secs(2),
            workers: 2,
            max_demand: 1,
            poll_every: Duration::from_millis(200),
            grace: Duration::from_secs(60),
            is_migrating_only: false,
        }
    }

    /// Starts the node in this process.
    pub async fn start(&self) -> Board {
        self.builder().start().await.expect("the board starts")
    }

    pub fn builder(&self) -> Builder {
        Board::builder(database_at(&self.url))
            .lease(self.lease)
            .sweep_every(Duration::from_millis(200))
            .shutdown_grace(self.grace)
            .queue(self.queue("default"))
            .functions(functions![note, work, hold, hang, abort])
    }

    /// A queue whose workers have a connection to the test's tables.
    pub fn queue(&self, name: &str) -> Queue {
        let url = self.url.clone();
        Queue::new(name)
            .workers(self.workers)
            .max_demand(self.max_demand)
            .poll_every(self.poll_every)
            .cancel_grace(Duration::from_secs(60))
            .worker_state(move || {
                let url = url.clone();
                async move { Ok::<_, BoxError>(sql::connect(&url).await) }
            })
    }

    /// Starts the node in a process of its own, and waits until it is up.
    pub async fn spawn(&self) -> Node {
        let mut node = self.spawn_unready();
        node.word("READY").await;
        node
    }

    pub fn spawn_unready(&self) -> Node {
        let mut child = Command::new(std::env::current_exe().expect("a test has an executable"))
            .args([
                "--exact",
                "support::child::node",
                "--ignored",
                "--nocapture",
            ])
            .env(PLAN, serde_json::to_string(self).expect("a plan is JSON"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the node starts");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let (sender, said) = unbounded_channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _nobody_listens = sender.send(line);
            }
        });
        Node {
            _alive: child.stdin.take().expect("stdin is piped"),
            child,
            said,
        }
    }
}

/// A node in a process of its own; killed when dropped.
pub struct Node {
    child: Child,
    said: UnboundedReceiver<String>,
    /// Closed by the end of this process, which ends the node.
    _alive: ChildStdin,
}

impl Node {
    /// The rest of the next line that begins with `word`.
    pub async fn word(&mut self, word: &str) -> String {
        let searching = async {
            while let Some(line) = self.said.recv().await {
                if let Some(rest) = line.strip_prefix(word) {
                    return rest.trim().to_owned();
                }
            }
            panic!("the node ended without saying {word}");
        };
        let found = tokio::time::timeout(PATIENCE, searching).await;
        found.unwrap_or_else(|_| panic!("the node does not say {word}"))
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the node is there");
    }

    /// Waits for the end of the process.
    pub async fn ended(&mut self) -> ExitStatus {
        super::eventually("the node ends", || {
            let ended = self.exit_status();
            async move { ended }
        })
        .await
    }

    /// How the process ended, if it has.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the node can be waited for")
    }

    /// Kills the process as the kernel does when memory runs out.
    pub async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
#[ignore = "a node, started by the other tests"]
fn node() {
    let Ok(plan) = std::env::var(PLAN) else {
        return;
    };
    std::thread::spawn(|| {
        let _ended = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(3);
    });
    let plan: Plan = serde_json::from_str(&plan).expect("the plan is JSON");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        if plan.is_migrating_only {
            return database_at(&plan.url).migrate().await.expect("it migrates");
        }
        let board = plan.start().await;
        let ready = async { println!("\nREADY {}", board.node().as_i64()) };
        // Signals are heard from the first poll on, so nobody is told too early.
        let (ended, ()) = futures_util::future::join(board.run_until_signal(), ready).await;
        ended.expect("the board shuts down");
        println!("\nREFUSED {}", board.counts().refused);
    });
}

/// A migrated database with the tables through which handlers and tests talk.
pub async fn stage() -> (String, tokio_postgres::Client) {
    let url = server::fresh_database().await;
    let tables = "create table ran (job bigint, attempt int, pid int); \
                  create table told (job bigint, attempt int, reason text); \
                  create table gate (attempt int)";
    server::sql(&url, tables).await;
    let rows = sql::connect(&url).await;
    (url, rows)
}

/// Lets handlers of this attempt end.
pub async fn open_gate(rows: &tokio_postgres::Client, attempt: i32) {
    rows.execute("insert into gate values ($1)", &[&attempt])
        .await
        .expect("the gate opens");
}

/// Waits until so many attempts have begun.
pub async fn until_ran(rows: &tokio_postgres::Client, attempts: i64) {
    super::eventually(&format!("{attempts} attempts have begun"), || async {
        let ran = sql::number(rows, "select count(*) from ran").await;
        (ran >= attempts).then_some(())
    })
    .await;
}

/// Writes down that an attempt began.
pub async fn note(cx: &mut Context) -> Result<(), BoxError> {
    let (job, attempt) = (cx.job_id().as_i64(), cx.attempt().as_i32());
    let pid = std::process::id() as i32;
    let rows = cx.state::<tokio_postgres::Client>()?;
    let insert = "insert into ran values ($1, $2, $3)";
    rows.execute(insert, &[&job, &attempt, &pid]).await?;
    Ok(())
}

/// Takes a while.
pub async fn work(cx: &mut Context) -> Result<(), BoxError> {
    note(cx).await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(())
}

/// Works until the gate of its attempt opens or it is told to stop; is done in either case.
pub async fn hold(cx: &mut Context) -> Result<(), BoxError> {
    note(cx).await?;
    let (job, attempt) = (cx.job_id().as_i64(), cx.attempt().as_i32());
    let token = cx.cancellation().clone();
    let is_open = format!("select count(*) from gate where attempt = {attempt}");
    while !token.is_cancelled() {
        let rows = cx.state::<tokio_postgres::Client>()?;
        if sql::number(rows, &is_open).await > 0 {
            return Ok(());
        }
        let pause = Duration::from_millis(10);
        // Either way the loop looks again.
        let _pause = tokio::time::timeout(pause, token.cancelled()).await;
    }
    let reason = format!("{:?}", cx.cancel_reason());
    let rows = cx.state::<tokio_postgres::Client>()?;
    let insert = "insert into told values ($1, $2, $3)";
    rows.execute(insert, &[&job, &attempt, &reason]).await?;
    Ok(())
}

/// Works for ever, whatever it is told.
pub async fn hang(cx: &mut Context) -> Result<(), BoxError> {
    note(cx).await?;
    std::future::pending().await
}

/// Takes its process down.
pub async fn abort(cx: &mut Context) -> Result<(), BoxError> {
    note(cx).await?;
    std::process::abort()
}
