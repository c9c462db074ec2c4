//! A worker's state that cannot be built: its queue says so and comes back, and others run on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use callboard::supervision::EventKind;
use callboard::{Board, BoxError, Context, JobState, Outcome, Queue, call, functions};
use serde_json::json;

use crate::support::{board, eventually, until_state};

const FAILS: u8 = 0;
const PANICS: u8 = 1;
const WORKS: u8 = 2;

/// A factory whose mood the test sets, and how often it was asked.
#[derive(Clone, Default)]
struct Factory(Arc<(AtomicU8, AtomicU32)>);

impl Factory {
    fn is_from_now_on(&self, mood: u8) {
        self.0.0.store(mood, Ordering::SeqCst);
    }

    fn build(&self) -> Result<u32, BoxError> {
        let count = self.0.1.fetch_add(1, Ordering::SeqCst) + 1;
        match self.0.0.load(Ordering::SeqCst) {
            FAILS => Err("the model is not there".into()),
            PANICS => panic!("the model is broken"),
            _ => Ok(count),
        }
    }
}

async fn which(cx: &mut Context) -> Result<Outcome, BoxError> {
    Outcome::done_with(cx.state::<u32>()?)
}

async fn plain() {}

async fn board_with(factory: &Factory) -> Board {
    let factory = factory.clone();
    let fragile = Queue::new("fragile").workers(2).worker_state(move || {
        let factory = factory.clone();
        async move { factory.build() }
    });
    board(|b| {
        b.queue(fragile)
            .queue(Queue::new("default"))
            .functions(functions![which, plain])
    })
    .await
}

/// Waits until the board's health gives a reason with this text, and returns who gives it.
async fn is_troubled(board: &Board, text: &str) -> String {
    eventually(text, || async {
        let health = board.health();
        let mut parts = health.troubled();
        parts
            .find(|(_, condition)| condition.to_string().contains(text))
            .map(|(role, _)| role.to_owned())
    })
    .await
}

async fn another_queue_runs(board: &Board) {
    let id = board.client().enqueue(call!(plain())).await.unwrap();
    until_state(board.client(), id, JobState::Completed).await;
}

async fn recovers(board: &Board, factory: &Factory, waiting: callboard::JobId) {
    factory.is_from_now_on(WORKS);
    let job = until_state(board.client(), waiting, JobState::Completed).await;
    assert_eq!(
        job.attempt.as_i32(),
        1,
        "no attempt was spent on a worker without state"
    );
    eventually("everything works again", || async {
        board.health().is_working().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_whose_state_cannot_be_built_says_why_and_others_run() {
    let factory = Factory::default();
    let board = board_with(&factory).await;
    let waiting = board
        .client()
        .enqueue(call!(which()).queue("fragile"))
        .await
        .unwrap();
    let role = is_troubled(&board, "the model is not there").await;
    assert!(role.contains("fragile"), "{role}");
    another_queue_runs(&board).await;
    assert!(!board.health().is_working());
    let job = board.client().job(waiting).await.unwrap().unwrap();
    assert_eq!(job.state, JobState::Available);
    recovers(&board, &factory, waiting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_factory_is_no_worse_than_a_failing_one() {
    let factory = Factory::default();
    factory.is_from_now_on(PANICS);
    let board = board_with(&factory).await;
    let waiting = board
        .client()
        .enqueue(call!(which()).queue("fragile"))
        .await
        .unwrap();
    let role = is_troubled(&board, "the model is broken").await;
    assert!(role.contains("fragile"), "{role}");
    another_queue_runs(&board).await;
    recovers(&board, &factory, waiting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_factory_is_asked_less_and_less_often() {
    let factory = Factory::default();
    let board = board_with(&factory).await;
    let mut events = board.supervisor().events();
    let mut longest = Duration::ZERO;
    while longest < Duration::from_millis(500) {
        let event = events.next().await.unwrap().unwrap();
        if let EventKind::BackingOff { delay, failures } = event.kind {
            // Half of the nominal wait at least, which doubles from 50 ms.
            let least = Duration::from_millis(25) * 2_u32.pow(failures - 1);
            assert!(delay >= least, "{delay:?} after {failures} failures");
            longest = longest.max(delay);
        }
    }
    assert!(!board.health().is_working());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_built_once_a_worker_and_dropped_with_it() {
    struct Guarded(Arc<AtomicU32>);
    impl Drop for Guarded {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    async fn guarded(cx: &mut Context) -> Result<Outcome, BoxError> {
        let alive = cx.state::<Guarded>()?.0.load(Ordering::SeqCst);
        Outcome::done_with(&alive)
    }
    let alive = Arc::new(AtomicU32::new(0));
    let factory = Arc::clone(&alive);
    let queue = Queue::new("default").workers(3).worker_state(move || {
        factory.fetch_add(1, Ordering::SeqCst);
        let guarded = Guarded(Arc::clone(&factory));
        async move { Ok::<_, BoxError>(guarded) }
    });
    let board = board(|b| b.queue(queue).functions(functions![guarded])).await;
    eventually("three are built", || async {
        (alive.load(Ordering::SeqCst) == 3).then_some(())
    })
    .await;
    for _ in 0..20 {
        let id = board.client().enqueue(call!(guarded())).await.unwrap();
        let job = until_state(board.client(), id, JobState::Completed).await;
        assert_eq!(job.output, Some(json!(3)));
    }
    board.shutdown().await.unwrap();
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}
