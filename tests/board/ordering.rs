//! Jobs with an ordering key: one at a time, in the order of their enqueue, on however many nodes.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use callboard::job::Backoff;
use callboard::{Board, BoxError, Call, Context, JobId, JobState, Outcome, Queue, call, functions};
use diesel_async::{AsyncConnection, AsyncPgConnection};
use tokio::sync::Barrier;

use crate::support::{board_at, board_on, database, database_at, server, sharing, until_state};

/// What ran, as it began and ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Act {
    Began(JobId),
    Ended(JobId),
}

type Acts = Arc<Mutex<Vec<Act>>>;

/// Jobs that end together.
static MEETING: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(4));

async fn work(cx: &mut Context, ms: u64) -> Result<(), BoxError> {
    run(cx, tokio::time::sleep(Duration::from_millis(ms))).await
}

/// Ends when all of the meeting run.
async fn meet(cx: &mut Context) -> Result<(), BoxError> {
    run(cx, MEETING.wait()).await
}

async fn run(cx: &mut Context, what: impl Future) -> Result<(), BoxError> {
    let (acts, job) = (cx.state::<Acts>()?.clone(), cx.job_id());
    acts.lock().unwrap().push(Act::Began(job));
    what.await;
    acts.lock().unwrap().push(Act::Ended(job));
    Ok(())
}

/// Fails at first.
async fn stumble(cx: &mut Context) -> Result<(), BoxError> {
    if cx.attempt().is_first() {
        return Err("stumbled".into());
    }
    work(cx, 0).await
}

async fn give_up(_cx: &mut Context) -> Outcome {
    Outcome::Bury("no use".into())
}

fn queue(acts: &Acts) -> Queue {
    sharing(Queue::new("default").workers(4), acts)
}

async fn board(acts: &Acts) -> Board {
    board_on(database().await, |board| {
        board
            .queue(queue(acts))
            .functions(functions![work, stumble, give_up])
    })
    .await
}

async fn until_all(board: &Board, jobs: &[JobId], state: JobState) {
    for job in jobs {
        until_state(board.client(), *job, state).await;
    }
}

