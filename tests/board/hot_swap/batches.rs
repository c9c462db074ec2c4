//! What gathers for a batch obeys the handler that is new.

use callboard::{
    Batch, BatchContext, BatchJob, Board, BoxError, Handler, JobId, JobState, Outcome,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

use super::letters::*;
use crate::support::{board_at, server, until_confirmed, until_state};

/// Tells with how many it ran together.
macro_rules! batch {
    ($name:ident, $size:literal, $wait:expr) => {
        #[derive(Debug, Clone, Serialize, Deserialize)]
        struct $name {
            number: u32,
        }

        impl BatchJob for $name {
            const KIND: &'static str = "test.letter";
            const SIZE: u32 = $size;
            const WAIT: Duration = $wait;

            async fn perform_batch(
                batch: &mut Batch<Self>,
                _cx: &mut BatchContext<'_>,
            ) -> Result<Outcome, BoxError> {
                Outcome::done_with(&batch.len())
            }
        }
    };
}

const LONG: Duration = Duration::from_secs(3_000);
batch!(Dozen, 12, LONG);
batch!(Three, 3, LONG);

/// A board on which three jobs gather in the worker's hands for a batch that will not be full.
async fn gathering(url: &str) -> (Board, Vec<JobId>) {
    let gate = Gate::shut();
    gate.open();
    let board = board_at(url, |b| b.queue(queue(&gate).max_demand(24)).job::<Dozen>()).await;
    let jobs = (0..3).map(|number| Dozen { number });
    let jobs = board.client().enqueue_many(jobs).await.unwrap();
    for job in &jobs {
        until_state(board.client(), *job, JobState::Executing).await;
    }
    (board, jobs)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_gathers_goes_on_under_the_limits_of_the_new_handler() {
    let (board, jobs) = gathering(&server::fresh_database().await).await;
    board
        .handlers()
        .replace(Handler::of::<Three>())
        .await
        .unwrap();
    for job in jobs {
        let job = until_state(board.client(), job, JobState::Completed).await;
        assert_eq!((job.attempt.as_i32(), job.output), (1, Some(json!(3))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_gathers_runs_one_by_one_if_the_new_handler_takes_no_batches() {
    let (board, jobs) = gathering(&server::fresh_database().await).await;
    board
        .handlers()
        .replace(Handler::of::<Second>())
        .await
        .unwrap();
    for (number, job) in jobs.into_iter().enumerate() {
        assert_eq!(ran(board.client(), job).await, by("Second", number as u32));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_gathers_goes_back_to_the_board_if_its_kind_is_removed() {
    let (board, jobs) = gathering(&server::fresh_database().await).await;
    board.handlers().remove("test.letter").await.unwrap();
    for job in &jobs {
        let job = until_state(board.client(), *job, JobState::Available).await;
        assert_eq!(job.failures, Some(0));
    }
    until_confirmed(&board).await;
    assert_eq!(board.counts().released, 3);
}
