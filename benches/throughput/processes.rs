//! Several processes that serve one queue: together they are to be no slower than one, and no job is to be
//! done twice.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use callboard::Queue;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::drain::WARM_UP;
use crate::figure::{Figure, System};
use crate::jobs::{self, Does};
use crate::place::Place;
use crate::support::Failed;

const QUEUE: &str = "queue-1";
/// How many processes; first one alone.
const PROCESSES: [usize; 3] = [1, 2, 4];
/// Of each process.
const WORKERS: u32 = 10;
/// After so long without a word something is wrong, and no figure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Set to the URL of the database in a process that shares a queue with others.
pub(crate) const SHARES: &str = "CALLBOARD_THROUGHPUT_SHARES";

/// What a process has done so far, by its number.
type Said = (usize, u64);

/// The life of such a process: it says how many jobs it has completed, until its input ends.
pub(crate) async fn be_one(url: &str) -> Result<(), Failed> {
    let queue = Queue::new(QUEUE).workers(WORKERS);
    let board = jobs::board(url)?.queue(queue).start().await?;
    let input = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let mut said = None;
    while !input.is_finished() {
        let counts = board.counts();
        if counts.refused > 0 {
            return Err("a job was done twice: the fence refused an answer".into());
        }
        if said != Some(counts.completed) {
            println!("{}", counts.completed);
            said = Some(counts.completed);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(board.shutdown().await?)
}

fn start(number: usize, url: &str, tell: UnboundedSender<Said>) -> Result<Child, Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(SHARES, url);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    std::thread::spawn(move || {
        let completed = lines.map_while(|line| line.ok()?.parse().ok());
        for completed in completed {
            // Who has heard enough is gone.
            let _gone = tell.send((number, completed));
        }
    });
    Ok(child)
}

/// Waits until they have done so many, all together.
async fn wait(
    said: &mut UnboundedReceiver<Said>,
    by_process: &mut [u64],
    jobs: usize,
) -> Result<(), Failed> {
    while by_process.iter().sum::<u64>() < jobs as u64 {
        let heard = tokio::time::timeout(PATIENCE, said.recv()).await?;
        let (number, completed) = heard.ok_or("every process has ended")?;
        by_process[number] = completed;
    }
    Ok(())
}

async fn once(server: &str, jobs: usize, processes: usize) -> Result<f64, Failed> {
    let place = Place::take(server).await?;
    let queues = [QUEUE.to_owned()];
    let (tell, mut said) = unbounded_channel();
    let mut children = Vec::with_capacity(processes);
    for number in 0..processes {
        children.push(start(number, &place.url, tell.clone())?);
    }
    drop(tell);
    for _ in 0..processes {
        let there = tokio::time::timeout(PATIENCE, said.recv()).await?;
        there.ok_or("no process has started")?;
    }
    let mut by_process = vec![0; processes];
    place.fill(WARM_UP, Does::Nothing, &queues).await?;
    wait(&mut said, &mut by_process, WARM_UP).await?;
    let client = place.client().await?;
    let hopper = place.hopper().await?;
    hopper.fill(jobs, Does::Nothing, &queues).await?;
    hopper.empty().await?;
    let began = Instant::now();
    client.wake(QUEUE);
    wait(&mut said, &mut by_process, WARM_UP + jobs).await?;
    let seconds = began.elapsed().as_secs_f64();
    let done: u64 = by_process.iter().sum();
    if done != (WARM_UP + jobs) as u64 {
        return Err(format!("{done} jobs were done of {}", WARM_UP + jobs).into());
    }
    for mut child in children {
        drop(child.stdin.take());
        let status = tokio::task::spawn_blocking(move || child.wait()).await??;
        if !status.success() {
            return Err(format!("a process ended with {status}").into());
        }
    }
    place.leave().await?;
    Ok(jobs as f64 / seconds)
}

/// How many jobs a second so many processes do together, in turns, and those of several as a share of what one does
/// right before: a machine whose speed changes says little by rates of different minutes.
pub(crate) async fn drain(server: &str, jobs: usize, runs: usize) -> Result<Vec<Figure>, Failed> {
    let mut rates = PROCESSES.map(|_| Vec::with_capacity(runs));
    for turn in 0..PROCESSES.len() * runs {
        let which = turn % PROCESSES.len();
        rates[which].push(once(server, jobs, PROCESSES[which]).await?);
    }
    let figure = |name, processes, samples| {
        let setting =
            format!("{processes} process(es), each {WORKERS} workers ask for 1, 1 queue, no-op");
        Figure::new(System::Callboard, name, setting, jobs, samples)
    };
    let alone = rates[0].clone();
    let figures = rates.into_iter().zip(PROCESSES);
    let figures = figures.flat_map(|(rates, processes)| {
        let shares = rates.iter().zip(&alone).map(|(rate, one)| rate / one);
        let shares: Vec<f64> = shares.collect();
        let share = (processes > 1)
            .then(|| figure(("drain, shared, of one's", "share"), processes, shares));
        let rate = figure(("drain, shared", "jobs/s"), processes, rates);
        std::iter::once(rate).chain(share)
    });
    Ok(figures.collect())
}
