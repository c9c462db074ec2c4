//! What happens when a worker crashes?
//!
//! Three workers, each with a long-lived state of its own, say a connection. One job crashes its
//! worker, another is killed with it, then the fetcher and the ledger go. Watch: the worker is back in
//! milliseconds with a fresh state, no job is lost, and the other workers never notice.

use std::error::Error;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use callboard::job::Backoff;
use callboard::testing::{Role, TestBoard};
use callboard::{BoxError, Context, Job, Outcome, Queue};
use serde::{Deserialize, Serialize};

/// What a worker keeps across jobs; a crash throws it away.
struct Connection(u32);

async fn connect() -> Result<Connection, BoxError> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    Ok(Connection(NEXT.fetch_add(1, Ordering::Relaxed)))
}

#[derive(Serialize, Deserialize)]
enum Way {
    Quickly,
    /// The first time the lift falls down.
    ByLift,
    /// The first time it takes until somebody loses patience.
    Slowly,
}

#[derive(Serialize, Deserialize)]
struct Deliver(u32, Way);

impl Job for Deliver {
    const KIND: &'static str = "parcels.deliver";
    const QUEUE: &'static str = "parcels";

    fn backoff() -> Backoff {
        Backoff::constant(Duration::from_millis(50))
    }

    async fn perform(self, cx: &mut Context) -> Result<Outcome, BoxError> {
        let (worker, attempt) = (cx.worker().to_owned(), cx.attempt());
        let connection = cx.state::<Connection>()?.0;
        let Self(parcel, way) = self;
        println!("  {worker} over connection {connection}: parcel {parcel}, attempt {attempt}");
        match way {
            Way::ByLift if attempt.is_first() => panic!("the lift fell down"),
            Way::Slowly if attempt.is_first() => std::future::pending().await,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        Ok(Outcome::Done)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // One line instead of a backtrace.
    std::panic::set_hook(Box::new(|panic| {
        println!("  panic: {}", panic.payload_as_str().unwrap_or("?"));
    }));
    let parcels = Queue::new("parcels").workers(3).worker_state(connect);
    let board = TestBoard::start(|board| board.queue(parcels).job::<Deliver>()).await;

    println!("twenty parcels; the third goes by lift, and the lift falls down:");
    let parcel = |parcel| match parcel {
        3 => Deliver(parcel, Way::ByLift),
        _ => Deliver(parcel, Way::Quickly),
    };
    let jobs = board.client().enqueue_many((1..=20).map(parcel)).await?;
    for job in jobs {
        board.settled(job).await;
    }

    println!("\none parcel is slow, and its worker is killed:");
    let slow = board.client().enqueue(Deliver(21, Way::Slowly)).await?;
    board.running(slow).await;
    board.kill(Role::worker_of("parcels")).await;
    board.settled(slow).await;

    println!("\nthe fetcher panics, the ledger is killed, and three more parcels come:");
    board.crash(Role::fetcher_of("parcels")).await;
    board.kill(Role::ledger()).await;
    let more = (22..=24).map(|parcel| Deliver(parcel, Way::Quickly));
    for job in board.client().enqueue_many(more).await? {
        board.settled(job).await;
    }

    println!("\n{}", board.report());
    println!("{} parcels delivered, none lost", board.counts().completed);
    Ok(board.end().await?)
}
