//! A board with a life: jobs that end in every way, bursts, a service and a database that are away now and
//! then, a node that is killed. So that there is something to see.

use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use callboard::job::{Backoff, Limits};
use callboard::queue::{Autoscale, Policy};
use callboard::testing::Proxy;
use callboard::{
    Board, BoxError, Breaker, Call, Client, Context, Database, DeadFilter, Outcome, Queue, call,
    function, functions,
};
use tokio::time::{interval, sleep};

/// The schema of the board's tables.
const SCHEMA: &str = "callboard_metrics";
/// How this program starts itself as the node that is killed.
pub(crate) const AS_NODE: &str = "node";

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Ends as its number has it.
async fn quick(cx: &mut Context, number: u64) -> Result<Outcome, BoxError> {
    sleep(MS * (1 + number % 20) as u32).await;
    match number % 50 {
        7 => Err("no answer".into()),
        17 => Ok(Outcome::Cancel("nobody wants it any more".into())),
        27 if cx.attempt().as_i32() == 1 => Ok(Outcome::Snooze(2 * SECOND)),
        37 => Ok(Outcome::Bury("it is beyond me".into())),
        47 => panic!("a bug, for number {number}"),
        _ => Ok(Outcome::Done),
    }
}

/// The mail server.
#[derive(Clone, Default)]
struct Server {
    is_down: Arc<AtomicBool>,
}

async fn mail(cx: &mut Context) -> Result<(), BoxError> {
    sleep(15 * MS).await;
    match cx.state::<Server>()?.is_down.load(Ordering::Relaxed) {
        true => Err("connection refused".into()),
        false => Ok(()),
    }
}

async fn report(seconds: f64) {
    sleep(Duration::from_secs_f64(seconds)).await;
}

async fn import() {
    sleep(200 * MS).await;
}

/// What the node that is killed works at.
async fn nightly() {
    sleep(SECOND).await;
}

/// The part of the node that is killed.
pub(crate) async fn node() -> Result<(), BoxError> {
    let database = Database::from_env_or_embedded().await?.schema(SCHEMA);
    let board = Board::builder(database)
        .queue(Queue::new("nightly").workers(4))
        .functions(functions![nightly])
        .start()
        .await?;
    Ok(board.run_until_signal().await?)
}

