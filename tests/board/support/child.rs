//! A node in a process of its own: this test binary again, running the ignored test below.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use callboard::board::Builder;
use callboard::queue::Express;
use callboard::{Board, BoxError, Queue, function, functions};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::acts::{abort, exit, hang, hold, note, overflow, work};
use super::{database_at, sql};
use crate::isolation::{hangs, isolation};

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
    pub is_isolating: bool,
    /// The bound of the express lane, if the queues use it.
    pub express: Option<Duration>,
    pub sweep_every: Duration,
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
            is_isolating: false,
            express: None,
            sweep_every: Duration::from_millis(200),
        }
    }

    /// Starts the node in this process.
    pub async fn start(&self) -> Board {
        self.builder().start().await.expect("the board starts")
    }

    pub fn builder(&self) -> Builder {
        let builder = Board::builder(database_at(&self.url))
            .lease(self.lease)
            .sweep_every(self.sweep_every)
            .shutdown_grace(self.grace)
            .queue(self.queue("default"))
            .functions(functions![note, work, hold, hang, abort, exit, overflow]);
        match self.is_isolating {
            true => builder.handler(function!(hangs).isolated(isolation())),
            false => builder,
        }
    }

    /// A queue whose workers have a connection to the test's tables.
    pub fn queue(&self, name: &str) -> Queue {
        let url = self.url.clone();
        let queue = Queue::new(name);
        let queue = match self.express {
            Some(bound) => queue.express(Express::new().bound(bound)),
            None => queue,
        };
        queue
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
