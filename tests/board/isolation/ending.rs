//! What comes back from an isolate, and which one is used.

use std::collections::HashSet;

use callboard::Job;
use callboard::store::Cancelled;
use rustix::process::Pid;
use serde_json::{Value, json};

use super::*;
use crate::support::script::Step;
use crate::support::until_confirmed;

async fn scripted() -> Isolating {
    let script = Handler::of::<Script>().isolated(isolation());
    Isolating::over(|b| b.queue(queue()).handler(script)).await
}

impl Isolating {
    /// Runs jobs that tell their process, one after the other.
    async fn processes(&self, jobs: usize) -> Vec<Value> {
        let mut pids = Vec::with_capacity(jobs);
        for _ in 0..jobs {
            let id = self.enqueue(call!(pid())).await;
            let job = self.ends(id, JobState::Completed).await;
            pids.push(job.output.expect("it tells its process"));
        }
        pids
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_are_the_same_as_in_place() {
    let node = scripted().await;
    let enqueue = async |steps: &[Step]| {
        let call = Script(steps.to_vec()).call().max_attempts(3);
        node.enqueue(call).await
    };
    let fail = Step::Fail("out of ink".into());
    let snooze = Step::Snooze(Duration::from_millis(100));
    let kept = enqueue(&[fail, snooze, Step::CompleteWith("kept".into())]).await;
    let cancelled = enqueue(&[Step::Cancel("not needed".into())]).await;
    let buried = enqueue(&[Step::Bury("never".into())]).await;

    let kept = node.ends(kept, JobState::Completed).await;
    assert_eq!(
        (kept.output, kept.attempt.as_i32()),
        (Some(json!("kept")), 3)
    );
    assert_eq!(kept.errors.len(), 1);
    let failure = (&kept.errors[0]["kind"], &kept.errors[0]["message"]);
    assert_eq!(failure, (&json!("error"), &json!("out of ink")));
    let cancelled = node.ends(cancelled, JobState::Cancelled).await;
    assert_eq!(cancelled.errors[0]["message"], "not needed");
    let buried = node.ends(buried, JobState::Dead).await;
    assert_eq!(buried.reason, Some(callboard::job::BuryReason::Discarded));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_keeps_its_message_place_and_backtrace_and_costs_no_worker() {
    let node = scripted().await;
    let call = Script(vec![Step::Panic("no paper".into())]).call();
    let id = node.enqueue(call.max_attempts(1)).await;
    let job = node.ends(id, JobState::Dead).await;
    let error = &job.errors[0];
    assert_eq!(error["kind"], "panic");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.starts_with("panicked at tests/board/support/script.rs:"),
        "{message}"
    );
    assert!(message.ends_with(": no paper"), "{message}");
    let backtrace = error["backtrace"].as_str().unwrap();
    assert!(backtrace.contains("Script"), "{backtrace}");
    assert!(
        !backtrace.contains("callboard::handler::isolation"),
        "{backtrace}"
    );
    assert_eq!(node.board.counts().panicked, 0, "no worker was taken down");
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_that_do_not_decode_are_buried() {
    let node = Isolating::with(functions![pid]).await;
    let kind = call!(pid()).kind().to_owned();
    let call = Call::named(kind, &("one too many".to_owned(),));
    let id = node.enqueue(call).await;
    let job = node.ends(id, JobState::Dead).await;
    assert_eq!(job.reason, Some(callboard::job::BuryReason::Undecodable));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_used_again_until_a_job_panics_in_it() {
    let counting = function!(counts).isolated(isolation());
    let node = Isolating::over(|b| b.queue(queue().workers(1)).handler(counting)).await;
    let count = async |most: u32| {
        let id = node.enqueue(call!(counts(most))).await;
        node.ends(id, JobState::Completed).await.output.unwrap()
    };
    for n in 1..=10 {
        assert_eq!(count(10).await, n);
    }
    node.fails(call!(counts(10)), "panic").await;
    assert_eq!(count(10).await, 1, "what the panic has left is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_died_while_it_was_idle_costs_no_attempt() {
    let node = Isolating::over(|b| {
        let pid = function!(pid).isolated(isolation());
        b.queue(queue().workers(1)).handler(pid)
    })
    .await;
    let first = node.processes(1).await[0].as_i64().unwrap() as i32;
    kill_process(Pid::from_raw(first).unwrap(), Signal::KILL).unwrap();
    until_gone(&[first]).await;
    let id = node.enqueue(call!(pid())).await;
    let job = node.ends(id, JobState::Completed).await;
    assert_eq!((job.attempt.as_i32(), job.errors.len()), (1, 0), "{job:?}");
    assert_ne!(job.output, Some(json!(first)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_ends_after_as_many_jobs_as_it_may_run() {
    let worn = function!(pid).isolated(isolation().jobs_per_process(3));
    let node = Isolating::over(|b| b.queue(queue().workers(1)).handler(worn)).await;
    let pids = node.processes(7).await;
    assert_eq!(pids[0], pids[2]);
    assert_eq!(pids[3], pids[5]);
    let different: HashSet<_> = pids.iter().map(Value::to_string).collect();
    assert_eq!(different.len(), 3, "{pids:?}");
    let ended = pids[0].as_i64().unwrap() as i32;
    until_gone(&[ended]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_jobs_ends_after_a_while() {
    let short = function!(pid).isolated(isolation().idle_for(Duration::ZERO));
    let node = Isolating::over(|b| b.queue(queue()).handler(short)).await;
    let pids = node.processes(1).await;
    until_gone(&[pids[0].as_i64().unwrap() as i32]).await;
    assert_ne!(node.processes(1).await, pids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_attempt_is_told_and_one_that_does_not_listen_is_killed() {
    let node = Isolating::with(functions![listens, is_deaf]).await;
    let polite = node.enqueue(call!(listens(node.url.clone()))).await;
    let deaf = node.enqueue(call!(is_deaf(node.url.clone()))).await;
    node.begun(2).await;
    for (id, message) in [
        (polite, "told to stop: Some(Requested)"),
        (deaf, "did not stop within the grace and was cut off"),
    ] {
        let asked = node.board.client().cancel(id).await.unwrap();
        assert_eq!(asked, Cancelled::Asked);
        let job = node.ends(id, JobState::Cancelled).await;
        assert_eq!(job.errors[0]["message"], message);
    }
    let deaf = format!("select pid::bigint from ran where job = {deaf}");
    until_gone(&[number(&node.rows, &deaf).await as i32]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_meets_the_same_facts_as_in_place() {
    let node = Isolating::with(functions![meets]).await;
    let call = quickly(call!(meets())).time_limit(Duration::from_secs(100));
    let id = node.enqueue(call.max_attempts(1)).await;
    let job = node.ends(id, JobState::Completed).await;
    let met = job.output.unwrap();
    assert_eq!((&met["job"], &met["attempt"]), (&json!(id), &json!(1)));
    assert_eq!((&met["failures"], &met["last"]), (&json!(0), &json!(true)));
    assert_eq!(
        (&met["queue"], &met["kind"]),
        (&json!("default"), &json!(job.kind))
    );
    assert!(
        met["worker"].as_str().unwrap().starts_with("worker-"),
        "{met}"
    );
    assert_eq!(met["enqueued_at"], json!(job.enqueued_at));
    assert_eq!(met["node"], node.board.node().as_i64());
    assert!(
        (90..100).contains(&met["time_left"].as_i64().unwrap()),
        "{met}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_isolate_does_not_have_is_an_error_that_says_so() {
    let node = Isolating::with(functions![asks_state, asks_client]).await;
    let message = node.fails(call!(asks_state()), "error").await;
    assert!(message.contains("builds none for isolates"), "{message}");
    let message = node.fails(call!(asks_client()), "error").await;
    assert!(
        message.contains("make one with Client::connect"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn effect_and_completion_of_an_isolated_handler_commit_together() {
    let node = Isolating::with(functions![completes]).await;
    let id = node.enqueue(call!(completes(node.url.clone()))).await;
    node.ends(id, JobState::Completed).await;
    assert_eq!(number(&node.rows, "select count(*) from gate").await, 1);
    until_confirmed(&node.board).await;
    let counts = node.board.counts();
    assert_eq!((counts.completed, counts.refused), (1, 0), "{counts:?}");
}
