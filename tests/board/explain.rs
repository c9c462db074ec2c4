//! Why does this job not run? One question, one sentence.

use std::time::Duration;

use callboard::client::{Explanation, Reason};
use callboard::job::{Backoff, BuryReason};
use callboard::store::QueueMode;
use callboard::{Board, Call, Client, JobId, JobState, Queue, call};

use crate::support::acts::{hold, note, open_gate, stage, until_ran};
use crate::support::child::Plan;
use crate::support::script::{Script, Step};
use crate::support::{board_at, database_at, until_state};

const HOUR: Duration = Duration::from_secs(3600);

async fn explain(client: &Client, job: JobId) -> Explanation {
    client.explain(job).await.unwrap()
}

/// The one reason, and the sentence.
async fn only(client: &Client, job: JobId) -> (Reason, String) {
    let explanation = explain(client, job).await;
    let sentence = explanation.to_string();
    assert!(sentence.starts_with(&format!("job {job}")), "{sentence}");
    let [reason] = &explanation.reasons[..] else {
        panic!("more than one reason: {sentence}");
    };
    (reason.clone(), sentence)
}

fn says(sentence: &str, words: &[&str]) {
    for word in words {
        assert!(sentence.contains(word), "no {word:?} in {sentence:?}");
    }
}

async fn enqueued(client: &Client, call: impl Into<Call>) -> JobId {
    client.enqueue(call).await.unwrap()
}

/// A board with the kind `test.script` and no other, in the queue `default`.
async fn scripts(url: &str) -> Board {
    board_at(url, |board| {
        board.queue(Queue::new("default")).job::<Script>()
    })
    .await
}

/// A node that is not found dead because the machine is busy.
fn plan(url: &str) -> Plan {
    Plan {
        lease: Duration::from_secs(60),
        ..Plan::new(url)
    }
}

