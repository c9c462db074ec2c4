//! Handlers without a board.

use std::time::Duration;

use callboard::handler::CancelReason;
use callboard::job::{BuryReason, FailureKind, Transition};
use callboard::testing::{TestBoard, perform, perform_call};
use callboard::{BoxError, Call, Context, Job, JobState, Outcome, call, function};
use serde::{Deserialize, Serialize};

use crate::jobs::{Mail, Newsletter, Patient, application, look};

#[tokio::test]
async fn a_job_is_performed_and_tells_its_outcome() {
    let sent = perform(Mail { user: 7 }).await;
    assert_eq!(sent.outcome(), Some(&Outcome::DoneWith(7.into())));
    assert_eq!(sent.output(), Some(&7.into()));
    assert_eq!(sent.failure(), None);
}

#[tokio::test]
async fn a_failure_is_retried_until_the_budget_is_spent() {
    let first = perform(Mail { user: -1 }).await;
    assert_eq!(first.failure().unwrap().message, "there is no user -1");
    let Transition::Retry { after, .. } = first.transition() else {
        panic!("{first:?}");
    };
    let around = Duration::from_millis(5)..Duration::from_millis(20);
    assert!(around.contains(after), "{after:?}");
    let last = perform(Mail { user: -1 }).attempt(3).await;
    let Transition::Bury { reason, .. } = last.transition() else {
        panic!("{last:?}");
    };
    assert_eq!(*reason, BuryReason::Exhausted);
    let snoozed_before = perform(Mail { user: -1 }).attempt(9).failures(0).await;
    assert!(matches!(
        snoozed_before.transition(),
        Transition::Retry { .. }
    ));
}

#[tokio::test]
async fn a_function_is_performed_at_the_given_attempt() {
    let early = perform_call(function!(look), call!(look(3)))
        .attempt(2)
        .await;
    assert_eq!(
        early.outcome(),
        Some(&Outcome::Snooze(Duration::from_secs(3600)))
    );
    let late = perform_call(function!(look), call!(look(3)))
        .attempt(3)
        .await;
    assert_eq!(late.outcome(), Some(&Outcome::Done));
}

#[derive(Serialize, Deserialize)]
struct Odd;

impl Job for Odd {
    const KIND: &'static str = "test.odd";
    const TIME_LIMIT: Duration = Duration::from_secs(3600);

    async fn perform(self, cx: &mut Context) -> Result<Outcome, BoxError> {
        match *cx.state::<u8>()? {
            0 => panic!("nobody expected {}", 0),
            1 => std::future::pending().await,
            _ => Outcome::done_with(&cx.worker()),
        }
    }
}

#[tokio::test]
async fn a_panic_is_caught_and_told_with_its_place() {
    let odd = perform(Odd).state(0_u8).await;
    let failure = odd.failure().unwrap();
    assert_eq!(failure.kind, FailureKind::Panic);
    assert!(failure.message.contains("nobody expected 0"), "{failure:?}");
    assert!(failure.message.contains("performing.rs"), "{failure:?}");
}

#[tokio::test(start_paused = true)]
async fn an_hour_s_time_limit_passes_at_once_under_a_paused_clock() {
    let odd = perform(Odd).state(1_u8).await;
    assert_eq!(odd.failure().unwrap().kind, FailureKind::TimedOut);
}

#[tokio::test]
async fn arguments_that_do_not_decode_bury_the_job() {
    let wrong = Call::named(Mail::KIND, &("no user".to_owned(), 5_u8));
    let buried = perform_call(callboard::Handler::of::<Mail>(), wrong).await;
    assert_eq!(buried.failure().unwrap().kind, FailureKind::Undecodable);
}

#[tokio::test]
async fn a_handler_that_is_told_to_stop_ends_as_cancelled() {
    let stopped = perform(Patient).cancelled(CancelReason::Requested).await;
    assert!(matches!(stopped.transition(), Transition::Cancel { .. }));
}

#[tokio::test]
async fn a_handler_that_enqueues_needs_a_client() {
    let without = perform(Newsletter { users: 2 }).await;
    let message = &without.failure().unwrap().message;
    assert!(message.contains("Perform::client"), "{message}");

    let board = TestBoard::paused(application).await;
    let with = perform(Newsletter { users: 2 })
        .client(board.client())
        .await;
    assert_eq!(with.outcome(), Some(&Outcome::Done));
    callboard::assert_enqueued!(board, Mail { user: 2 });
    let jobs = callboard::assert_enqueued!(board, queue = "mail");
    assert_eq!(jobs.len(), 2);
    assert!(jobs.iter().all(|job| job.state == JobState::Available));
}

/// Works a step at a time, and fails after each but the last.
async fn stepwise(cx: &mut Context, steps: u32) -> Result<(), BoxError> {
    let done = cx.resume::<u32>().await?.unwrap_or(0) + 1;
    cx.progress(done.into(), steps.into(), "steps");
    cx.checkpoint(&done).await?;
    match done == steps {
        true => Ok(()),
        false => Err(format!("{done} of {steps}").into()),
    }
}

#[tokio::test]
async fn a_handler_alone_keeps_its_checkpoints_and_resumes_from_one() {
    let first = perform_call(function!(stepwise), call!(stepwise(3))).await;
    assert_eq!(first.failure().unwrap().message, "1 of 3");
    assert_eq!(first.checkpoint::<u32>(), Some(1));
    let last = perform_call(function!(stepwise), call!(stepwise(3)));
    let last = last.attempt(3).checkpoint(&2_u32).await;
    assert_eq!(last.outcome(), Some(&Outcome::Done));
    assert_eq!(last.checkpoint::<u32>(), Some(3));
}
