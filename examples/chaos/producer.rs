//! Enqueues a stream of jobs of every kind, in every way, and writes down what it was told.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use callboard::job::Backoff;
use callboard::{BoxError, Call, Client, JobId, call};

use crate::deeds::{Till, brief, effect, failing, panicking, plain, slow, snoozing, watchful};
use crate::history::{Said, Tx, Who, write};
use crate::lane::LANE;

/// Nobody tells the board about a commit that comes so much later than the enqueue: it has to look.
const LONG_TRANSACTION: Duration = Duration::from_millis(1_500);
/// The queue that only long transactions use.
pub(crate) const QUIET: &str = "quiet";

/// Calls have tokens, by which they are known before they are jobs, and if they never are.
pub(crate) struct Producer {
    client: Client,
    random: fastrand::Rng,
    next: AtomicI64,
    till: Till,
}

impl Producer {
    pub(crate) fn new(client: Client, url: &str, who: Who, part: i64, seed: u64) -> Self {
        let first = (i64::from(who.slot) << 40) | (i64::from(who.life) << 24) | (part << 20);
        Self {
            client,
            random: fastrand::Rng::with_seed(seed ^ first.unsigned_abs()),
            next: AtomicI64::new(first),
            till: Till::at(url),
        }
    }

    fn token(&self) -> i64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// One thing after the other, a dozen a second.
    pub(crate) async fn run(mut self) {
        loop {
            // Trouble is written down where it happens; the stream goes on.
            self.step().await;
            let pause = self.random.u64(40..120);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn step(&mut self) {
        let quickly = Backoff::constant(Duration::from_millis(200));
        let (token, dice) = (self.token(), self.random.u32(0..100));
        let some = self.random.u64(1_000..2_800);
        let mut wait = 0;
        let call = match dice {
            0..17 => call!(plain(token)),
            17..34 => call!(brief(token)).queue(LANE),
            34..44 => {
                let failures = self.random.u32(1..4);
                call!(failing(token, failures))
                    .queue(sometimes_in_the_lane(token))
                    .backoff(quickly)
                    .max_attempts(3)
            }
            44..49 => call!(panicking(token))
                .queue(sometimes_in_the_lane(token))
                .backoff(quickly),
            49..54 => {
                let slowly = Backoff::constant(LONG_TRANSACTION);
                call!(slow(token, some)).queue("slow").backoff(slowly)
            }
            54..66 => call!(snoozing(token, self.random.u64(50..400))),
            66..80 => {
                let effect = call!(effect(token)).backoff(quickly).max_attempts(20);
                let effect = effect.queue(sometimes_in_the_lane(token));
                effect.time_limit(2 * LONG_TRANSACTION)
            }
            80..86 => {
                wait = self.random.u64(50..1_500);
                call!(plain(token)).run_in(Duration::from_millis(wait))
            }
            86..89 => return self.cancel(token, some).await,
            89..95 => return self.bulk().await,
            95..98 => return self.roll_back(token).await,
            _ => return long_transaction(&self.client, &mut self.till, token).await,
        };
        self.post(token, wait, call).await;
    }

    async fn post(&self, token: i64, after_ms: u64, call: Call) -> Option<JobId> {
        let after_ms = after_ms.cast_signed();
        write(Said::Calling { token, after_ms });
        let posted = self.client.enqueue(call).await;
        said(token, posted)
    }

    /// Several callers at once, who share a statement.
    async fn bulk(&mut self) {
        let tokens: Vec<i64> = (0..self.random.u32(5..20)).map(|_| self.token()).collect();
        let posts = tokens
            .iter()
            .map(|token| match sometimes_in_the_lane(*token) {
                LANE => self.post(*token, 0, call!(brief(*token)).queue(LANE)),
                _ => self.post(*token, 0, call!(plain(*token))),
            });
        futures_util::future::join_all(posts).await;
    }

    /// Posts a job, and cancels it while it waits or runs.
    async fn cancel(&mut self, token: i64, ms: u64) {
        let wait = self.random.u64(0..400);
        let Some(job) = self
            .post(token, 0, call!(watchful(token, ms)).queue("slow"))
            .await
        else {
            return;
        };
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let id = job.as_i64();
        write(Said::Cancelling { job: id });
        let how = match self.client.cancel(job).await {
            Ok(cancelled) => format!("{cancelled:?}"),
            Err(error) => error.to_string(),
        };
        write(Said::Cancelled { job: id, how });
    }

    async fn roll_back(&mut self, token: i64) {
        let client = &self.client;
        let rolled_back = self.till.with(async |session| {
            let transaction = session.transaction().await?;
            let job = client.enqueue_in(&transaction, call!(plain(token))).await?;
            write(Said::InTransaction {
                token,
                job: job.as_i64(),
            });
            // Whatever comes of this: there is no commit.
            write(Said::Transaction {
                token,
                job: job.as_i64(),
                end: Tx::RolledBack,
            });
            Ok(transaction.rollback().await?)
        });
        unsure(token, rolled_back.await);
    }
}

/// Enqueues a job in a transaction that takes longer than anybody watches it.
pub(crate) async fn long_transaction(client: &Client, till: &mut Till, token: i64) {
    let committed = till.with(async |session| {
        let transaction = session.transaction().await?;
        let call = call!(plain(token)).queue(QUIET);
        write(Said::Calling { token, after_ms: 0 });
        let job = client.enqueue_in(&transaction, call).await?.as_i64();
        write(Said::InTransaction { token, job });
        tokio::time::sleep(LONG_TRANSACTION).await;
        let committed = transaction.commit().await;
        let end = match &committed {
            Ok(()) => Tx::Committed,
            Err(_) => Tx::Unknown,
        };
        write(Said::Transaction { token, job, end });
        Ok(committed?)
    });
    unsure(token, committed.await);
}

fn sometimes_in_the_lane(token: i64) -> &'static str {
    match token % 3 {
        0 => LANE,
        _ => "default",
    }
}

fn said(token: i64, posted: Result<JobId, callboard::Error>) -> Option<JobId> {
    match posted {
        Ok(job) => {
            write(Said::Posted {
                token,
                job: job.as_i64(),
            });
            Some(job)
        }
        Err(error) => {
            write(Said::Unsure {
                token,
                error: error.to_string(),
            });
            None
        }
    }
}

fn unsure(token: i64, ended: Result<(), BoxError>) {
    if let Err(error) = ended {
        write(Said::Unsure {
            token,
            error: error.to_string(),
        });
    }
}
