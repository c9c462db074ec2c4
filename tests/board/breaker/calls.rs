//! Which calls count for a breaker, and as what.

use callboard::{Batch, BatchContext, BatchJob, Job, Outcome};
use serde::{Deserialize, Serialize};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn it_opens_when_calls_are_slow() {
    let (url, service) = (server::fresh_database().await, Service::gated());
    let slow = breaker().slow_calls(20 * MS, 1.0);
    let board = board_at(&url, with(queue(&service), slow)).await;
    let jobs = enqueue(board.client(), 4).await;
    service.until_called(4).await;
    // However loaded the machine is, they have taken longer than that by then.
    tokio::time::sleep(30 * MS).await;
    service.gate.add_permits(4);
    let open = until(board.client(), BreakerState::Open).await;
    assert_eq!(
        open.reason.as_deref(),
        Some("4 of 4 calls were slow, at or above 1")
    );
    until_completed(board.client(), &jobs).await;
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_nothing_about_the_service_does_not_count() {
    #[derive(Serialize, Deserialize)]
    struct Undecided(u8);

    impl Job for Undecided {
        const KIND: &'static str = "test.undecided";

        fn breaker() -> Option<Breaker> {
            Some(breaker())
        }

        async fn perform(self, _: &mut Context) -> Result<Outcome, BoxError> {
            Ok(match self.0 % 3 {
                0 => Outcome::Cancel("no more".into()),
                1 => Outcome::Snooze(HOUR),
                _ => Outcome::Bury("never".into()),
            })
        }
    }
    let (url, service) = (server::fresh_database().await, Service::new());
    let configure = with(queue(&service), breaker());
    let board = board_at(&url, |board| configure(board).job::<Undecided>()).await;
    let client = board.client();
    let jobs = client.enqueue_many((0..30).map(Undecided)).await.unwrap();
    until_state(client, jobs[29], JobState::Dead).await;
    until_confirmed(&board).await;
    // Four failures among them are all calls that count.
    service.set_down();
    enqueue(client, 4).await;
    let open = until(client, BreakerState::Open).await;
    assert!(open.reason.unwrap().starts_with("4 of 4 calls failed"));
    let kinds = [call!(ping()), call!(receive()), call!(send())].map(|call| call.kind().to_owned());
    assert_eq!(
        open.kinds,
        [&kinds[..], &["test.undecided".to_owned()]].concat()
    );
    board.shutdown().await.unwrap();
}

#[derive(Serialize, Deserialize)]
struct Row(u32);

impl BatchJob for Row {
    const KIND: &'static str = "test.row";
    const SIZE: u32 = 5;

    fn breaker() -> Option<Breaker> {
        Some(breaker())
    }

    fn backoff() -> Backoff {
        Backoff::constant(10 * MS)
    }

    async fn perform_batch(
        _: &mut Batch<Self>,
        cx: &mut BatchContext<'_>,
    ) -> Result<Outcome, BoxError> {
        let service = cx.state::<Service>()?.clone();
        service.call().await?;
        Ok(Outcome::Done)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_job_of_a_batch_is_a_call() {
    let (url, service) = (server::fresh_database().await, Service::down());
    let one = queue(&service).workers(1).max_demand(10);
    let board = board_at(&url, |board| {
        board.queue(one).job::<Row>().functions(functions![other])
    })
    .await;
    let client = board.client();
    let jobs = client.enqueue_many((0..10).map(Row)).await.unwrap();
    until(client, BreakerState::Open).await;
    until_confirmed(&board).await;
    let calls = service.calls();
    others_run(&board).await;
    assert_eq!(service.calls(), calls);
    assert!(calls <= 2, "{calls} batches ran");
    service.set_up();
    client.breaker("smtp").open(10 * MS, "try").await.unwrap();
    until_completed(client, &jobs).await;
    board.shutdown().await.unwrap();
}
