//! Programs that cannot be isolated say so when their board starts.

use callboard::{Batch, BatchContext, BatchJob, Error, Outcome};
use serde::{Deserialize, Serialize};

use super::*;
use crate::support::{database, database_at, server};

async fn refused(handler: Handler) -> Error {
    let builder = Board::builder(database().await);
    let started = builder.queue(queue()).handler(handler).start().await;
    started.expect_err("the board must not start")
}

async fn refused_with(handler: Handler, parts: &[&str]) {
    let error = refused(handler).await;
    assert!(error.is_config(), "{error:?}");
    let text = error.to_string();
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}

#[test]
#[ignore = "a program that starts a board without a look at what it was started for"]
fn forgetful() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let board = runtime.block_on(Board::builder(database_at("postgres://nowhere")).start());
    panic!("an isolate must not go on like this: {board:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_forgets_its_isolates_is_told_so_at_its_start() {
    let forgetful = isolation_by("isolation::starting::forgetful");
    let error = refused(function!(pid).isolated(forgetful)).await;
    assert!(error.is_start(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("exit status: 70"), "{text}");
    assert!(text.contains("but its program starts a board"), "{text}");
}

#[test]
#[ignore = "a program that does something else"]
fn busy() {
    std::thread::sleep(Duration::from_secs(1_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_something_else_is_given_up() {
    let done = isolation_by("isolation::starting::there_is_no_such_test");
    let error = refused(function!(pid).isolated(done)).await;
    let text = error.to_string();
    assert!(text.contains("it ended before it was ready"), "{text}");
    assert!(
        text.contains("is callboard::isolation::run_if_child(…)"),
        "{text}"
    );
    let busy = isolation_by("isolation::starting::busy").start_within(Duration::from_millis(300));
    let error = refused(function!(pid).isolated(busy)).await;
    let text = error.to_string();
    assert!(text.contains("it was not ready within 300ms"), "{text}");
}

/// Where it stands whether the program `moody` works, for the isolates of this process.
fn mood(node: u32) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("callboard-mood-{node}"))
}

#[test]
#[ignore = "an isolate that cannot always start"]
fn moody() {
    if mood(std::os::unix::process::parent_id()).exists() {
        run_if_child(functions![pid]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_process_cannot_be_started_waits_at_no_cost_and_the_health_says_why() {
    let mood = mood(std::process::id());
    std::fs::write(&mood, "good").unwrap();
    // The one that the start has tried serves the first job.
    let moody = isolation_by("isolation::starting::moody").jobs_per_process(1);
    let moody = function!(pid).isolated(moody);
    let node = Isolating::over(|b| b.queue(queue()).handler(moody)).await;
    let first = node.enqueue(call!(pid())).await;
    node.ends(first, JobState::Completed).await;
    std::fs::remove_file(&mood).unwrap();
    let second = node.enqueue(call!(pid())).await;
    let waiting = node.ends(second, JobState::Scheduled).await;
    assert_eq!((waiting.failures, waiting.errors.len()), (Some(0), 0));
    let health = eventually("the health is troubled", || async {
        let health = node.board.health();
        (!health.is_working()).then(|| health.to_string())
    })
    .await;
    assert!(health.contains("isolates: degraded"), "{health}");
    assert!(health.contains("it ended before it was ready"), "{health}");
    std::fs::write(&mood, "good").unwrap();
    node.ends(second, JobState::Completed).await;
    eventually("the health is good", || async {
        node.board.health().is_working().then_some(())
    })
    .await;
    std::fs::remove_file(&mood).unwrap();
}

async fn unknown_there() {}

#[tokio::test(flavor = "multi_thread")]
async fn an_isolate_without_the_kinds_handler_is_refused() {
    let error = refused(function!(unknown_there).isolated(isolation())).await;
    let text = error.to_string();
    assert!(text.contains("it has no handler of"), "{text}");
    assert!(text.contains("unknown_there"), "{text}");
}

#[derive(Serialize, Deserialize)]
struct View;

impl BatchJob for View {
    const KIND: &'static str = "test.isolated_view";

    async fn perform_batch(
        _: &mut Batch<Self>,
        _: &mut BatchContext<'_>,
    ) -> Result<Outcome, BoxError> {
        Ok(Outcome::Done)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_job_cannot_be_isolated() {
    let parts = [
        "test.isolated_view",
        "is a BatchJob",
        "tests/board/isolation/starting.rs",
    ];
    refused_with(Handler::of::<View>().isolated(isolation()), &parts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_out_of_range_are_refused_with_their_value() {
    let refuses = async |isolation: Isolation, parts: &[&str]| {
        refused_with(function!(pid).isolated(isolation), parts).await;
    };
    let parts = ["Isolation::memory_limit", "1048576", "at least 33554432"];
    refuses(isolation().memory_limit(1024 * 1024), &parts).await;
    let parts = ["Isolation::jobs_per_process", "is 0", "at least 1"];
    refuses(isolation().jobs_per_process(0), &parts).await;
    let parts = ["Isolation::start_within", "is 0ns", "10ms to an hour"];
    refuses(isolation().start_within(Duration::ZERO), &parts).await;
    let parts = ["Isolation::idle_for", "at most a hundred years"];
    refuses(isolation().idle_for(Duration::MAX), &parts).await;
}

/// `run_if_child` in a process that is none.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_passes_by_what_is_for_isolates() {
    run_if_child(functions![pid]);
    let url = server::fresh_database().await;
    board_at(&url, |b| b.queue(queue())).await;
}
