//! How does code change while it runs?
//!
//! One board greets. Watch: what runs ends on the old code while the next greeting starts on the new; a swap that
//! cannot be made changes nothing and says what to do; a kind that is removed waits, and goes on when it is back.

use std::process::ExitCode;
use std::time::Duration;

use callboard::{
    Board, BoxError, Client, Context, Database, Handler, Job, JobId, Outcome, Queue, Swap,
};
use serde::{Deserialize, Serialize};

mod support;

/// As it was released first: polite and slow.
#[derive(Serialize, Deserialize)]
struct Greet {
    name: String,
}

impl Job for Greet {
    const KIND: &'static str = "example.greet";

    async fn perform(self, _cx: &mut Context) -> Result<Outcome, BoxError> {
        tokio::time::sleep(Duration::from_millis(500)).await;
        Outcome::done_with(&format!("Good day to you, {}.", self.name))
    }
}

/// The release after that.
#[derive(Serialize, Deserialize)]
struct GreetFast {
    name: String,
}

impl Job for GreetFast {
    const KIND: &'static str = Greet::KIND;

    async fn perform(self, _cx: &mut Context) -> Result<Outcome, BoxError> {
        Outcome::done_with(&format!("Hi {}!", self.name))
    }
}

fn greet(name: &str) -> Greet {
    let name = name.to_owned();
    Greet { name }
}

fn show(board: &Board) {
    for handler in board.handlers().list() {
        let how = if handler.is_current {
            ""
        } else {
            ", on its way out"
        };
        println!(
            "    {} {}: {} running{how}",
            handler.kind, handler.code_version, handler.running
        );
    }
}

/// Waits until so many run.
async fn until_running(board: &Board, running: u32) {
    let count = || -> u32 {
        board
            .handlers()
            .list()
            .iter()
            .map(|handler| handler.running)
            .sum()
    };
    while count() != running {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn tell(client: &Client, jobs: &[JobId]) -> Result<(), BoxError> {
    for job in support::until_ended(client, jobs).await? {
        println!(
            "    {}: {}",
            job.state.as_str(),
            job.output.unwrap_or_default()
        );
    }
    Ok(())
}

async fn example() -> Result<(), BoxError> {
    let board = Board::builder(Database::from_env_or_embedded().await?)
        .queue(Queue::new("default").workers(2))
        .handler(Handler::of::<Greet>().code_version("1.0"))
        .start()
        .await?;
    let (client, handlers) = (board.client(), board.handlers());

    println!("two of four greetings run, and the code is replaced:");
    let names = ["Ada", "Bob", "Cleo", "Dan"];
    let jobs = client.enqueue_many(names.map(greet)).await?;
    until_running(&board, 2).await;
    let new = Handler::of::<GreetFast>().code_version("1.1");
    println!("    {}", handlers.replace(new).await?);
    show(&board);
    tell(client, &jobs).await?;
    show(&board);

    println!("a swap that cannot be made as a whole changes nothing:");
    let swap = Swap::new()
        .replace(Handler::of::<Greet>())
        .remove("example.greeting");
    match handlers.swap(swap).await {
        Ok(swapped) => return Err(format!("it was made: {swapped}").into()),
        Err(refused) => println!("    {refused}"),
    }
    show(&board);

    println!("a kind that is removed waits:");
    handlers.remove(Greet::KIND).await?;
    let job = client.enqueue(greet("Eve")).await?;
    println!("    {}", client.explain(job).await?);
    println!("until somebody runs it again:");
    println!("    {}", handlers.add(Handler::of::<GreetFast>()).await?);
    tell(client, &[job]).await?;
    Ok(board.shutdown().await?)
}

#[tokio::main]
async fn main() -> ExitCode {
    support::run(example()).await
}
