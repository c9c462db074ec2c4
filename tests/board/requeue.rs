//! Dead jobs come back: one by one or by filter, with a fresh budget and their story.

use callboard::job::{BuryReason, Call};
use callboard::store::DeadFilter;
use callboard::{Board, Client, Context, Job, JobId, JobState, Queue, call, functions};

use crate::support::script::{Script, Step};
use crate::support::{board, until_state};

async fn failing() -> Result<(), &'static str> {
    Err("as ever")
}

/// A board with three dead letters: two kinds, two queues, two reasons.
async fn board_with_dead() -> (Board, [JobId; 3]) {
    let board = board(|b| {
        b.queue(Queue::new("default"))
            .queue(Queue::new("other"))
            .job::<Script>()
            .functions(functions![failing])
    })
    .await;
    let client = board.client();
    let bury = || Script(vec![Step::Bury("hopeless".into()), Step::Complete]);
    let calls = [
        bury().call(),
        bury().call().queue("other"),
        call!(failing()).max_attempts(1),
    ];
    let mut ids = Vec::new();
    for call in calls {
        let id = client.enqueue(call).await.unwrap();
        until_state(client, id, JobState::Dead).await;
        ids.push(id);
    }
    (board, ids.try_into().unwrap())
}

async fn dead(client: &Client) -> Vec<JobId> {
    let letters = client.dead_letters(DeadFilter::all(), 100).await.unwrap();
    letters.into_iter().map(|letter| letter.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_newest_first_by_filter_and_limit() {
    let (board, [first, second, third]) = board_with_dead().await;
    let client = board.client();
    assert_eq!(dead(client).await, [third, second, first]);
    let list = async |filter: DeadFilter, limit| {
        let letters = client.dead_letters(filter, limit).await.unwrap();
        letters
            .into_iter()
            .map(|letter| letter.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(list(DeadFilter::all(), 2).await, [third, second]);
    assert_eq!(
        list(DeadFilter::all().kind("test.script"), 9).await,
        [second, first]
    );
    assert_eq!(list(DeadFilter::all().queue("other"), 9).await, [second]);
    let exhausted = DeadFilter::all().reason(BuryReason::Exhausted);
    assert_eq!(list(exhausted, 9).await, [third]);
    let nothing = DeadFilter::all()
        .queue("other")
        .reason(BuryReason::Exhausted);
    assert_eq!(list(nothing, 9).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requeued_job_runs_again_and_keeps_its_story() {
    let (board, [first, second, third]) = board_with_dead().await;
    let client = board.client();
    let before = client.job(first).await.unwrap().unwrap();
    assert!(client.requeue(first).await.unwrap());
    let job = until_state(client, first, JobState::Completed).await;
    assert_eq!(job.attempt.as_i32(), 2);
    assert_eq!(job.errors, before.errors);
    assert_eq!(job.enqueued_at, before.enqueued_at);
    assert_eq!(dead(client).await, [third, second]);
    assert!(!client.requeue(first).await.unwrap());
    assert!(!client.requeue(JobId::from_i64(4711)).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_jobs_come_back_by_filter() {
    let (board, [first, second, third]) = board_with_dead().await;
    let client = board.client();
    let requeue = async |filter| client.requeue_all(filter).await.unwrap();
    assert_eq!(
        requeue(DeadFilter::all().kind("test.script").queue("other")).await,
        1
    );
    until_state(client, second, JobState::Completed).await;
    assert_eq!(dead(client).await, [third, first]);
    assert_eq!(
        requeue(DeadFilter::all().reason(BuryReason::Discarded)).await,
        1
    );
    until_state(client, first, JobState::Completed).await;
    assert_eq!(requeue(DeadFilter::all().ids([first, second])).await, 0);
    assert_eq!(dead(client).await, [third]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requeued_job_has_its_whole_budget_again() {
    async fn counting(cx: &mut Context) -> Result<(), String> {
        Err(format!(
            "failures {}, last {}",
            cx.failures(),
            cx.is_last_attempt()
        ))
    }
    let board = board(|b| {
        b.queue(Queue::new("default"))
            .functions(functions![counting])
    })
    .await;
    let client = board.client();
    let soon = callboard::Backoff::constant(std::time::Duration::from_millis(10));
    let call = call!(counting()).max_attempts(2).backoff(soon);
    let id = client.enqueue(call).await.unwrap();
    until_state(client, id, JobState::Dead).await;
    assert!(client.requeue(id).await.unwrap());
    let job = crate::support::eventually("it is dead again", || async {
        let job = client.job(id).await.unwrap()?;
        (job.state == JobState::Dead && job.errors.len() == 4).then_some(job)
    })
    .await;
    let messages: Vec<_> = job
        .errors
        .iter()
        .map(|error| error["message"].as_str().unwrap())
        .collect();
    let (fresh, last) = ("failures 0, last false", "failures 1, last true");
    assert_eq!(messages, [fresh, last, fresh, last]);
    assert_eq!((job.attempt.as_i32(), job.failures), (4, Some(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_dead_jobs_come_back_in_one_call() {
    async fn twice(cx: &mut Context) -> Result<(), &'static str> {
        if cx.attempt().is_first() {
            Err("once")
        } else {
            Ok(())
        }
    }
    let board = board(|b| b.queue(Queue::new("default")).functions(functions![twice])).await;
    let call = || -> Call { call!(twice()).max_attempts(1) };
    let ids = board
        .client()
        .enqueue_many((0..2_500).map(|_| call()))
        .await
        .unwrap();
    crate::support::eventually("all are dead", || async {
        (board.counts().buried == 2_500).then_some(())
    })
    .await;
    assert_eq!(
        board.client().requeue_all(DeadFilter::all()).await.unwrap(),
        2_500
    );
    crate::support::eventually("all are completed", || async {
        (board.counts().completed == 2_500).then_some(())
    })
    .await;
    let last = board.client().job(ids[2_499]).await.unwrap().unwrap();
    assert_eq!(last.state, JobState::Completed);
}
