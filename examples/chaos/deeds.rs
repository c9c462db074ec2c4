//! What the jobs do. Every handler writes down that it begins and how it ends.

use std::time::{Duration, Instant, SystemTime};

use callboard::handler::Handler;
use callboard::{BoxError, Context, Outcome, functions};
use tokio_postgres::NoTls;

use crate::history::{How, Said, write};

/// How many threads the runtime of a node has.
pub(crate) const THREADS: usize = 4;

pub(crate) fn handlers() -> Vec<Handler> {
    functions![
        plain, brief, failing, panicking, slow, watchful, snoozing, effect, hog
    ]
    .into()
}

/// An attempt under way. Dropped before its end, it was cut off or panicked.
struct Attempt {
    job: i64,
    attempt: i32,
    is_over: bool,
}

impl Attempt {
    fn begin(cx: &Context, token: i64) -> Self {
        let (job, attempt) = (cx.job_id().as_i64(), cx.attempt().as_i32());
        write(Said::Began {
            token,
            job,
            attempt,
            node: cx.node().as_i64(),
            queue: cx.queue().to_owned(),
        });
        Self {
            job,
            attempt,
            is_over: false,
        }
    }

    fn done(self) -> Result<Outcome, BoxError> {
        self.end(How::Done);
        Ok(Outcome::Done)
    }

    fn failed(self, why: impl Into<BoxError>) -> Result<Outcome, BoxError> {
        self.end(How::Failed);
        Err(why.into())
    }

    fn snoozed(self, wait: Duration) -> Result<Outcome, BoxError> {
        self.end(How::Snoozed);
        Ok(Outcome::Snooze(wait))
    }

    fn end(mut self, how: How) {
        self.is_over = true;
        self.note(how);
    }

    fn note(&self, how: How) {
        let (job, attempt) = (self.job, self.attempt);
        write(Said::Ended { job, attempt, how });
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        match (self.is_over, std::thread::panicking()) {
            (true, _) => {}
            (false, true) => self.note(How::Panicked),
            (false, false) => self.note(How::CutOff),
        }
    }
}

pub(crate) async fn plain(cx: &mut Context, token: i64) -> Result<Outcome, BoxError> {
    let attempt = Attempt::begin(cx, token);
    tokio::time::sleep(Duration::from_millis(token.unsigned_abs() % 20)).await;
    attempt.done()
}

/// Mostly within the bound of the express lane, and now and then beyond it.
pub(crate) async fn brief(cx: &mut Context, token: i64) -> Result<Outcome, BoxError> {
    let attempt = Attempt::begin(cx, token);
    tokio::time::sleep(Duration::from_millis(token.unsigned_abs() % 60)).await;
    attempt.done()
}

/// Fails so often, and then succeeds, if it may.
pub(crate) async fn failing(
    cx: &mut Context,
    token: i64,
    failures: u32,
) -> Result<Outcome, BoxError> {
    let attempt = Attempt::begin(cx, token);
    if cx.failures() < failures {
        return attempt.failed("as it was told to");
    }
    attempt.done()
}

pub(crate) async fn panicking(cx: &mut Context, token: i64) -> Result<Outcome, BoxError> {
    let attempt = Attempt::begin(cx, token);
    assert!(cx.failures() > 0, "as it was told to");
    attempt.done()
}

/// By its attempt, but not for ever: a bug may keep that from growing.
fn is_first_try(cx: &Context) -> bool {
    cx.attempt().as_i32() == 1 && age(cx) < Duration::from_secs(20)
}

fn age(cx: &Context) -> Duration {
    let age = SystemTime::now().duration_since(cx.enqueued_at().into());
    age.unwrap_or_default()
}

/// Takes its time whatever it is told; the first attempt may end in another way than the next.
pub(crate) async fn slow(cx: &mut Context, token: i64, ms: u64) -> Result<Outcome, BoxError> {
    let attempt = Attempt::begin(cx, token);
    tokio::time::sleep(Duration::from_millis(ms)).await;
    match (is_first_try(cx), token % 3) {
        (true, 0) => attempt.failed("the first attempt of such a job fails"),
        (true, 1) => attempt.snoozed(Duration::from_millis(1_500)),
        _ => attempt.done(),
    }
}

/// Works until it is told to stop, or for so long.
pub(crate) async fn watchful(cx: &mut Context, token: i64, ms: u64) -> Result<Outcome, BoxError> {
    let attempt = Attempt::begin(cx, token);
    let told = cx.cancellation().cancelled();
    match tokio::time::timeout(Duration::from_millis(ms), told).await {
        Ok(()) => attempt.failed("told to stop"),
        Err(_) => attempt.done(),
    }
}

/// Snoozes until it is so old.
pub(crate) async fn snoozing(cx: &mut Context, token: i64, ms: u64) -> Result<Outcome, BoxError> {
    let attempt = Attempt::begin(cx, token);
    if age(cx) < Duration::from_millis(ms) {
        return attempt.snoozed(Duration::from_millis(100));
    }
    attempt.done()
}

/// Writes its effect and its completion in one transaction.
pub(crate) async fn effect(cx: &mut Context, token: i64) -> Result<Outcome, BoxError> {
    let attempt = Attempt::begin(cx, token);
    let (job, number) = (cx.job_id().as_i64(), cx.attempt().as_i32());
    let completion = cx.completion();
    let till = cx.state::<Till>()?;
    let written = till
        .with(async |client| {
            let transaction = client.transaction().await?;
            let insert = "insert into chaos.effects (token, job, attempt) values ($1, $2, $3)";
            transaction
                .execute(insert, &[&token, &job, &number])
                .await?;
            completion.complete_in(&transaction).await?;
            transaction.commit().await?;
            Ok(())
        })
        .await;
    match written {
        Ok(()) => attempt.done(),
        Err(error) => attempt.failed(error),
    }
}

/// Blocks every thread of its node's runtime.
pub(crate) async fn hog(cx: &mut Context, token: i64, ms: u64) -> Result<Outcome, BoxError> {
    let attempt = Attempt::begin(cx, token);
    let until = Instant::now() + Duration::from_millis(ms);
    let block = move || std::thread::sleep(until.saturating_duration_since(Instant::now()));
    // The last one spawned may wait for this very thread, so there are more than threads.
    for _ in 0..2 * THREADS {
        tokio::spawn(async move { block() });
    }
    block();
    attempt.done()
}

/// A connection of the application's own, which is made again after it failed.
#[derive(Debug)]
pub(crate) struct Till {
    url: String,
    client: Option<tokio_postgres::Client>,
}

impl Till {
    pub(crate) fn at(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            client: None,
        }
    }

    /// Lends the connection. It is closed, and what is open there rolled back, unless all goes well.
    pub(crate) async fn with<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut tokio_postgres::Client) -> Result<T, BoxError>,
    ) -> Result<T, BoxError> {
        let mut client = match self.client.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => connect(&self.url).await?,
        };
        let result = work(&mut client).await?;
        self.client = Some(client);
        Ok(result)
    }
}

/// A connection that closes when it is dropped.
pub(crate) async fn connect(url: &str) -> Result<tokio_postgres::Client, BoxError> {
    let connecting = tokio_postgres::connect(url, NoTls);
    let (client, connection) = tokio::time::timeout(Duration::from_secs(3), connecting).await??;
    tokio::spawn(connection);
    Ok(client)
}