fn script<const N: usize>(steps: [Step; N]) -> Call {
    Call::from(Script(steps.into()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_over_or_never_was_says_so() {
    let (url, _rows) = stage().await;
    let board = scripts(&url).await;
    let client = board.client();
    let (reason, sentence) = only(client, JobId::from_i64(4711)).await;
    assert_eq!(reason, Reason::NoSuchJob);
    says(&sentence, &["job 4711: there never was such a job"]);

    let job = enqueued(client, script([Step::Complete])).await;
    let info = until_state(client, job, JobState::Completed).await;
    let (reason, sentence) = only(client, job).await;
    let at = info.finished_at.unwrap();
    assert_eq!(reason, Reason::Completed { at });
    says(&sentence, &["(\"test.script\"): it completed at 20", "UTC"]);

    let job = enqueued(client, script([Step::Cancel("no".into())])).await;
    until_state(client, job, JobState::Cancelled).await;
    let (reason, _) = only(client, job).await;
    assert!(matches!(reason, Reason::Cancelled { .. }), "{reason:?}");

    let job = enqueued(client, script([Step::Bury("the mailbox is gone".into())])).await;
    until_state(client, job, JobState::Dead).await;
    let (reason, sentence) = only(client, job).await;
    let Reason::Dead { why, error, .. } = reason else {
        panic!("{reason:?}");
    };
    assert_eq!(why, BuryReason::Discarded);
    assert!(error.unwrap().contains("the mailbox is gone"));
    says(&sentence, &["discarded", "the mailbox is gone", "requeue"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_for_its_time_says_until_when_and_why() {
    let (url, rows) = stage().await;
    let board = scripts(&url).await;
    let client = board.client();
    let job = enqueued(client, script([Step::Complete]).run_in(HOUR)).await;
    let until = client.job(job).await.unwrap().unwrap().due_at.unwrap();
    let (reason, sentence) = only(client, job).await;
    assert_eq!(reason, Reason::NotDue { until });
    says(&sentence, &["not due until 20"]);

    let fails = script([Step::Fail("no route to host".into())]);
    let fails = fails.backoff(Backoff::constant(HOUR));
    let job = enqueued(client, fails).await;
    until_state(client, job, JobState::Retryable).await;
    let (reason, sentence) = only(client, job).await;
    let Reason::Retrying {
        failures, error, ..
    } = reason
    else {
        panic!("{reason:?}");
    };
    assert_eq!((failures, error.as_deref()), (1, Some("no route to host")));
    says(
        &sentence,
        &["failed 1 time,", "no route to host", "again at 20"],
    );

    // With nobody there to promote it.
    board.shutdown().await.unwrap();
    let due = "update callboard.jobs set due_at = clock_timestamp() - interval '1 minute'";
    rows.execute(due, &[]).await.unwrap();
    let client = Client::connect(database_at(&url)).await.unwrap();
    let explanation = explain(&client, job).await;
    assert!(matches!(explanation.reasons[0], Reason::Due { .. }));
    says(&explanation.to_string(), &["due since", "no live node"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_executes_says_where_and_since_when() {
    let (url, rows) = stage().await;
    let board = plan(&url).start().await;
    let client = board.client();
    let job = enqueued(client, call!(hold())).await;
    until_ran(&rows, 1).await;
    let (reason, sentence) = only(client, job).await;
    let Reason::Executing {
        node,
        is_node_live,
        is_cancelling,
        attempt,
        ..
    } = reason
    else {
        panic!("{reason:?}");
    };
    assert_eq!((node, attempt.as_i32()), (board.node(), 1));
    assert!(is_node_live && !is_cancelling);
    let name = format!(":{}", std::process::id());
    says(
        &sentence,
        &["executes on the node", &name, "since 20", "attempt 1"],
    );
    open_gate(&rows, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halted_queue_explains_its_jobs() {
    let (url, _rows) = stage().await;
    let board = plan(&url).start().await;
    let client = board.client();
    let queue = client.queue("default");
    queue
        .stop()
        .because("the disk is full")
        .by("ann")
        .await
        .unwrap();
    board.queue("default").pause().await.unwrap();
    let job = enqueued(client, call!(note())).await;
    let explanation = explain(client, job).await;
    let [
        Reason::QueueHalted { standstill, .. },
        Reason::NodesHalted { nodes, .. },
    ] = &explanation.reasons[..]
    else {
        panic!("{explanation}");
    };
    assert_eq!((standstill.mode, *nodes), (QueueMode::Stopped, 1));
    let sentence = explanation.to_string();
    says(
        &sentence,
        &[
            "the queue \"default\" is stopped since",
            "by ann: the disk is full",
        ],
    );
    says(
        &sentence,
        &["; and the queue \"default\" is paused or stopped on each of the 1"],
    );
    queue.resume().await.unwrap();
    let (reason, _) = only(client, job).await;
    assert!(matches!(reason, Reason::NodesHalted { nodes: 1, .. }));
    board.queue("default").resume().await.unwrap();
    until_state(client, job, JobState::Completed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_nobody_can_run_says_what_is_missing() {
    let (url, _rows) = stage().await;
    let board = scripts(&url).await;
    let client = board.client();
    let job = enqueued(client, script([Step::Complete]).queue("mial")).await;
    let (reason, sentence) = only(client, job).await;
    assert_eq!(
        reason,
        Reason::QueueNotServed {
            queue: "mial".into()
        }
    );
    says(&sentence, &["no live node serves the queue \"mial\""]);

    let job = enqueued(client, call!(note())).await;
    let (reason, sentence) = only(client, job).await;
    assert!(
        matches!(reason, Reason::KindNotServed { nodes: 1, .. }),
        "{reason:?}"
    );
    says(&sentence, &["none of the 1 live nodes", "acts::note"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_in_line_says_who_is_before_it() {
    let (url, rows) = stage().await;
    let plan = Plan {
        workers: 1,
        ..plan(&url)
    };
    let board = plan.start().await;
    let client = board.client();
    let running = enqueued(client, call!(hold()).ordering_key("ann")).await;
    until_ran(&rows, 1).await;
    let behind = enqueued(client, call!(note()).ordering_key("ann")).await;
    let first = enqueued(client, call!(note())).await;
    let second = enqueued(client, call!(note())).await;
    let urgent = enqueued(client, call!(note()).priority(-5)).await;

    let (reason, sentence) = only(client, behind).await;
    let expected = Reason::Behind {
        ordering_key: "ann".into(),
        job: running,
        state: JobState::Executing,
    };
    assert_eq!(reason, expected);
    says(
        &sentence,
        &[&format!("job {running}, which is executing"), "\"ann\""],
    );
    let in_line = |ahead| Reason::InLine {
        queue: "default".into(),
        ahead,
    };
    let (reason, sentence) = only(client, urgent).await;
    assert_eq!(reason, in_line(0));
    says(&sentence, &["the next of the queue \"default\""]);
    assert_eq!(only(client, first).await.0, in_line(1));
    let (reason, sentence) = only(client, second).await;
    assert_eq!(reason, in_line(2));
    says(&sentence, &["2 jobs are before it"]);

    let suspect = "update callboard.jobs set deaths = 1 where id = $1";
    rows.execute(suspect, &[&second.as_i64()]).await.unwrap();
    let explanation = explain(client, second).await;
    assert_eq!(explanation.reasons[0], Reason::Suspect { deaths: 1 });
    open_gate(&rows, 1).await;
    for job in [running, behind, first, second, urgent] {
        until_state(client, job, JobState::Completed).await;
    }
}