/// Checks that of each key one job ran at a time, in order; tells whether different keys overlapped.
fn keys_overlap(acts: &[Act], key_of: &HashMap<JobId, usize>, in_order: &[Vec<JobId>]) -> bool {
    let mut running: HashMap<usize, JobId> = HashMap::new();
    let mut began: HashMap<usize, Vec<JobId>> = HashMap::new();
    let mut is_overlap = false;
    for act in acts {
        match act {
            Act::Began(job) => {
                let key = key_of[job];
                let beside = running.insert(key, *job);
                assert_eq!(beside, None, "job {job} ran beside another of its key");
                began.entry(key).or_default().push(*job);
                is_overlap |= running.len() > 1;
            }
            Act::Ended(job) => {
                running.remove(&key_of[job]);
            }
        }
    }
    for (key, jobs) in in_order.iter().enumerate() {
        assert_eq!(&began[&key], jobs, "key {key}");
    }
    is_overlap
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_key_run_one_at_a_time_in_order_on_two_nodes() {
    let (url, acts) = (server::fresh_database().await, Acts::default());
    // A node can hold no more than half of those that meet, so both must work.
    let queue = || sharing(Queue::new("default").workers(2).look_ahead(0), &acts);
    let configure =
        |board: callboard::board::Builder| board.queue(queue()).functions(functions![work, meet]);
    let (first, second) = tokio::join!(board_at(&url, configure), board_at(&url, configure));
    let heads = (0..4).map(|_| call!(meet()));
    let calls = heads.chain((4..120).map(|_| call!(work(2))));
    let calls = (0..)
        .zip(calls)
        .map(|(n, call)| call.ordering_key(format!("key-{}", n % 4)));
    let jobs = first.client().enqueue_many(calls).await.unwrap();
    until_all(&first, &jobs, JobState::Completed).await;

    let in_order: Vec<Vec<JobId>> = (0..4)
        .map(|key| jobs.iter().skip(key).step_by(4).copied().collect())
        .collect();
    let key_of = jobs.iter().enumerate().map(|(n, job)| (*job, n % 4));
    let acts = acts.lock().unwrap();
    let is_overlap = keys_overlap(&acts, &key_of.collect(), &in_order);
    assert!(is_overlap, "different keys run side by side");
    let claimed = [&first, &second].map(|board| board.counts().claimed);
    assert!(
        claimed.iter().all(|jobs| *jobs > 0),
        "both nodes worked: {claimed:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_are_enqueued_while_others_end_are_not_forgotten() {
    let acts = Acts::default();
    let board = board(&acts).await;
    let enqueuers = (0..8).map(|_| {
        let client = board.client().clone();
        tokio::spawn(async move {
            let mut jobs = Vec::new();
            for _ in 0..25 {
                let call = call!(work(0)).ordering_key("only");
                jobs.push(client.enqueue(call).await.unwrap());
            }
            jobs
        })
    });
    let mut jobs = Vec::new();
    for enqueuer in enqueuers.collect::<Vec<_>>() {
        jobs.extend(enqueuer.await.unwrap());
    }
    until_all(&board, &jobs, JobState::Completed).await;
    let key_of: HashMap<_, _> = jobs.iter().map(|job| (*job, 0)).collect();
    let acts = acts.lock().unwrap();
    let mut began: Vec<JobId> = Vec::new();
    began.extend(acts.iter().filter_map(|act| match act {
        Act::Began(job) => Some(*job),
        Act::Ended(_) => None,
    }));
    assert!(!keys_overlap(&acts, &key_of, &[began.clone()]));
    assert_eq!(began.len(), jobs.len(), "each ran once");
}

#[tokio::test]
async fn a_retry_keeps_its_key_waiting_and_no_other() {
    let acts = Acts::default();
    let board = board(&acts).await;
    let client = board.client();
    let slowly = Backoff::constant(Duration::from_secs(3600));
    let head = call!(stumble()).ordering_key("a").backoff(slowly);
    let head = client.enqueue(head).await.unwrap();
    let behind = client
        .enqueue(call!(work(0)).ordering_key("a"))
        .await
        .unwrap();
    let beside = client
        .enqueue(call!(work(0)).ordering_key("b"))
        .await
        .unwrap();
    let free = client.enqueue(call!(work(0))).await.unwrap();
    until_state(client, head, JobState::Retryable).await;
    until_all(&board, &[beside, free], JobState::Completed).await;
    let waiting = client.job(behind).await.unwrap().unwrap();
    assert_eq!(
        (waiting.state, waiting.is_behind),
        (JobState::Available, true)
    );
    assert_eq!(waiting.ordering_key.as_deref(), Some("a"));

    client.cancel(head).await.unwrap();
    until_state(client, behind, JobState::Completed).await;
}

#[tokio::test]
async fn a_job_that_is_given_up_lets_the_next_go_on_and_comes_back_first() {
    let acts = Acts::default();
    let board = board(&acts).await;
    let client = board.client();
    let calls = [
        call!(give_up()).ordering_key("a"),
        call!(work(0)).ordering_key("a"),
    ];
    let jobs = client.enqueue_many(calls).await.unwrap();
    until_state(client, jobs[0], JobState::Dead).await;
    until_state(client, jobs[1], JobState::Completed).await;

    let long = client
        .enqueue(call!(work(300)).ordering_key("a"))
        .await
        .unwrap();
    until_state(client, long, JobState::Executing).await;
    assert!(client.requeue(jobs[0]).await.unwrap());
    let later = client
        .enqueue(call!(work(0)).ordering_key("a"))
        .await
        .unwrap();
    until_state(client, later, JobState::Completed).await;
    let dead = client.job(jobs[0]).await.unwrap().unwrap();
    assert_eq!(
        dead.state,
        JobState::Dead,
        "it ran before the later one, and died again"
    );
    assert_eq!(dead.attempt.as_i32(), 2);
}

#[tokio::test]
async fn a_transaction_that_outlasts_the_job_before_it_is_found() {
    let (url, acts) = (server::fresh_database().await, Acts::default());
    let configure =
        |board: callboard::board::Builder| board.queue(queue(&acts)).functions(functions![work]);
    let board = board_at(&url, configure).await;
    let client = board.client();
    let head = client
        .enqueue(call!(work(200)).ordering_key("a"))
        .await
        .unwrap();
    let mut connection: AsyncPgConnection = database_at(&url).connect().await.unwrap();
    let behind = connection
        .transaction(async |tx| -> Result<JobId, BoxError> {
            let call = call!(work(0)).ordering_key("a");
            let behind = client.enqueue_in(tx, call).await?;
            until_state(client, head, JobState::Completed).await;
            // Longer than the board looks for it by itself.
            tokio::time::sleep(Duration::from_millis(700)).await;
            Ok(behind)
        })
        .await
        .unwrap();
    until_state(client, behind, JobState::Completed).await;
}

#[tokio::test]
async fn a_key_that_cannot_be_stored_is_refused_with_its_rule() {
    let board = board(&Acts::default()).await;
    let long = "k".repeat(201);
    for (key, rule) in [
        ("", "is empty"),
        (&*long, "at most 200"),
        ("a b", "white space"),
    ] {
        let call: Call = call!(work(0)).ordering_key(key.to_owned());
        let error = board.client().enqueue(call).await.unwrap_err();
        assert!(error.is_refused_call(), "{error:?}");
        assert!(error.to_string().contains("ordering key"), "{error}");
        assert!(error.to_string().contains(rule), "{error}");
    }
}
