//! The application that the tests are about: it sends mail.

use std::time::Duration;

use callboard::board::Builder;
use callboard::job::Backoff;
use callboard::{BoxError, Context, Job, Outcome, Queue, functions};
use serde::{Deserialize, Serialize};

/// A mail to one user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mail {
    pub user: i64,
}

impl Job for Mail {
    const KIND: &'static str = "mail.send";
    const QUEUE: &'static str = "mail";
    const MAX_ATTEMPTS: u16 = 3;

    fn backoff() -> Backoff {
        Backoff::constant(Duration::from_millis(10))
    }

    async fn perform(self, _cx: &mut Context) -> Result<Outcome, BoxError> {
        match self.user {
            user if user < 0 => Err(format!("there is no user {user}").into()),
            user => Outcome::done_with(&user),
        }
    }
}

/// A mail to each of so many users.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Newsletter {
    pub users: i64,
}

impl Job for Newsletter {
    const KIND: &'static str = "mail.newsletter";
    const QUEUE: &'static str = "mail";

    async fn perform(self, cx: &mut Context) -> Result<Outcome, BoxError> {
        cx.client()
            .enqueue_many((1..=self.users).map(|user| Mail { user }))
            .await?;
        Ok(Outcome::Done)
    }
}

/// Waits until it is told to stop.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Patient;

impl Job for Patient {
    const KIND: &'static str = "test.patient";
    const QUEUE: &'static str = "mail";

    fn backoff() -> Backoff {
        Backoff::constant(Duration::from_millis(10))
    }

    async fn perform(self, cx: &mut Context) -> Result<Outcome, BoxError> {
        if !cx.attempt().is_first() {
            return Ok(Outcome::Done);
        }
        cx.cancellation().cancelled().await;
        Err("told to stop".into())
    }
}

/// Looks again later, until it has looked so often.
pub async fn look(cx: &mut Context, times: i32) -> Outcome {
    match cx.attempt().as_i32() {
        attempt if attempt >= times => Outcome::Done,
        _ => Outcome::Snooze(Duration::from_secs(3600)),
    }
}

/// What every test's board is made of.
pub fn application(board: Builder) -> Builder {
    board
        .queue(Queue::new("mail").workers(2))
        .queue(Queue::new("default").workers(2))
        .job::<Mail>()
        .job::<Newsletter>()
        .job::<Patient>()
        .functions(functions![look])
}
