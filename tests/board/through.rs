//! Stages between a queue's fetcher and its workers: what they can do, and that no job is lost in their
//! hands.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use callboard::queue::{Lease, Through};
use callboard::stage::{Asks, Flow, ProducerConsumer, StageInfo, StageResult};
use callboard::testing::{Role, TestBoard};
use callboard::{BoxError, Context, Job, JobState, Outcome, Queue, call, functions};
use serde::{Deserialize, Serialize};

use crate::support::{eventually, sharing};

/// Does to each job what a function says; may take a while for it.
#[derive(Clone)]
struct Stage {
    act: fn(Lease) -> Option<Lease>,
    takes: Duration,
}

impl Stage {
    fn new(act: fn(Lease) -> Option<Lease>) -> Self {
        Self {
            act,
            takes: Duration::ZERO,
        }
    }
}

impl ProducerConsumer for Stage {
    type In = Lease;
    type Out = Lease;
    type Message = Infallible;

    async fn transform(&mut self, jobs: Vec<Lease>, flow: &mut Flow<Lease, Lease>) -> StageResult {
        for job in jobs {
            if !self.takes.is_zero() {
                tokio::time::sleep(self.takes).await;
            }
            flow.outlet.emit_all((self.act)(job));
        }
        Ok(())
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Number(u64);

impl Job for Number {
    const KIND: &'static str = "number";

    async fn perform(self, cx: &mut Context) -> Result<Outcome, BoxError> {
        let doubled = cx.attached::<Doubled>().map(|doubled| doubled.0);
        Outcome::done_with(&doubled)
    }
}

struct Doubled(u64);

fn double(mut job: Lease) -> Option<Lease> {
    if let Ok(Number(number)) = job.args() {
        job.attach(Doubled(number * 2));
    }
    Some(job)
}

#[tokio::test]
async fn a_handler_finds_what_a_stage_has_attached() {
    let queue = Queue::new("default").through(Stage::new(double));
    let board = TestBoard::start(|b| b.queue(queue).job::<Number>()).await;
    let job = board.client().enqueue(Number(21)).await.unwrap();
    assert_eq!(board.settled(job).await.output, Some(42.into()));
}

/// Cancels the even ones, fails those that divide by three.
fn judge(job: Lease) -> Option<Lease> {
    match job.args::<Number>().unwrap().0 {
        number if number % 2 == 0 => job.decide(Outcome::Cancel("even".into())),
        number if number % 3 == 0 => job.fail("three is a crowd"),
        _ => return Some(job),
    }
    None
}

#[tokio::test]
async fn a_stage_answers_jobs_that_its_workers_never_see() {
    let queue = Queue::new("default").workers(1).through(Stage::new(judge));
    let board = TestBoard::start(|b| b.queue(queue).job::<Number>()).await;
    let mut jobs = Vec::new();
    for number in 0..7 {
        let call = Number(number).call().max_attempts(1);
        jobs.push(board.client().enqueue(call).await.unwrap());
    }
    let mut states = Vec::new();
    for job in &jobs {
        states.push(board.settled(*job).await.state);
    }
    use JobState::{Cancelled, Completed, Dead};
    let expected = [
        Cancelled, Completed, Cancelled, Dead, Cancelled, Completed, Cancelled,
    ];
    assert_eq!(states, expected);
    let dead = board.settled(jobs[3]).await;
    assert_eq!(dead.errors[0]["message"], "three is a crowd");
}

/// Counts how often each part of a job's way was gone.
async fn count(cx: &mut Context) -> Result<(), BoxError> {
    let done = cx.state::<Arc<AtomicU64>>()?.clone();
    tokio::time::sleep(Duration::from_millis(1)).await;
    done.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

#[tokio::test]
async fn whichever_part_is_killed_no_job_is_lost_or_charged() {
    let done = Arc::new(AtomicU64::new(0));
    let slow = Stage {
        act: Some,
        takes: Duration::from_millis(1),
    };
    let (first, second) = (slow.clone(), slow);
    let queue = Queue::new("default")
        .workers(3)
        .through(
            Through::new("first", move || first.clone())
                .asks(Asks::Automatic)
                .max_demand(8),
        )
        .through(Through::new("second", move || second.clone()));
    let board = TestBoard::start(|b| b.queue(sharing(queue, &done)).functions(functions![count]));
    let board = board.await;
    let calls = (0..400).map(|_| call!(count()));
    let jobs = board.client().enqueue_many(calls).await.unwrap();
    for part in ["first", "fetcher", "second", "first", "second"] {
        let before = done.load(Ordering::SeqCst);
        eventually("jobs are under way", || async {
            (done.load(Ordering::SeqCst) > before + 10).then_some(())
        })
        .await;
        board.kill(Role::stage_of("default", part)).await;
    }
    for job in jobs {
        let settled = board.settled(job).await;
        let (state, errors) = (settled.state, settled.errors);
        assert_eq!((state, &*errors), (JobState::Completed, &[][..]));
    }
    assert_eq!(done.load(Ordering::SeqCst), 400, "each ran once");
    let counts = board.counts();
    assert_eq!(
        counts.claimed,
        counts.completed + counts.released,
        "{counts:?}"
    );
}

fn choke(job: Lease) -> Option<Lease> {
    assert!(job.args::<Number>().unwrap().0 != 13, "thirteen");
    Some(job)
}

#[tokio::test]
async fn a_job_that_a_stage_cannot_bear_is_charged_and_buried_and_the_others_pass() {
    let stage = Through::new("choke", || Stage::new(choke)).max_demand(1);
    let queue = Queue::new("default").workers(2).through(stage);
    let board = TestBoard::start(|b| b.queue(queue).job::<Number>()).await;
    let backoff = callboard::Backoff::constant(Duration::from_millis(10));
    let poison = Number(13).call().max_attempts(2).backoff(backoff);
    let poison = board.client().enqueue(poison).await.unwrap();
    let others = board.client().enqueue_many((0..10).map(Number)).await;
    let dead = board.settled(poison).await;
    assert_eq!((dead.state, dead.failures), (JobState::Dead, Some(2)));
    let text = "a stage of the queue panicked with the job in its hands";
    assert_eq!(dead.errors[0]["message"], text);
    for job in others.unwrap() {
        assert_eq!(board.settled(job).await.state, JobState::Completed);
    }
    assert!(board.health().is_working(), "{}", board.health());
}

async fn wait(cx: &mut Context) -> Result<(), BoxError> {
    let gate = cx.state::<Arc<tokio::sync::Semaphore>>()?.clone();
    gate.acquire().await?.forget();
    Ok(())
}

#[tokio::test]
async fn nothing_is_claimed_that_no_worker_has_asked_for() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let queue = Queue::new("default").workers(2).through(Stage::new(Some));
    let board = TestBoard::start(|b| b.queue(sharing(queue, &gate)).functions(functions![wait]));
    let board = board.await;
    let jobs = board.client().enqueue_many((0..6).map(|_| call!(wait())));
    let jobs = jobs.await.unwrap();
    board.running(jobs[1]).await;
    // Announced again, and polled for: what nobody asks for stays on the board.
    let last = board.client().enqueue(call!(wait())).await.unwrap();
    assert_eq!(board.counts().claimed, 2);
    let snapshot = board.supervisor().snapshot();
    let stage = snapshot.find(&["queues", "default", "Stage"]).unwrap();
    let info = StageInfo::of(&stage.info).unwrap();
    assert_eq!((info.buffered, info.waiting), (0, 0), "{info}");
    gate.add_permits(100);
    for job in jobs.into_iter().chain([last]) {
        assert_eq!(board.settled(job).await.state, JobState::Completed);
    }
}

#[tokio::test]
async fn a_stage_that_cannot_be_named_so_is_refused_at_the_start() {
    let database = crate::support::database().await;
    let refusal = async |queue: Queue| {
        let builder = callboard::Board::builder(database.clone()).queue(queue);
        let error = builder.start().await.unwrap_err();
        assert!(error.is_config());
        error.to_string()
    };
    let stage = || Stage::new(Some);
    let queue = || Queue::new("default");
    let text = refusal(queue().through(stage()).through(stage())).await;
    assert!(
        text.contains("Queue::through of \"default\" is Stage"),
        "{text}"
    );
    let text = refusal(queue().through(Through::new("workers", stage))).await;
    assert!(text.contains("a part of this name itself"), "{text}");
    let text = refusal(queue().through(Through::new("a b", stage))).await;
    assert!(text.contains("\"a b\""), "{text}");
    let text = refusal(queue().through(Through::new("none", stage).max_demand(0))).await;
    assert!(text.contains("max_demand is 0; expected 1 to"), "{text}");
}

#[tokio::test]
async fn a_board_that_closes_gets_back_what_a_stage_holds() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let holding = Through::new("holding", || Stage::new(Some)).asks(Asks::Automatic);
    let queue = Queue::new("default")
        .workers(1)
        .through(holding.max_demand(8));
    let board = TestBoard::start(|b| {
        b.queue(sharing(queue, &gate))
            .functions(functions![wait])
            .job::<Number>()
            .shutdown_grace(Duration::from_secs(300))
    })
    .await;
    let first = board.client().enqueue(call!(wait())).await.unwrap();
    board.running(first).await;
    let others = board.client().enqueue_many((0..12).map(Number));
    others.await.unwrap();
    eventually("the stage holds some", || async {
        (board.counts().in_hand == 8).then_some(())
    })
    .await;
    let closing = async {
        // Long before the grace is over.
        let closed = tokio::time::timeout(Duration::from_secs(60), board.shutdown());
        closed.await.unwrap().unwrap();
    };
    let ending = async {
        let is_closing = || async { (!board.health().is_running).then_some(()) };
        eventually("it closes", is_closing).await;
        gate.add_permits(1);
    };
    tokio::join!(closing, ending);
    let counts = board.counts();
    assert_eq!(counts.in_hand, 0, "{counts:?}");
    assert_eq!(
        counts.claimed,
        counts.completed + counts.released,
        "{counts:?}"
    );
}

#[tokio::test]
async fn a_stopped_queue_gives_back_what_a_stage_holds() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let holding = Through::new("holding", || Stage::new(Some)).asks(Asks::Automatic);
    let queue = Queue::new("default")
        .workers(2)
        .through(holding.max_demand(8));
    let board = TestBoard::start(|b| {
        b.queue(sharing(queue, &gate))
            .functions(functions![wait])
            .job::<Number>()
    })
    .await;
    let waits = [call!(wait()), call!(wait())];
    for first in board.client().enqueue_many(waits).await.unwrap() {
        board.running(first).await;
    }
    let others = board.client().enqueue_many((0..12).map(Number));
    others.await.unwrap();
    eventually("the stage holds some", || async {
        (board.counts().in_hand == 8).then_some(())
    })
    .await;
    board.queue("default").stop().await.unwrap();
    gate.add_permits(2);
    eventually("nobody works and nothing is held", || async {
        (board.workers().is_empty() && board.counts().in_hand == 0).then_some(())
    })
    .await;
    assert_eq!(board.counts().completed, 2);
    board.queue("default").resume().await.unwrap();
    board.idle().await;
    assert_eq!(board.counts().completed, 14);
}
