//! What happens while the mail server is down?
//!
//! Without a breaker every job finds out for itself, spends attempt after attempt, and dies of it in the end.
//! Here two kinds of mail share a breaker: after a few failures it opens, and the jobs wait without a charge.
//! Now and then a probe finds out whether the server is back; then the jobs that waited go by and by.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use callboard::job::Backoff;
use callboard::{
    Board, BoxError, Breaker, BreakerInfo, BreakerState, Client, Context, Database, JobFilter,
    JobId, JobState, Queue, call, function,
};

mod support;

const MS: Duration = Duration::from_millis(1);

/// The mail server, and how often it was asked.
#[derive(Clone, Default)]
struct Server {
    is_down: Arc<AtomicBool>,
    asked: Arc<AtomicU32>,
}

impl Server {
    async fn send(&self) -> Result<(), BoxError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(5 * MS).await;
        match self.is_down.load(Ordering::Relaxed) {
            true => Err("connection refused".into()),
            false => Ok(()),
        }
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn welcome(cx: &mut Context, _user: u32) -> Result<(), BoxError> {
    cx.state::<Server>()?.clone().send().await
}

async fn invoice(cx: &mut Context, _number: u32) -> Result<(), BoxError> {
    cx.state::<Server>()?.clone().send().await
}

/// The options of both kinds; an application would wait for longer.
fn smtp() -> Breaker {
    Breaker::named("smtp")
        .failure_rate(0.5)
        .minimum_calls(10)
        .over_calls(20)
        .open_for(300 * MS)
        .probes(2)
        .ramp(1000 * MS)
}

#[tokio::main]
async fn main() -> ExitCode {
    support::run(example()).await
}

async fn example() -> Result<(), BoxError> {
    let database = Database::from_env_or_embedded().await?;
    let database = database.schema("callboard_breaker");
    let server = Server::default();
    let at_work = server.clone();
    let mail = Queue::new("mail").workers(8).worker_state(move || {
        let server = at_work.clone();
        async move { Ok::<_, BoxError>(server) }
    });
    let soon = Backoff::constant(50 * MS);
    let welcome_mail = function!(welcome)
        .queue("mail")
        .breaker(smtp())
        .backoff(soon);
    let invoice_mail = function!(invoice)
        .queue("mail")
        .breaker(smtp())
        .backoff(soon);
    let board = Board::builder(database)
        .queue(mail)
        .handler(welcome_mail)
        .handler(invoice_mail)
        .start()
        .await?;
    let client = board.client();

    println!("the server works, and forty mails go out:");
    let mails = enqueue(client, 20).await?;
    support::until_ended(client, &mails).await?;
    println!("  it was asked {} times", server.asked());

    println!("it goes down, and two hundred more are to be sent:");
    server.is_down.store(true, Ordering::Relaxed);
    let mails = enqueue(client, 100).await?;
    let open = until(client, |smtp| smtp.state == BreakerState::Open).await?;
    println!("  {open}");
    let (asked, failures) = (server.asked(), failures(client).await?);
    println!("  that took {failures} failed attempts");

    println!("while it is down, probes look whether it is back, each time after a longer wait:");
    let again = until(client, |smtp| {
        smtp.openings >= 3 && smtp.state == BreakerState::Open
    })
    .await?;
    println!("  {again}");
    let waiting = client.jobs(JobFilter::all(), 1_000).await?.len();
    let probes = server.asked() - asked;
    println!("  {waiting} mails wait; the server was asked {probes} more times");

    println!("it is back:");
    server.is_down.store(false, Ordering::Relaxed);
    let closed = until(client, |smtp| smtp.state == BreakerState::Closed).await?;
    println!("  {closed}");
    let (began, mut sent) = (Instant::now(), server.asked());
    for tenth in 1..=10 {
        tokio::time::sleep_until((began + 100 * MS * tenth).into()).await;
        let now = server.asked();
        println!("  {:>4} ms: {:>3} mails", 100 * tenth, now - sent);
        sent = now;
    }
    let ended = support::until_ended(client, &mails).await?;
    let dead = ended
        .iter()
        .filter(|mail| mail.state == JobState::Dead)
        .count();
    println!("{} are sent, and {dead} were given up", ended.len() - dead);
    Ok(board.shutdown().await?)
}

/// So many mails of either kind.
async fn enqueue(client: &Client, each: u32) -> Result<Vec<JobId>, BoxError> {
    let welcomes = (0..each).map(|user| call!(welcome(user)));
    let invoices = (0..each).map(|number| call!(invoice(number)));
    Ok(client.enqueue_many(welcomes.chain(invoices)).await?)
}

/// How many attempts the mails that wait have spent.
async fn failures(client: &Client) -> Result<u32, BoxError> {
    let jobs = client.jobs(JobFilter::all(), 1_000).await?;
    Ok(jobs.iter().filter_map(|job| job.failures).sum())
}

async fn until(
    client: &Client,
    is_so: impl Fn(&BreakerInfo) -> bool,
) -> Result<BreakerInfo, BoxError> {
    loop {
        let breakers = client.breakers().await?;
        if let Some(smtp) = breakers.into_iter().find(|breaker| is_so(breaker)) {
            return Ok(smtp);
        }
        tokio::time::sleep(5 * MS).await;
    }
}
