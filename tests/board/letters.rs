//! Dead letters in numbers: groups that are alike, pages, choices that are counted before they are carried
//! out, and the news of a burial.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use callboard::board::Builder;
use callboard::job::{BuryReason, ErrorFingerprint, Failure, FailureKind};
use callboard::queue::{Attempted, Buried};
use callboard::stage::{StageInfo, SubscribeOptions};
use callboard::store::DeadLetter;
use callboard::{Board, Client, DeadFilter, Job, JobId, JobState, Queue, call, functions};
use futures_util::StreamExt;
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};

use crate::support::script::{Script, Step};
use crate::support::tree::{kill, restarts};
use crate::support::{board, board_at, eventually, server, until_state};

async fn refuse(user: u64) -> Result<(), String> {
    Err(format!("user {user} has no address"))
}

async fn bury(client: &Client, text: &str) -> JobId {
    let script = Script(vec![Step::Bury(text.into()), Step::Complete]);
    let id = client.enqueue(script).await.unwrap();
    until_state(client, id, JobState::Dead).await;
    id
}

async fn bury_all<const N: usize>(client: &Client, texts: [&str; N]) -> [JobId; N] {
    let mut ids = Vec::new();
    for text in texts {
        ids.push(bury(client, text).await);
    }
    ids.try_into().unwrap()
}

fn queues(builder: Builder) -> Builder {
    builder
        .queue(Queue::new("default").workers(2))
        .job::<Script>()
        .functions(functions![refuse])
}

fn ids(letters: &[DeadLetter]) -> Vec<JobId> {
    letters.iter().map(|letter| letter.id).collect()
}

