//! Batches in the hands of the kit.

use std::time::Duration;

use callboard::testing::{Mishap, Role, TestBoard, perform};
use callboard::{Backoff, Batch, BatchContext, BatchJob, BoxError, JobState, Outcome, Queue};
use serde::{Deserialize, Serialize};

/// Franks letters, two at a time.
#[derive(Serialize, Deserialize)]
struct Frank {
    cents: i64,
}

const KIND: &str = "mail.frank";

impl BatchJob for Frank {
    const KIND: &'static str = KIND;
    const SIZE: u32 = 2;
    const WAIT: Duration = Duration::from_secs(3600);

    fn backoff() -> Backoff {
        Backoff::constant(Duration::from_millis(10))
    }

    async fn perform_batch(
        batch: &mut Batch<Self>,
        _cx: &mut BatchContext<'_>,
    ) -> Result<Outcome, BoxError> {
        for letter in batch.iter_mut().filter(|letter| letter.cents == 0) {
            letter.fail("there is nothing to pay");
        }
        let total: i64 = batch.iter().map(|letter| letter.cents).sum();
        Outcome::done_with(&total)
    }
}

#[tokio::test]
async fn one_job_is_performed_as_a_batch_of_its_own() {
    let franked = perform(Frank { cents: 85 }).await;
    assert_eq!(franked.output(), Some(&85.into()));
    let refused = perform(Frank { cents: 0 }).await;
    assert_eq!(
        refused.failure().unwrap().message,
        "there is nothing to pay"
    );
}

#[tokio::test]
async fn a_batch_meets_with_the_mishap_of_its_attempt_and_can_be_crashed() {
    let board = TestBoard::start(|board| {
        let queue = Queue::new("default").workers(1).max_demand(8);
        board.queue(queue).job::<Frank>()
    })
    .await;
    board.mishap(KIND, 1, Mishap::panic("the machine jams"));
    board.mishap(KIND, 2, Mishap::Hang);
    let letters = [Frank { cents: 1 }, Frank { cents: 2 }];
    let jobs = board.client().enqueue_many(letters).await.unwrap();
    while board.running(jobs[1]).await.as_i32() != 2 {
        tokio::task::yield_now().await;
    }
    board.crash(Role::worker_of("default")).await;
    for job in jobs {
        let settled = board.settled(job).await;
        assert_eq!(settled.state, JobState::Completed);
        assert_eq!(
            (settled.attempt.as_i32(), settled.output),
            (3, Some(3.into()))
        );
        let messages = settled
            .errors
            .iter()
            .map(|e| e["message"].as_str().unwrap());
        let messages: Vec<_> = messages.collect();
        assert!(messages[0].ends_with("the machine jams"), "{messages:?}");
        assert!(messages[1].ends_with("crashed by a test"), "{messages:?}");
    }
}
