//! How does a long job go on where it was when its process was killed?
//!
//! This program starts itself as a node, which works through a long job in steps and keeps a checkpoint
//! after each. In the middle the node is killed with SIGKILL. The next node takes the job back, and its
//! second attempt goes on from the last checkpoint. Its progress is seen from outside all the while.

use std::process::ExitCode;
use std::time::Duration;

use callboard::store::Progress;
use callboard::{
    Board, BoxError, Client, Context, Database, Error, JobId, JobState, Outcome, Queue, call,
    functions,
};
use node::{AS_NODE, Node};
use serde::{Deserialize, Serialize};

#[path = "support/node.rs"]
mod node;
mod support;

const STEPS: u64 = 60;
const KILLED_AFTER: u64 = 20;
/// How long a node may be silent before its jobs are taken back.
const LEASE: Duration = Duration::from_secs(2);

/// Where the job goes on.
#[derive(Serialize, Deserialize)]
struct Cursor {
    next: u64,
    sum: u64,
}

/// Works in steps, and tells in its output with which step this attempt began.
async fn add_up(cx: &mut Context) -> Result<Outcome, BoxError> {
    let start = Cursor { next: 1, sum: 0 };
    let mut cursor = cx.resume::<Cursor>().await?.unwrap_or(start);
    let began = cursor.next;
    while cursor.next <= STEPS {
        tokio::time::sleep(Duration::from_millis(40)).await;
        cursor.sum += cursor.next;
        cursor.next += 1;
        cx.checkpoint(&cursor).await?;
        cx.progress(cursor.next - 1, STEPS, format!("the sum is {}", cursor.sum));
    }
    Outcome::done_with(&(began, cursor.sum))
}

#[tokio::main]
async fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(AS_NODE) => support::run(as_node()).await,
        _ => support::run(example()).await,
    }
}

async fn database() -> Result<Database, Error> {
    let database = Database::from_env_or_embedded().await?;
    Ok(database.schema("callboard_checkpoint"))
}

/// The part of the nodes: a board, until it is killed or the example is over.
async fn as_node() -> Result<(), BoxError> {
    let board = Board::builder(database().await?)
        .queue(Queue::new("default").workers(1))
        .functions(functions![add_up])
        .lease(LEASE)
        .start()
        .await?;
    node::run(board).await
}

/// The part of the process that looks on: a client.
async fn example() -> Result<(), BoxError> {
    let database = database().await?;
    database.migrate().await?;
    let client = Client::connect(database.clone()).await?;
    let id = client.enqueue(call!(add_up())).await?;

    let mut first = Node::start(&database, &[])?;
    until_progress(&client, id, KILLED_AFTER).await?;
    first.kill()?;
    println!("{} is killed in the middle of it\n", first.pid());

    let second = Node::start(&database, &[])?;
    until_progress(&client, id, STEPS).await?;
    let ended = support::until_ended(&client, &[id]).await?;
    let job = ended.first().ok_or("the job is gone")?;
    let output = job.output.clone().unwrap_or_default();
    let (began, sum): (u64, u64) = serde_json::from_value(output)?;
    println!(
        "\nattempt {} began with step {began}; the sum is {sum}",
        job.attempt
    );
    let is_right = job.state == JobState::Completed && sum == STEPS * (STEPS + 1) / 2;
    if !is_right || began <= KILLED_AFTER {
        return Err("it began anew, or did not add up".into());
    }
    second.stop()
}

/// Shows the progress of a job until it has come so far, or has ended.
async fn until_progress(client: &Client, id: JobId, done: u64) -> Result<(), BoxError> {
    let mut seen: Option<Progress> = None;
    loop {
        let job = client.job(id).await?.ok_or("the job is gone")?;
        if job.progress.is_some() && job.progress != seen {
            seen = job.progress;
            if let Some(Progress {
                done,
                of,
                message,
                attempt,
                ..
            }) = &seen
            {
                println!("attempt {attempt}: {done:>3} of {of}, {message}");
            }
        }
        let is_far = seen.as_ref().is_some_and(|progress| progress.done >= done);
        if is_far || job.state.is_ended() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
