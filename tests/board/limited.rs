//! Limits of queues over all nodes: how many run, how many start, and whose turn it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use callboard::job::{Limits, NodeId};
use callboard::{Board, BoxError, Call, Client, Context, JobId, JobState, Queue, call, functions};
use tokio::sync::Semaphore;

use crate::support::{
    board_at, database_at, eventually, server, sharing, sql, sql::number, until_confirmed,
    until_state,
};

const HOUR: Duration = Duration::from_secs(3600);

/// What has started, in order, and how many run at once.
#[derive(Debug, Clone)]
struct Scene {
    seen: Arc<Mutex<Seen>>,
    gate: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Seen {
    started: Vec<String>,
    running: HashMap<String, u32>,
    most: HashMap<String, u32>,
}

impl Scene {
    fn new() -> Self {
        Self {
            seen: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    fn open() -> Self {
        let scene = Self::new();
        scene.gate.close();
        scene
    }

    fn started(&self) -> Vec<String> {
        self.seen.lock().unwrap().started.clone()
    }

    /// The most that ever ran at once, of a key or of `all`.
    fn most(&self, of: &str) -> u32 {
        self.seen.lock().unwrap().most.get(of).copied().unwrap_or(0)
    }

    async fn until_started(&self, jobs: usize) {
        eventually("so many have started", || async {
            (self.started().len() >= jobs).then_some(())
        })
        .await;
    }
}

/// Says that it runs, and waits at the gate.
async fn work(cx: &mut Context, key: String) -> Result<(), BoxError> {
    let scene = cx.state::<Scene>()?.clone();
    {
        let mut seen = scene.seen.lock().unwrap();
        seen.started.push(key.clone());
        for of in ["all", &key] {
            let running = seen.running.entry(of.to_owned()).or_default();
            *running += 1;
            let running = *running;
            let most = seen.most.entry(of.to_owned()).or_default();
            *most = running.max(*most);
        }
    }
    if let Ok(permit) = scene.gate.acquire().await {
        permit.forget();
    }
    // The other workers get their chance to begin too much.
    tokio::task::yield_now().await;
    let mut seen = scene.seen.lock().unwrap();
    for of in ["all", &key] {
        *seen.running.get_mut(of).unwrap() -= 1;
    }
    Ok(())
}

fn of(key: &str) -> Call {
    call!(work(key.to_owned())).limit_key(key.to_owned())
}

async fn board(url: &str, scene: &Scene, workers: u32) -> Board {
    board_at(url, |board| {
        let queue = Queue::new("default").workers(workers).look_ahead(0);
        board
            .queue(sharing(queue, scene))
            .functions(functions![work])
    })
    .await
}

/// A database with these limits and jobs, and no board yet.
async fn prepared(
    limits: Limits,
    calls: impl IntoIterator<Item = Call, IntoIter: Send>,
) -> (String, Vec<JobId>) {
    let url = server::fresh_database().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    client.queue("default").limit(limits).await.unwrap();
    let jobs = client.enqueue_many(calls).await.unwrap();
    (url, jobs)
}

async fn all_complete(board: &Board, jobs: &[JobId]) {
    for job in jobs {
        until_state(board.client(), *job, JobState::Completed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_run_at_once_than_a_limit_says_however_many_nodes_there_are() {
    let calls = (0..200).map(|_| call!(work("x".into())));
    let (url, jobs) = prepared(Limits::new().running(3), calls).await;
    let scene = Scene::open();
    let (first, second) = tokio::join!(board(&url, &scene, 5), board(&url, &scene, 5));
    all_complete(&first, &jobs).await;
    assert_eq!(scene.most("all"), 3);
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_used_up_by_what_runs_on_another_node() {
    let calls = (0..4).map(|_| call!(work("x".into())));
    let (url, jobs) = prepared(Limits::new().running(2), calls).await;
    let scene = Scene::new();
    let first = board(&url, &scene, 5).await;
    scene.until_started(2).await;
    let second = board(&url, &scene, 5).await;
    let rows = sql::connect(&url).await;
    let executing = "select count(*) from callboard.jobs where state = 'executing'";
    // Whatever wakes it up, it begins nothing.
    for _ in 0..10 {
        second.client().wake("default");
        assert_eq!(number(&rows, executing).await, 2);
    }
    assert_eq!(second.counts().claimed, 0);
    let why = second.client().explain(jobs[3]).await.unwrap().to_string();
    let expected = "no more than 2 jobs may run at once on all nodes, and so many do";
    assert!(why.contains(expected), "{why}");
    scene.gate.close();
    all_complete(&first, &jobs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_of_a_key_run_at_once_than_a_limit_says() {
    let keys = ["a", "b", "c"];
    let calls = (0..150).map(|n| of(keys[n % 3]));
    let (url, jobs) = prepared(Limits::new().running_per_key(2), calls).await;
    let scene = Scene::new();
    let (first, second) = tokio::join!(board(&url, &scene, 5), board(&url, &scene, 5));
    scene.until_started(6).await;
    scene.gate.close();
    all_complete(&first, &jobs).await;
    assert_eq!(keys.map(|key| scene.most(key)), [2, 2, 2]);
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_full_does_not_hold_up_the_others() {
    // More full keys than a claim considers at a time come before the one with room.
    let full = (0..300).flat_map(|n| [of(&format!("a{n}")), of(&format!("a{n}"))]);
    let (url, jobs) = prepared(Limits::new().running_per_key(1), full).await;
    let scene = Scene::new();
    let board = board(&url, &scene, 310).await;
    scene.until_started(300).await;
    let late = board.client().enqueue(of("z")).await.unwrap();
    scene.until_started(301).await;
    assert_eq!(scene.started().last().unwrap(), "z");
    scene.gate.close();
    all_complete(&board, &jobs).await;
    all_complete(&board, &[late]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_noisy_key_takes_its_turns_and_no_more() {
    let noisy = (0..100).map(|_| of("noisy"));
    let quiet = ["m", "z"]
        .into_iter()
        .flat_map(|key| (0..10).map(move |_| of(key)));
    let without = (0..10).map(|_| call!(work("none".into())));
    let calls = noisy.chain(quiet).chain(without);
    let (url, jobs) = prepared(Limits::new(), calls).await;
    let scene = Scene::open();
    let board = board(&url, &scene, 1).await;
    all_complete(&board, &jobs).await;
    // While all four have something waiting, each gets every fourth start.
    for (index, four) in scene.started()[..40].chunks(4).enumerate() {
        let mut four = four.to_vec();
        four.sort_unstable();
        assert_eq!(four, ["m", "noisy", "none", "z"], "turn {index}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_starts_as_many_in_its_turn_as_its_weight() {
    let calls = (0..60).map(|n| of(["heavy", "light"][n % 2]));
    let limits = Limits::new().weight("heavy", 3);
    let (url, jobs) = prepared(limits.clone(), calls).await;
    let scene = Scene::open();
    let board = board(&url, &scene, 1).await;
    all_complete(&board, &jobs).await;
    for four in scene.started()[..32].chunks(4) {
        assert_eq!(four, ["heavy", "heavy", "heavy", "light"]);
    }
    assert_eq!(
        board.client().queue("default").limits().await.unwrap(),
        Some(limits)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn within_a_key_the_most_urgent_and_oldest_come_first() {
    let calls = [
        call!(work("a-late".into())).limit_key("a").priority(5),
        call!(work("a-first".into())).limit_key("a").priority(-5),
        call!(work("a-second".into())).limit_key("a").priority(-5),
    ];
    let (url, jobs) = prepared(Limits::new(), calls).await;
    let scene = Scene::open();
    let board = board(&url, &scene, 1).await;
    all_complete(&board, &jobs).await;
    assert_eq!(scene.started(), ["a-first", "a-second", "a-late"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_start_in_a_period_than_a_limit_says_and_the_rest_waits_for_the_next() {
    let calls = (0..8).map(|_| call!(work("x".into())));
    let (url, jobs) = prepared(Limits::new().starts(5, HOUR), calls).await;
    let scene = Scene::open();
    let (first, second) = tokio::join!(board(&url, &scene, 4), board(&url, &scene, 4));
    all_complete(&first, &jobs[..5]).await;
    until_confirmed(&first).await;
    until_confirmed(&second).await;
    let rows = sql::connect(&url).await;
    let waiting = "select count(*) from callboard.jobs where state = 'available' and attempt = 0";
    assert_eq!(number(&rows, waiting).await, 3);

    // Two fifths of an hour pass: two more.
    let passed = "update callboard.limits set refilled_at = refilled_at - interval '24 minutes'";
    rows.execute(passed, &[]).await.unwrap();
    all_complete(&first, &jobs[5..7]).await;
    assert_eq!(number(&rows, waiting).await, 1);
    assert_eq!(scene.started().len(), 7);

    assert!(first.client().queue("default").unlimit().await.unwrap());
    all_complete(&first, &jobs).await;
    assert!(!first.client().queue("default").unlimit().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_starts_of_each_key_are_counted_by_themselves() {
    let calls = (0..12).map(|n| of(["a", "b"][n % 2]));
    let (url, jobs) = prepared(Limits::new().starts_per_key(2, HOUR), calls).await;
    let scene = Scene::open();
    let board = board(&url, &scene, 3).await;
    all_complete(&board, &jobs[..4]).await;
    let rows = sql::connect(&url).await;
    let tokens = "select count(*) from callboard.limit_keys where tokens < 1";
    assert_eq!(number(&rows, tokens).await, 2);
    // Half an hour for one of them.
    let passed = "update callboard.limit_keys set refilled_at = refilled_at - interval '30 minutes' where key = 'b'";
    rows.execute(passed, &[]).await.unwrap();
    all_complete(&board, &jobs[5..6]).await;
    let mut started = scene.started();
    started.sort_unstable();
    assert_eq!(started, ["a", "a", "b", "b", "b"]);
    let why = board.client().explain(jobs[10]).await.unwrap().to_string();
    let expected = "no more than 2 jobs of the key \"a\" may start within 3600s on all nodes, and the next may in";
    assert!(why.contains(expected), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_set_counts_what_runs_already() {
    let url = server::fresh_database().await;
    let scene = Scene::new();
    let board = board(&url, &scene, 6).await;
    let calls = (0..4).map(|_| call!(work("x".into())));
    let mut jobs = board.client().enqueue_many(calls).await.unwrap();
    scene.until_started(4).await;
    board
        .client()
        .queue("default")
        .limit(Limits::new().running(4))
        .await
        .unwrap();
    let more = (0..4).map(|_| call!(work("x".into())));
    jobs.extend(board.client().enqueue_many(more).await.unwrap());
    // Each that ends lets one begin.
    for started in 5..=8 {
        scene.gate.add_permits(1);
        scene.until_started(started).await;
        assert_eq!(scene.most("all"), 4);
    }
    scene.gate.close();
    all_complete(&board, &jobs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_node_that_died_give_their_room_back() {
    let (url, jobs) = prepared(Limits::new().running(1), [call!(work("x".into()))]).await;
    let rows = sql::connect(&url).await;
    // As a process that was killed leaves it: claimed by a node that is on no list.
    let orphaned =
        "update callboard.jobs set state = 'executing', node = 7, attempt = 1, is_limited = true";
    rows.execute(orphaned, &[]).await.unwrap();
    let scene = Scene::open();
    let board = board(&url, &scene, 2).await;
    let job = until_state(board.client(), jobs[0], JobState::Completed).await;
    assert_eq!((job.attempt.as_i32(), job.errors.len()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_to_the_dead_letters_and_back() {
    async fn give_up(_cx: &mut Context) -> callboard::Outcome {
        callboard::Outcome::Bury("no use".into())
    }
    let url = server::fresh_database().await;
    let board = board_at(&url, |board| {
        board
            .queue(Queue::new("default").workers(1))
            .functions(functions![give_up])
    })
    .await;
    let client = board.client();
    let call = call!(give_up()).limit_key("tenant-7");
    let job = client.enqueue(call).await.unwrap();
    let dead = until_state(client, job, JobState::Dead).await;
    assert_eq!(dead.limit_key.as_deref(), Some("tenant-7"));
    client
        .queue("default")
        .limit(Limits::new().starts(1, HOUR))
        .await
        .unwrap();
    client.enqueue(call!(give_up())).await.unwrap();
    assert!(client.requeue(job).await.unwrap());
    eventually("it is back", || async {
        let job = client.job(job).await.unwrap()?;
        (job.limit_key.as_deref() == Some("tenant-7")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn limits_out_of_range_are_refused_with_value_and_expectation() {
    let url = server::fresh_database().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let error = client
        .queue("mail")
        .limit(Limits::new().running(0))
        .await
        .unwrap_err();
    assert!(error.is_config());
    let said = error.to_string();
    assert!(
        said.contains("the queue \"mail\": Limits::running is 0; expected 1 to"),
        "{said}"
    );
    let error = client
        .queue("my mail")
        .limit(Limits::new())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("white space"), "{error}");
    let mail = client.queue("mail");
    assert_eq!(mail.limits().await.unwrap(), None);
    let error = mail
        .on(NodeId::from_i64(7))
        .limit(Limits::new())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("for all nodes together"),
        "{error}"
    );
    let error = client
        .enqueue(Call::named("k", &()).limit_key(""))
        .await
        .unwrap_err();
    assert!(error.is_refused_call());
    assert!(
        error.to_string().contains("limit key \"\" is empty"),
        "{error}"
    );
}
