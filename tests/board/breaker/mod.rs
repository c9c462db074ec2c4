//! Breakers: while what a kind calls is out of order its jobs wait, spend nothing, and go on when it is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use callboard::board::Builder;
use callboard::job::{Backoff, BreakerState};
use callboard::{
    Board, BoxError, Breaker, BreakerInfo, Client, Context, JobId, JobState, Queue, call, function,
    functions,
};
use tokio::sync::Semaphore;

use crate::support::{board_at, eventually, server, sharing, until_confirmed, until_state};

mod by_hand;
mod calls;
mod nodes;
mod options;
mod probes;
mod waiting;

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// What the jobs call, and the tests hold in hand.
#[derive(Clone)]
struct Service {
    is_down: Arc<AtomicBool>,
    calls: Arc<AtomicU32>,
    /// Calls wait here before they end.
    gate: Arc<Semaphore>,
}

impl Service {
    fn new() -> Self {
        Self {
            is_down: Arc::default(),
            calls: Arc::default(),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }

    fn down() -> Self {
        let service = Self::new();
        service.set_down();
        service
    }

    /// Calls begin and do not end.
    fn gated() -> Self {
        Self {
            gate: Arc::new(Semaphore::new(0)),
            ..Self::new()
        }
    }

    fn set_down(&self) {
        self.is_down.store(true, Ordering::SeqCst);
    }

    fn set_up(&self) {
        self.is_down.store(false, Ordering::SeqCst);
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }

    async fn call(&self) -> Result<(), BoxError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await?.forget();
        // As a service does.
        tokio::time::sleep(2 * MS).await;
        match self.is_down.load(Ordering::SeqCst) {
            true => Err("connection refused".into()),
            false => Ok(()),
        }
    }

    async fn until_called(&self, calls: u32) {
        eventually(&format!("{calls} calls have begun"), || async {
            (self.calls() >= calls).then_some(())
        })
        .await;
    }
}

async fn send(cx: &mut Context) -> Result<(), BoxError> {
    let service = cx.state::<Service>()?.clone();
    service.call().await
}

/// Another kind that needs the same service.
async fn receive(cx: &mut Context) -> Result<(), BoxError> {
    send(cx).await
}

/// Shares the breaker, and calls nobody.
async fn ping() -> Result<(), BoxError> {
    Ok(())
}

/// Needs nobody.
async fn other() -> Result<(), BoxError> {
    Ok(())
}

/// Opens after four calls, and stays open.
fn breaker() -> Breaker {
    Breaker::named("smtp")
        .minimum_calls(4)
        .over_calls(10)
        .open_for(HOUR)
        .longest_open(HOUR)
        .probes(2)
        .ramp(Duration::ZERO)
}

fn queue(service: &Service) -> Queue {
    sharing(
        Queue::new("default").workers(4).poll_every(100 * MS),
        service,
    )
}

fn with(queue: Queue, breaker: Breaker) -> impl FnOnce(Builder) -> Builder {
    let patient = Backoff::constant(10 * MS);
    let send = function!(send).breaker(breaker.clone()).backoff(patient);
    let receive = function!(receive).breaker(breaker.clone()).backoff(patient);
    let ping = function!(ping).breaker(breaker);
    move |board| {
        let board = board
            .queue(queue)
            .handler(send)
            .handler(receive)
            .handler(ping);
        board.functions(functions![other])
    }
}

async fn standing(client: &Client) -> BreakerInfo {
    let breakers = client.breakers().await.unwrap();
    breakers
        .into_iter()
        .find(|breaker| breaker.name == "smtp")
        .expect("it is declared")
}

async fn until(client: &Client, state: BreakerState) -> BreakerInfo {
    eventually(&format!("the breaker is {state}"), || async {
        let breakers = client.breakers().await.unwrap();
        breakers.into_iter().find(|breaker| breaker.state == state)
    })
    .await
}

async fn enqueue(client: &Client, jobs: usize) -> Vec<JobId> {
    client
        .enqueue_many((0..jobs).map(|_| call!(send()).max_attempts(1000)))
        .await
        .unwrap()
}

async fn until_completed(client: &Client, jobs: &[JobId]) {
    for job in jobs {
        until_state(client, *job, JobState::Completed).await;
    }
}

/// Jobs that nothing holds back have run since, so what could have been claimed was.
async fn others_run(board: &Board) {
    for _ in 0..3 {
        let job = board.client().enqueue(call!(other())).await.unwrap();
        until_state(board.client(), job, JobState::Completed).await;
    }
}

/// Opens the breaker by failures.
async fn opened(url: &str, service: &Service, breaker: Breaker) -> (Board, Vec<JobId>) {
    service.set_down();
    let board = board_at(url, with(queue(service), breaker)).await;
    let jobs = enqueue(board.client(), 20).await;
    until(board.client(), BreakerState::Open).await;
    until_confirmed(&board).await;
    (board, jobs)
}

const FAILURES: &str = "select coalesce(sum(failures), 0)::bigint from callboard.jobs";

/// Waits until the node does what the board says.
async fn until_obeyed(board: &Board, state: BreakerState) {
    until(board.client(), state).await;
    eventually("the node obeys", || async {
        let job = board.client().enqueue(call!(ping())).await.unwrap();
        others_run(board).await;
        let cancelled = board.client().cancel(job).await.unwrap();
        (cancelled == callboard::store::Cancelled::AtOnce).then_some(())
    })
    .await;
}