/// Goes on until it is cut off.
pub(crate) async fn live() -> Result<(), BoxError> {
    // Its handlers panic on purpose, and metrics tell of it.
    std::panic::set_hook(Box::new(|_| {}));
    let database = Database::from_env_or_embedded().await?;
    let url = match database.embedded_url() {
        Some(url) => url.to_owned(),
        None => std::env::var("DATABASE_URL")?,
    };
    let network = Proxy::start(&url)?;
    let server = Server::default();
    let through = Database::from_url(network.url())?.schema(SCHEMA);
    let board = board(through, server.clone()).await?;
    let client = board.client();
    client.queue("imports").limit(limits()).await?;
    tokio::select! {
        ended = enqueue_all(client) => ended?,
        () = break_down(&server) => {}
        ended = hold_back_vacuum(&url) => ended?,
        ended = lose_nodes(&url) => ended?,
        ended = bring_back(client) => ended?,
        () = lose_the_database(&network) => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(board.shutdown().await?)
}

async fn board(database: Database, server: Server) -> Result<Board, BoxError> {
    let smtp = Breaker::named("smtp")
        .minimum_calls(10)
        .over_calls(20)
        .open_for(8 * SECOND)
        .longest_open(16 * SECOND)
        .probes(2)
        .ramp(10 * SECOND);
    let mails = Queue::new("mail").workers(4).worker_state(move || {
        let server = server.clone();
        async move { Ok::<_, BoxError>(server) }
    });
    let board = Board::builder(database)
        .queue(Queue::new("default").workers(4))
        .queue(mails)
        .queue(Queue::new("reports").autoscale(autoscale()))
        .queue(Queue::new("imports").workers(8))
        .queue(Queue::new("nightly").workers(2))
        .handler(function!(mail).breaker(smtp))
        .handler(function!(quick).backoff(Backoff::constant(SECOND)))
        .functions(functions![report, import, nightly])
        .metrics()
        .sample_every(SECOND)
        .start();
    Ok(board.await?)
}

/// Reports only wait, so they get their workers however busy the processors are.
fn autoscale() -> Autoscale {
    let by_count = Policy::new(|reading| reading.waiting / 5);
    Autoscale::between(1, 12).policy(by_count)
}

/// Of the imports six run at once, and two of each tenant.
fn limits() -> Limits {
    Limits::new().running(6).running_per_key(2)
}

/// Enqueues what comes at every time of the day, and reports in bursts.
async fn enqueue_all(client: &Client) -> Result<(), BoxError> {
    let mut ticks = interval(100 * MS);
    for tick in 0_u64.. {
        ticks.tick().await;
        // A tide of jobs, which comes and goes each minute.
        let tide = (tick as f64 / 600.0 * std::f64::consts::TAU).sin();
        let jobs = 3 + (3.0 * tide) as i64;
        let mut calls: Vec<Call> = (0..jobs.unsigned_abs())
            .map(|job| call!(quick(tick * 7 + job)).max_attempts(3))
            .collect();
        calls.push(call!(mail()).queue("mail").max_attempts(20));
        if tick.is_multiple_of(2) {
            let tenant = ["acme", "globex", "initech"][tick as usize / 2 % 3];
            calls.push(call!(import()).queue("imports").limit_key(tenant));
            calls.push(call!(nightly()).queue("nightly").run_in(5 * SECOND));
        }
        if tick % 600 == 100 {
            // A tenant that would have all workers to itself.
            calls.extend((0..200).map(|_| call!(import()).queue("imports").limit_key("acme")));
        }
        if tick % 900 == 300 {
            let seconds = |n: u64| 0.5 + n as f64 / 100.0;
            calls.extend((0..150).map(|n| call!(report(seconds(n))).queue("reports")));
        }
        match client.enqueue_many(calls).await {
            Ok(_) => {}
            // The database is away, as it should be at times.
            Err(error) if error.is_unreachable() || error.is_database() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Takes the mail server down for half a minute at a time.
async fn break_down(server: &Server) {
    loop {
        sleep(45 * SECOND).await;
        server.is_down.store(true, Ordering::Relaxed);
        sleep(30 * SECOND).await;
        server.is_down.store(false, Ordering::Relaxed);
        sleep(75 * SECOND).await;
    }
}

/// A report on the database itself, which keeps its snapshot for too long.
async fn hold_back_vacuum(url: &str) -> Result<(), BoxError> {
    let (rows, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    let reading = async {
        loop {
            sleep(90 * SECOND).await;
            let begin = "begin isolation level repeatable read; select 1";
            rows.batch_execute(begin).await?;
            sleep(60 * SECOND).await;
            rows.batch_execute("commit").await?;
        }
    };
    tokio::select! {
        ended = reading => ended,
        ended = connection => Ok(ended?),
    }
}

/// Kills a node while it works, and starts another.
async fn lose_nodes(url: &str) -> Result<(), BoxError> {
    loop {
        let node = Node::start(url)?;
        sleep(110 * SECOND).await;
        drop(node);
        sleep(20 * SECOND).await;
    }
}

/// A process of this program that is killed when this value is dropped.
struct Node(Child);

impl Node {
    fn start(url: &str) -> Result<Self, BoxError> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(AS_NODE).env("DATABASE_URL", url);
        Ok(Self(command.spawn()?))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Fails when it has ended already.
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// Brings dead jobs back, which die again.
async fn bring_back(client: &Client) -> Result<(), BoxError> {
    loop {
        sleep(100 * SECOND).await;
        match client.requeue_all(DeadFilter::all()).await {
            Ok(_) => {}
            Err(error) if error.is_unreachable() || error.is_database() => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes the database away for a few seconds.
async fn lose_the_database(network: &Proxy) {
    loop {
        sleep(240 * SECOND).await;
        network.refuse();
        network.cut();
        sleep(15 * SECOND).await;
        network.accept();
    }
}
