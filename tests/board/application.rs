//! The application's own actors in the board's tree, and the board in the application's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use callboard::queue::Attempted;
use callboard::stage::{SourceStream, StageInfo, SubscribeOptions};
use callboard::supervision::{ChildSpec, Strategy, SupervisorSpec};
use callboard::testing::{Role, TestBoard, ThrowawayDatabase};
use callboard::{Board, BoxError, Client, Context, JobState, Queue, call, functions};
use futures_util::StreamExt;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::support::{eventually, sharing};

/// Gives numbers, from 1 at every start.
#[derive(Clone)]
struct Counter;

struct Ask(RpcReplyPort<u32>);

#[cfg(feature = "cluster")]
impl ractor::Message for Ask {}

#[ractor::actor(message = Ask, state = u32, arguments = Arc<AtomicU32>)]
impl Counter {
    async fn pre_start(
        &self,
        _: ActorRef<Ask>,
        starts: Arc<AtomicU32>,
    ) -> Result<u32, ActorProcessingErr> {
        starts.fetch_add(1, Ordering::Relaxed);
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<Ask>,
        Ask(reply): Ask,
        count: &mut u32,
    ) -> Result<(), ActorProcessingErr> {
        *count += 1;
        reply.send(*count)?;
        Ok(())
    }
}

async fn nothing() {}

async fn board_with_a_counter(starts: &Arc<AtomicU32>) -> TestBoard {
    let counter = ChildSpec::actor("counter", Counter, Arc::clone(starts));
    TestBoard::start(|board| {
        board
            .child(counter)
            .queue(Queue::new("default"))
            .functions(functions![nothing])
    })
    .await
}

async fn runs_a_job(client: &Client, board: &TestBoard) {
    let job = client.enqueue(call!(nothing())).await.unwrap();
    assert_eq!(board.settled(job).await.state, JobState::Completed);
}

#[tokio::test]
async fn an_actor_of_the_application_lives_in_the_board_s_tree() {
    let starts = Arc::new(AtomicU32::new(0));
    let board = board_with_a_counter(&starts).await;
    let path = ["application", "counter"];
    let tree = board.supervisor().snapshot();
    let cell = tree.find(&path).unwrap().info.actor.clone().unwrap();
    let counter: ActorRef<Ask> = cell.into();
    assert_eq!(ractor::call!(counter, Ask).unwrap(), 1);

    board.crash(Role::at(path)).await;
    board.restarted(Role::at(path)).await;
    assert_eq!(starts.load(Ordering::Relaxed), 2);

    let another = ChildSpec::actor("another", Counter, Arc::clone(&starts));
    let application = board.supervisor().child("application").unwrap();
    application.start_child(another).await.unwrap();
    assert_eq!(starts.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn an_application_that_melts_down_takes_no_queue_along() {
    let starts = Arc::new(AtomicU32::new(0));
    let board = board_with_a_counter(&starts).await;
    let (counter, application) = (
        Role::at(["application", "counter"]),
        Role::at(["application"]),
    );
    for _ in 0..3 {
        board.crash(counter.clone()).await;
        board.restarted(counter.clone()).await;
    }
    board.crash(counter.clone()).await;
    board.restarted(application).await;
    assert!(starts.load(Ordering::Relaxed) >= 5);
    runs_a_job(board.client(), &board).await;
    let crashed = board.report().crashes;
    let of_queues = |role: &Role| role.to_string().contains("default");
    assert!(
        !crashed.iter().any(|crash| of_queues(&crash.role)),
        "{crashed:?}"
    );
}

/// Follows the attempts from now on.
async fn follow(board: &Board) -> SourceStream<Attempted> {
    let options = SubscribeOptions::new();
    let attempts = board.attempts().stream(options).unwrap();
    eventually("the board tells us", || async {
        let snapshot = board.supervisor().snapshot();
        let stage = StageInfo::of(&snapshot.find(&["attempts"])?.info)?;
        (!stage.downstream.is_empty()).then_some(())
    })
    .await;
    attempts
}

#[tokio::test]
async fn an_application_stops_after_the_queues() {
    async fn ask(cx: &mut Context) -> Result<(), BoxError> {
        let counter = cx.state::<ActorRef<Ask>>()?.clone();
        cx.cancellation().cancelled().await;
        ractor::call!(counter, Ask)?;
        Ok(())
    }
    let database = ThrowawayDatabase::create().await.unwrap();
    let (counter, _) = Actor::spawn(None, Counter, Arc::default()).await.unwrap();
    let linked = counter.clone();
    let child = ChildSpec::new("counter", move |_| {
        let cell = linked.get_cell();
        async move { Ok(cell) }
    });
    let board = Board::builder(database.database().clone())
        .child(child)
        .queue(sharing(Queue::new("default"), &counter))
        .functions(functions![ask])
        .shutdown_grace(std::time::Duration::ZERO)
        .start()
        .await
        .unwrap();
    let mut attempts = follow(&board).await;
    let job = board.client().enqueue(call!(ask())).await.unwrap();
    eventually("the job is claimed", || async {
        (board.counts().claimed > 0).then_some(())
    })
    .await;
    board.shutdown().await.unwrap();
    let ended = attempts.next().await.unwrap();
    assert_eq!(ended.job, job);
    let info = board.client().job(job).await.unwrap().unwrap();
    assert_eq!(info.state, JobState::Completed, "{info:?}");
}

#[tokio::test]
async fn a_board_is_a_child_of_the_application_s_supervisor() {
    let database = ThrowawayDatabase::create().await.unwrap();
    let builder = Board::builder(database.database().clone())
        .queue(Queue::new("default"))
        .functions(functions![nothing]);
    let (child, mut boards) = builder.into_child("board");
    let application = SupervisorSpec::new(Strategy::OneForOne)
        .child(child)
        .spawn()
        .await
        .unwrap();
    let first = boards.borrow_and_update().clone().unwrap();
    first.supervisor().cell().kill();
    boards.changed().await.unwrap();
    let second = boards.borrow_and_update().clone().unwrap();
    assert_ne!(first.node(), second.node());
    let mut attempts = follow(&second).await;
    let job = second.client().enqueue(call!(nothing())).await.unwrap();
    assert_eq!(attempts.next().await.unwrap().job, job);
    application.stop_and_wait("done", None).await.unwrap();
    second.stopped().await;
}
