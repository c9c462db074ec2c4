//! Consumers of what becomes of attempts, side by side.

use std::collections::HashSet;

use callboard::job::{JobId, Transition};
use callboard::queue::Attempted;
use callboard::stage::{
    self, Cancel, Consumer, Inlets, SourceStream, StageResult, SubscribeOptions, WhenBehind,
};
use callboard::testing::{Role, TestBoard};
use callboard::{BoxError, Queue, call, functions};
use futures_util::StreamExt;
use tokio::sync::mpsc;

use crate::support::eventually;

async fn nothing() {}

async fn fails() -> Result<(), BoxError> {
    Err("as planned".into())
}

async fn board() -> TestBoard {
    let queue = Queue::new("default").workers(4);
    TestBoard::start(|b| b.queue(queue).functions(functions![nothing, fails])).await
}

/// Waits until this many follow.
async fn until_followed(board: &TestBoard, followers: usize) {
    eventually("they follow", || async {
        let snapshot = board.supervisor().snapshot();
        let stage = stage::StageInfo::of(&snapshot.find(&["attempts"])?.info)?;
        (stage.downstream.len() == followers).then_some(())
    })
    .await;
}

async fn take(stream: &mut SourceStream<Attempted>, count: usize) -> HashSet<JobId> {
    let taken: Vec<Attempted> = stream.take(count).collect().await;
    taken.iter().map(|attempted| attempted.job).collect()
}

#[tokio::test]
async fn every_follower_gets_what_it_selects_and_none_that_may_miss_slows_anybody() {
    let board = board().await;
    let options = || SubscribeOptions::new().max_demand(10);
    let attempts = board.attempts();
    let mut all = attempts.stream(options()).unwrap();
    let is_failed = |attempted: &Attempted| matches!(attempted.transition, Transition::Bury { .. });
    let mut failed = attempts.stream(options().selector(is_failed)).unwrap();
    let slow = options().when_behind(WhenBehind::Miss);
    let mut slow = attempts.stream(slow).unwrap();
    until_followed(&board, 3).await;
    let calls = (0..100).map(|_| call!(nothing()));
    let mut jobs: HashSet<JobId> = board
        .client()
        .enqueue_many(calls)
        .await
        .unwrap()
        .into_iter()
        .collect();
    let last = call!(fails()).max_attempts(1);
    let last = board.client().enqueue(last).await.unwrap();
    jobs.insert(last);
    assert_eq!(take(&mut all, 101).await, jobs);
    assert_eq!(take(&mut failed, 1).await, HashSet::from([last]));
    // It has read nothing all the while: ten wait for it, and the rest has passed it by.
    assert_eq!(take(&mut slow, 10).await.len(), 10);
    let more = board.client().enqueue(call!(nothing())).await.unwrap();
    assert_eq!(take(&mut slow, 1).await, HashSet::from([more]));
    assert_eq!(slow.missed(), 91);
}

/// Says how far it has come, a step for each permit.
struct Audit {
    told: mpsc::UnboundedSender<usize>,
    permits: std::sync::Arc<tokio::sync::Semaphore>,
}

impl Consumer for Audit {
    type Event = Attempted;
    type Message = std::convert::Infallible;

    async fn consume(
        &mut self,
        attempts: Vec<Attempted>,
        _: &mut Inlets<Attempted>,
    ) -> StageResult {
        self.permits.acquire().await?.forget();
        self.told.send(attempts.len())?;
        Ok(())
    }
}

#[tokio::test]
async fn a_follower_among_the_board_s_children_gets_everything_up_to_its_end() {
    let (told, mut audited) = mpsc::unbounded_channel();
    let permits = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let of_stage = std::sync::Arc::clone(&permits);
    let audit = move || Audit {
        told: told.clone(),
        permits: std::sync::Arc::clone(&of_stage),
    };
    let board = TestBoard::start(|builder| {
        let options = SubscribeOptions::new()
            .max_demand(7)
            .cancel(Cancel::resubscribe());
        let audit = stage::consumer("audit", audit).subscribe(builder.attempts(), options);
        builder
            .queue(Queue::new("default").workers(4))
            .functions(functions![nothing])
            .child(audit.child())
    })
    .await;
    until_followed(&board, 1).await;
    let jobs = board
        .client()
        .enqueue_many((0..60).map(|_| call!(nothing())));
    for job in jobs.await.unwrap() {
        board.settled(job).await;
    }
    // Seven are before it, and the others wait where they are.
    let waiting = || {
        let snapshot = board.supervisor().snapshot();
        let stage = stage::StageInfo::of(&snapshot.find(&["attempts"])?.info)?.clone();
        Some(stage.buffered)
    };
    eventually("the rest waits", || async {
        (waiting() == Some(53)).then_some(())
    })
    .await;
    permits.add_permits(1_000);
    let mut sum = 0;
    while sum < 60 {
        sum += audited.recv().await.unwrap();
    }
    assert_eq!(sum, 60);
}

#[tokio::test]
async fn followers_come_back_to_a_stage_that_was_killed() {
    let board = board().await;
    let options = SubscribeOptions::new().cancel(Cancel::resubscribe());
    let mut attempts = board.attempts().stream(options).unwrap();
    until_followed(&board, 1).await;
    board.kill(Role::at(["attempts"])).await;
    let (next, job) = tokio::join!(attempts.next(), async {
        until_followed(&board, 1).await;
        board.client().enqueue(call!(nothing())).await.unwrap()
    });
    assert_eq!(next.unwrap().job, job);
}
