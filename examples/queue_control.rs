//! How is a queue controlled while it runs, and why does a job not run?
//!
//! One queue for letters, with two workers. Watch: a paused queue begins nothing and says why; a job that
//! does not run explains itself; workers come at once and leave after the job that they run; a second
//! queue is added and removed.

use std::process::ExitCode;
use std::time::Duration;

use callboard::{
    Board, BoxError, Call, Client, Context, Database, Error, JobId, JobState, Queue, call,
    functions,
};

mod support;

/// Writes a letter, which takes a moment.
async fn write(cx: &mut Context, to: String) -> Result<(), BoxError> {
    println!("    {} of {} writes to {to}", cx.worker(), cx.queue());
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(())
}

async fn explain(board: &Board, job: JobId) -> Result<(), BoxError> {
    println!("    {}", board.client().explain(job).await?);
    Ok(())
}

/// Who works here, and on what.
fn show_workers(board: &Board) {
    for worker in board.workers() {
        let what = match &worker.current {
            Some(current) => format!("at job {}", current.job),
            None => "idle".to_owned(),
        };
        let leaving = if worker.is_leaving { ", leaving" } else { "" };
        println!(
            "    {} of {}: {what}{leaving}, {} done",
            worker.name, worker.queue, worker.done
        );
    }
}

fn letters<const N: usize>(to: [&str; N]) -> impl Iterator<Item = Call> {
    let letter = |name: &str| call!(write(name.to_owned())).queue("letters");
    to.map(letter).into_iter()
}

/// Waits until all of these jobs are at work.
async fn until_executing(client: &Client, jobs: &[JobId]) -> Result<(), Error> {
    for id in jobs {
        while client.job(*id).await?.map(|job| job.state) == Some(JobState::Available) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(())
}

async fn example() -> Result<(), BoxError> {
    let board = Board::builder(Database::from_env_or_embedded().await?)
        .queue(Queue::new("letters").workers(2))
        .functions(functions![write])
        .start()
        .await?;
    let client = board.client();
    let queue = client.queue("letters");

    println!("the queue is paused for all nodes, also for those to come:");
    queue.pause().because("the ink is out").by("ann").await?;
    // What is said to this node is in effect when it returns; so is what was said before.
    board.queue("letters").resume().await?;
    let to = ["bob", "carol", "dave", "erin", "frank", "grace"];
    let jobs = client.enqueue_many(letters(to)).await?;
    explain(&board, jobs[0]).await?;

    println!("it is resumed, and has six workers:");
    queue.scale(6).await?;
    queue.resume().await?;
    queue.drain().await?;
    explain(&board, jobs[0]).await?;
    show_workers(&board);

    println!("while four write, it is scaled to one: those at work finish first");
    let jobs = client
        .enqueue_many(letters(["heidi", "ivan", "judy", "mallory"]))
        .await?;
    until_executing(client, &jobs).await?;
    board.queue("letters").scale(1).await?;
    show_workers(&board);
    queue.drain().await?;

    println!("why do these not run?");
    let later = letters(["niaj"]).map(|call| call.run_in(Duration::from_secs(3600)));
    let elsewhere = letters(["olivia"]).map(|call| call.queue("postcards"));
    let jobs = client.enqueue_many(later.chain(elsewhere)).await?;
    for job in &jobs {
        explain(&board, *job).await?;
    }

    println!("a queue for postcards is added, and removed again:");
    board.add_queue(Queue::new("postcards").workers(1)).await?;
    support::until_ended(client, &jobs[1..]).await?;
    board.remove_queue("postcards").await?;
    for found in client.queues().await? {
        println!("    {}: served by {} nodes", found.queue, found.nodes);
    }
    board.shutdown().await?;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    support::run(example()).await
}
