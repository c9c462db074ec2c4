//! The nodes: processes of this program, each behind a proxy of its own.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use callboard::BoxError;
use callboard::testing::Proxy;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::Mutex;

use crate::history::{Said, Who, write};
use crate::node::{Plan, URL};

/// How long a node may take to shut down.
const SHUTDOWN: Duration = Duration::from_secs(30);

pub(crate) struct Fleet {
    /// One for each slot, locked while a fault is inflicted on it.
    pub(crate) nodes: Vec<Mutex<Node>>,
}

impl Fleet {
    pub(crate) fn start(server: &str, nodes: u32, first: &Plan) -> Result<Self, BoxError> {
        let start = |slot| {
            let who = Who { slot, life: 0 };
            let plan = Plan {
                who,
                ..first.clone()
            };
            let mut node = Node {
                plan,
                proxy: Proxy::start(server)?,
                child: None,
            };
            node.spawn()?;
            Ok(Mutex::new(node))
        };
        let nodes: Result<_, BoxError> = (1..=nodes).map(start).collect();
        Ok(Self { nodes: nodes? })
    }

    /// Tells every node to do something.
    pub(crate) async fn order_all(&self, order: &str) {
        for node in &self.nodes {
            node.lock().await.order(order);
        }
    }
}

pub(crate) struct Node {
    plan: Plan,
    pub(crate) proxy: Proxy,
    child: Option<Child>,
}

impl Node {
    pub(crate) fn slot(&self) -> u32 {
        self.plan.who.slot
    }

    /// Its process, while there is one.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts the next life of this node.
    pub(crate) fn spawn(&mut self) -> Result<(), BoxError> {
        self.plan.who.life += 1;
        let who = self.plan.who;
        let errors = self.plan.folder.join(format!("{}.log", who.name()));
        let url = self
            .proxy
            .url()
            .replace(&Who::COORDINATOR.name(), &who.name());
        let child = Command::new(std::env::current_exe()?)
            .args(self.plan.arguments())
            .env(URL, url)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(errors)?)
            .spawn()?;
        self.child = Some(child);
        write(Said::Spawned { who });
        Ok(())
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<(), BoxError> {
        let child = self.child.as_ref().ok_or("the node does not run")?;
        Ok(kill_process(Pid::from_child(child), signal)?)
    }

    /// Tells the node to do something. One that has ended does not hear it.
    pub(crate) fn order(&mut self, order: &str) {
        let input = self.child.as_mut().and_then(|child| child.stdin.as_mut());
        if let Some(input) = input {
            // Noticed when the node's end is waited for.
            let _ended = writeln!(input, "{order}");
        }
    }

    /// Waits for the end of the process.
    pub(crate) async fn ended(&mut self) -> Result<(), BoxError> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        let until = Instant::now() + SHUTDOWN;
        let how = loop {
            match child.try_wait()? {
                Some(status) if status.success() => break "in good order".to_owned(),
                Some(status) if status.signal() == Some(9) => break "killed".to_owned(),
                // Nobody listens to a signal yet while the board starts.
                Some(status) if status.signal() == Some(15) => break "before it was up".to_owned(),
                Some(status) => break format!("failed: {status}"),
                None if Instant::now() > until => {
                    child.kill()?;
                    child.wait()?;
                    break "failed: it did not shut down".to_owned();
                }
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        write(Said::Gone {
            who: self.plan.who,
            how,
        });
        Ok(())
    }

    /// Whether the process has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        let child = self.child.as_mut();
        child.is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already.
            let _killed = child.kill();
            let _reaped = child.wait();
        }
    }
}
