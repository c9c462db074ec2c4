//! Is it true, whatever happens?
//!
//! This program starts an embedded PostgreSQL and some nodes, which are processes of itself. Each runs a
//! board and enqueues a stream of jobs: plain, failing, panicking, slow, snoozing, cancelled, in
//! transactions that roll back or commit late, with effects in the transaction that completes them; some of
//! them in the express lane. Meanwhile, from a seed, faults are injected: processes are killed, stopped or asked to end; sessions
//! terminated; the server restarted as after a crash; connections reset, refused or half open; answers
//! lost after their commit; actors killed; runtimes blocked.
//!
//! Every process writes its own history, outside of the database. In the end a checker, which trusts
//! only these files and the tables, looks whether every rule held, and shows all that is known of any
//! job in question.
//!
//! ```text
//! cargo run --example chaos                                          a minute of it
//! cargo run --example chaos -- --minutes 60 --seed 7                 for a night
//! cargo run --example chaos --features planted-bugs -- --all-bugs    does it find bugs?
//! ```

use std::process::ExitCode;

use callboard::BoxError;
use options::Options;

#[path = "chaos/conduct.rs"]
mod conduct;
#[path = "chaos/custody.rs"]
mod custody;
#[path = "chaos/deeds.rs"]
mod deeds;
#[path = "chaos/evidence.rs"]
mod evidence;
#[path = "chaos/fault.rs"]
mod fault;
#[path = "chaos/fleet.rs"]
mod fleet;
#[path = "chaos/history.rs"]
mod history;
#[path = "chaos/jobs.rs"]
mod jobs;
#[path = "chaos/lane.rs"]
mod lane;
#[path = "chaos/node.rs"]
mod node;
#[path = "chaos/options.rs"]
mod options;
#[path = "chaos/producer.rs"]
mod producer;
#[path = "chaos/report.rs"]
mod report;
#[path = "chaos/rules.rs"]
mod rules;
#[path = "chaos/run.rs"]
mod run;
#[path = "chaos/server.rs"]
mod server;
#[path = "chaos/storm.rs"]
mod storm;
#[expect(dead_code, reason = "the jobs are waited for in another way here")]
mod support;
#[path = "chaos/teeth.rs"]
mod teeth;
#[path = "chaos/watch.rs"]
mod watch;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(deeds::THREADS)
        .enable_all()
        .build()
        .expect("a runtime starts");
    runtime.block_on(support::run(chaos()))
}

async fn chaos() -> Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|first| first == node::AS_NODE).is_some() {
        return node::run(node::Plan::parse(arguments)?).await;
    }
    let options = Options::parse(arguments)?;
    if options.is_showing_teeth {
        return match teeth::show(&options)? {
            true => Ok(()),
            false => Err("a bug was not found by the rule that should".into()),
        };
    }
    match run::run(&options).await? {
        true => Ok(()),
        false => Err("not every rule held, or nothing was put to the test".into()),
    }
}
