//! A process that dies with a job in hand, and the one that takes the job over.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use callboard::call;

use crate::Effort;
use crate::figure::Figure;
use crate::stage::{Stage, hold};
use crate::support::Failed;

/// Set to the URL of its database in a process that is to be killed.
pub(crate) const NODE: &str = "CALLBOARD_RECOVERY_NODE";

/// The life of a process that is to be killed. It ends with its parent.
pub(crate) async fn node(url: &str) -> Result<(), Failed> {
    let stage = Stage::set_at(url.to_owned()).await?;
    std::thread::spawn(|| {
        // Whatever comes of it, the parent is gone.
        let _ended = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    println!("READY");
    stage.begun().await?;
    println!("HOLDS");
    std::future::pending().await
}

type Lines = std::io::Lines<BufReader<ChildStdout>>;

fn spawn(url: &str) -> Result<(Child, Lines), Failed> {
    let mut child = Command::new(std::env::current_exe()?)
        .env(NODE, url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().ok_or("stdout is piped")?;
    Ok((child, BufReader::new(stdout).lines()))
}

/// Waits until the process says so.
async fn says(mut lines: Lines, word: &'static str) -> Result<Lines, Failed> {
    let listening = tokio::task::spawn_blocking(move || {
        let said = lines.any(|line| line.is_ok_and(|line| line == word));
        said.then_some(lines)
    });
    let heard = listening.await?;
    heard.ok_or_else(|| format!("the process ended without saying {word}").into())
}

/// The survivor's one worker is busy while the other process claims the job, and free when it dies.
pub(crate) async fn killed(server: &str, effort: Effort) -> Result<Figure, Failed> {
    let stage = Stage::set(server).await?;
    let mut samples = Vec::new();
    for _ in 0..effort.processes {
        let client = stage.board.client();
        client.enqueue(call!(hold())).await?;
        stage.begun().await?;
        let (mut child, lines) = spawn(&stage.url)?;
        let lines = says(lines, "READY").await?;
        client.enqueue(call!(hold())).await?;
        let _lines = says(lines, "HOLDS").await?;
        stage.let_go();
        stage.quiet().await?;
        // At any moment between two sweeps.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..400))).await;
        let killed = Instant::now();
        child.kill()?;
        samples.push(stage.begun().await? - killed);
        child.wait()?;
        stage.let_go();
        stage.quiet().await?;
    }
    stage.board.shutdown().await?;
    let name = "SIGKILL of a process → its job elsewhere";
    let setting = "2 nodes, defaults: lease 15 s, sweep 400 ms";
    Ok(Figure::new(name, setting, Duration::from_secs(1), samples))
}