async fn dead(client: &Client, filter: DeadFilter) -> Vec<JobId> {
    ids(&client.dead_letters(filter, 100).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_grouped_by_kind_and_error_whatever_differs_in_its_text() {
    let board = board(queues).await;
    let client = board.client();
    let script = [
        "user 17 has no address",
        "user 4711 has no address",
        "no route to 10.0.0.1:25",
        "user 3 has no address",
    ];
    let [first, _, other, last] = bury_all(client, script).await;
    let call = call!(refuse(5)).max_attempts(1);
    let function = client.enqueue(call).await.unwrap();
    until_state(client, function, JobState::Dead).await;

    let groups = client.dead_groups(DeadFilter::all(), 9).await.unwrap();
    let told: Vec<_> = groups
        .iter()
        .map(|group| (group.letters, group.sample, group.sample_message.as_str()))
        .collect();
    let expected = [
        (3, last, "user 3 has no address"),
        (1, function, "user 5 has no address"),
        (1, other, "no route to 10.0.0.1:25"),
    ];
    assert_eq!(told, expected);
    assert_eq!(groups[0].kind, Script::KIND);
    assert_eq!(groups[0].sample_failure, "discarded");
    let failure = Failure::new(FailureKind::Discarded, "user 99 has no address");
    assert_eq!(groups[0].fingerprint, failure.fingerprint());

    let letters = client.dead_letters(DeadFilter::all().group(&groups[0]), 9);
    let letters = letters.await.unwrap();
    assert_eq!(letters.len(), 3);
    assert_eq!(letters[2].id, first);
    assert_eq!(letters[2].buried_at, groups[0].first_buried_at);
    assert_eq!(letters[0].buried_at, groups[0].last_buried_at);
    assert_eq!(letters[0].error_fingerprint, groups[0].fingerprint);
    let no_route = DeadFilter::all().error(groups[2].fingerprint);
    assert_eq!(dead(client, no_route).await, [other]);
    let largest = client.dead_groups(DeadFilter::all(), 1).await.unwrap();
    assert_eq!(largest, groups[..1]);
    let of_function = DeadFilter::all().ids([function]);
    let found = client.dead_groups(of_function, 9).await.unwrap();
    assert_eq!(found, groups[1..2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_every_letter_once_while_others_are_buried_and_requeued() {
    let board = board(queues).await;
    let client = board.client();
    let [a, b, c, d] = bury_all(client, ["a", "b", "c", "d"]).await;
    let first = client.dead_letters(DeadFilter::all(), 2).await.unwrap();
    assert_eq!(ids(&first), [d, c]);
    let e = bury(client, "e").await;
    assert!(client.requeue(c).await.unwrap());
    let page = client.dead_letters_after(&first[1], DeadFilter::all(), 2);
    let page = page.await.unwrap();
    assert_eq!(ids(&page), [b, a]);
    let end = client.dead_letters_after(&page[1], DeadFilter::all(), 2);
    assert_eq!(ids(&end.await.unwrap()), []);
    until_state(client, c, JobState::Completed).await;
    assert_eq!(dead(client, DeadFilter::all()).await, [e, d, b, a]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_letter_tells_everything() {
    let board = board(queues).await;
    let client = board.client();
    let beside = bury(client, "the same trouble").await;
    let script = Script(vec![Step::Fail("first".into()), Step::Bury("then".into())]);
    let call = script.call().priority(-2).ordering_key("tenant-1");
    let call = call.limit_key("account-7");
    let id = client.enqueue(call.max_attempts(7)).await.unwrap();
    until_state(client, id, JobState::Dead).await;
    let letter = client.dead_letter(id).await.unwrap().unwrap();
    assert_eq!((letter.priority, letter.max_attempts), (-2, Some(7)));
    assert_eq!(letter.ordering_key.as_deref(), Some("tenant-1"));
    assert_eq!(letter.limit_key.as_deref(), Some("account-7"));
    assert_eq!(letter.node, Some(board.node()));
    assert!(letter.enqueued_at <= letter.attempted_at.unwrap());
    assert!(letter.attempted_at.unwrap() <= letter.buried_at);
    assert_eq!(letter.errors.len(), 2);
    // Its own errors are told above.
    let recent = letter.diagnostics["recent_errors"].as_array().unwrap();
    assert_eq!(recent.len(), 1, "{recent:?}");
    assert_eq!(recent[0]["job"], json!(beside.as_i64()));
    assert_eq!(recent[0]["message"], "the same trouble");
    assert!(
        client
            .dead_letter(JobId::from_i64(4711))
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choice_counts_first_and_changes_what_it_counted_and_nothing_else() {
    let board = board(queues).await;
    let client = board.client();
    let ids = bury_all(client, ["a 1", "a 2", "a 3"]).await;
    let mut chosen = client.choose_dead(DeadFilter::all()).await.unwrap();
    assert_eq!((chosen.count(), chosen.done()), (3, 0));
    assert_eq!(dead(client, DeadFilter::all()).await.len(), 3);
    let late = bury(client, "a 4").await;

    assert_eq!(chosen.requeue_next(2).await.unwrap(), 2);
    assert_eq!(chosen.done(), 2);
    until_state(client, ids[0], JobState::Completed).await;
    assert_eq!(dead(client, DeadFilter::all()).await, [late, ids[2]]);
    assert_eq!(chosen.requeue_next(2).await.unwrap(), 1);
    assert_eq!(chosen.requeue_next(2).await.unwrap(), 0);
    assert_eq!(dead(client, DeadFilter::all()).await, [late]);

    // What was left half-way is what a new choice finds.
    let rest = client.choose_dead(DeadFilter::all()).await.unwrap();
    assert_eq!(rest.count(), 1);
    assert_eq!(rest.requeue().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_fail_again_are_requeued_once() {
    let board = board(queues).await;
    let client = board.client();
    let calls = (0..3).map(|user| call!(refuse(user)).max_attempts(1));
    let jobs = client.enqueue_many(calls).await.unwrap();
    for id in &jobs {
        until_state(client, *id, JobState::Dead).await;
    }
    let mut chosen = client.choose_dead(DeadFilter::all()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(chosen.requeue_next(1).await.unwrap(), 1);
        eventually("it is dead again", || async {
            (dead(client, DeadFilter::all()).await.len() == 3).then_some(())
        })
        .await;
    }
    assert_eq!(chosen.requeue_next(1).await.unwrap(), 0);
    for letter in client.dead_letters(DeadFilter::all(), 9).await.unwrap() {
        assert_eq!(letter.attempt.as_i32(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_deleted_one_by_one_by_group_and_by_age() {
    let url = server::fresh_database().await;
    let board = board_at(&url, queues).await;
    let client = board.client();
    let texts = ["a 1", "a 2", "b", "c", "d"];
    let [a1, a2, b, c, d] = bury_all(client, texts).await;
    assert!(client.delete_dead(c).await.unwrap());
    assert!(!client.delete_dead(c).await.unwrap());
    assert!(client.job(c).await.unwrap().is_none());

    let groups = client.dead_groups(DeadFilter::all(), 1).await.unwrap();
    let group = DeadFilter::all().group(&groups[0]);
    let mut chosen = client.choose_dead(group).await.unwrap();
    assert_eq!(chosen.count(), 2);
    assert_eq!(chosen.delete_next(1).await.unwrap(), 1);
    assert_eq!(dead(client, DeadFilter::all()).await, [d, b, a2]);
    assert_eq!(chosen.delete().await.unwrap(), 2);
    assert!(client.job(a1).await.unwrap().is_none());

    let age = format!(
        "update callboard.dead_letters set buried_at = buried_at - interval '31 days' where id = {}",
        b.as_i64()
    );
    server::sql(&url, &age).await;
    let month = Duration::from_secs(30 * 24 * 60 * 60);
    let old = DeadFilter::all().older_than(month);
    let ancient = DeadFilter::all().older_than(Duration::MAX);
    assert_eq!(client.delete_all_dead(ancient).await.unwrap(), 0);
    assert_eq!(client.delete_all_dead(old).await.unwrap(), 1);
    assert_eq!(dead(client, DeadFilter::all()).await, [d]);
}

/// A callback, and what it was called with.
fn told() -> (impl Fn(Buried) + Clone, mpsc::UnboundedReceiver<Buried>) {
    let (sender, told) = mpsc::unbounded_channel();
    let tell = move |buried| {
        let _test_is_over = sender.send(buried);
    };
    (tell, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_is_told_of_every_burial_with_reason_and_fingerprint() {
    let (tell, mut told) = told();
    let on_buried = move |buried| {
        tell(buried);
        async {}
    };
    let board = board(|b| queues(b).on_buried(on_buried)).await;
    let client = board.client();
    let completed = client.enqueue(Script(vec![Step::Complete])).await.unwrap();
    until_state(client, completed, JobState::Completed).await;
    let id = bury(client, "user 17 is gone").await;
    let buried = told.recv().await.unwrap();
    assert_eq!((buried.job, buried.attempt.as_i32()), (id, 1));
    assert_eq!((&*buried.kind, &*buried.queue), (Script::KIND, "default"));
    assert_eq!(buried.reason, BuryReason::Discarded);
    assert_eq!(buried.failure.message, "user 17 is gone");
    let letter = client.dead_letter(id).await.unwrap().unwrap();
    assert_eq!(buried.error_fingerprint, letter.error_fingerprint);
    assert!(buried.worker.is_some() && buried.ran.is_some());
    let exhausted = call!(refuse(5)).max_attempts(1);
    let exhausted = client.enqueue(exhausted).await.unwrap();
    let buried = told.recv().await.unwrap();
    assert_eq!(
        (buried.job, buried.reason),
        (exhausted, BuryReason::Exhausted)
    );
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_hangs_or_panics_or_dies_slows_nobody_and_takes_nobody_along() {
    let (tell, mut told) = told();
    let gate = Arc::new(Semaphore::new(0));
    let of_call = Arc::clone(&gate);
    let on_buried = move |buried: Buried| {
        let (gate, tell) = (Arc::clone(&of_call), tell.clone());
        assert!(buried.failure.message != "panics at once", "as planned");
        async move {
            let text = buried.failure.message.clone();
            tell(buried);
            match &*text {
                "hangs" => gate.acquire().await.unwrap().forget(),
                "panics" => panic!("as planned"),
                _ => {}
            }
        }
    };
    let board = board(|b| queues(b).on_buried(on_buried)).await;
    let client = board.client();
    bury(client, "hangs").await;
    assert_eq!(told.recv().await.unwrap().failure.message, "hangs");
    // While that call hangs, answers are written as ever.
    let rest = ["panics", "panics at once", "fine"];
    bury_all(client, rest).await;
    assert!(told.try_recv().is_err(), "one at a time");
    gate.add_permits(1);
    assert_eq!(told.recv().await.unwrap().failure.message, "panics");
    assert_eq!(told.recv().await.unwrap().failure.message, "fine");
    assert_eq!(restarts(&board, &["mourner"]), 0);

    bury(client, "hangs").await;
    assert_eq!(told.recv().await.unwrap().failure.message, "hangs");
    bury(client, "waits").await;
    kill(&board, &["mourner"]).await;
    assert_eq!(told.recv().await.unwrap().failure.message, "waits");
    let ends: HashSet<JobId> = dead(client, DeadFilter::all()).await.into_iter().collect();
    assert_eq!(ends.len(), 6, "the letters are there whoever was told");
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_tells_of_the_last_burials() {
    let (tell, mut told) = told();
    let on_buried = move |buried| {
        tell(buried);
        async { tokio::time::sleep(Duration::from_millis(1)).await }
    };
    let board = board(|b| queues(b).on_buried(on_buried)).await;
    let calls = (0..20).map(|user| call!(refuse(user)).max_attempts(1));
    let jobs = board.client().enqueue_many(calls).await.unwrap();
    eventually("all have run", || async {
        (board.counts().buried == 20).then_some(())
    })
    .await;
    board.shutdown().await.unwrap();
    let mut of_jobs = HashSet::new();
    while let Ok(buried) = told.try_recv() {
        of_jobs.insert(buried.job);
    }
    assert_eq!(of_jobs, HashSet::from_iter(jobs));
}

/// A job under which a third process has just died.
async fn poison(board: &Board, url: &str) -> JobId {
    let later = Script(vec![Step::Complete]).call();
    let later = later.run_in(Duration::from_secs(3600));
    let id = board.client().enqueue(later).await.unwrap();
    let dies = format!(
        "begin; insert into callboard.nodes (id, lease_until, condemned_at, name, version, queues, kinds) \
         values (4711, now(), now(), 'gone:1', '0', '{{}}', '{{}}'); \
         update callboard.jobs set state = 'executing', is_ready = true, node = 4711, attempt = 3, deaths = 2, \
                due_at = null \
         where id = {}; commit",
        id.as_i64()
    );
    server::sql(url, &dies).await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_job_is_told_too_and_has_its_group() {
    let url = server::fresh_database().await;
    let (tell, mut told) = told();
    let on_buried = move |buried| {
        tell(buried);
        async {}
    };
    let board = board_at(&url, |b| queues(b).on_buried(on_buried)).await;
    let before = Script(vec![Step::Fail("as ever".into()), Step::Complete]);
    let before = board.client().enqueue(before).await.unwrap();
    until_state(board.client(), before, JobState::Completed).await;
    let id = poison(&board, &url).await;
    let buried = told.recv().await.unwrap();
    assert_eq!((buried.job, buried.attempt.as_i32()), (id, 3));
    assert_eq!(buried.reason, BuryReason::Quarantined);
    assert_eq!(buried.failure.kind, FailureKind::ProcessDied);
    assert_eq!((buried.worker, buried.ran), (None, None));
    let letter = board.client().dead_letter(id).await.unwrap().unwrap();
    assert_eq!(letter.errors[0]["message"], buried.failure.message);
    assert_eq!(letter.error_fingerprint, buried.error_fingerprint);
    assert_ne!(letter.error_fingerprint, ErrorFingerprint::UNKNOWN);
    let recent = &letter.diagnostics["recent_errors"][0];
    assert_eq!(recent["message"], "as ever", "of the node that found out");
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_of_attempts_hear_of_burials_and_of_quarantined_jobs() {
    let url = server::fresh_database().await;
    let board = board_at(&url, queues).await;
    let options = SubscribeOptions::new().selector(|a: &Attempted| a.buried().is_some());
    let mut heard = board.attempts().stream(options).unwrap();
    eventually("it follows", || async {
        let snapshot = board.supervisor().snapshot();
        let stage = StageInfo::of(&snapshot.find(&["attempts"])?.info)?;
        (stage.downstream.len() == 1).then_some(())
    })
    .await;
    let id = bury(board.client(), "gone").await;
    let buried = heard.next().await.unwrap().buried().unwrap();
    assert_eq!((buried.job, buried.reason), (id, BuryReason::Discarded));
    let id = poison(&board, &url).await;
    let buried = heard.next().await.unwrap().buried().unwrap();
    assert_eq!((buried.job, buried.reason), (id, BuryReason::Quarantined));
    board.shutdown().await.unwrap();
}
