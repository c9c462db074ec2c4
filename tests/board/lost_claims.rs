//! Claims whose answers are lost after they were made: what they took is found again.

use std::sync::Arc;
use std::time::Duration;

use callboard::testing::Proxy;
use callboard::{BoxError, Context, JobState, Outcome, Queue, call, functions};

use crate::support::{board_at, eventually, server, sharing, sql, sql::number, until_state};

async fn snooze_once(cx: &mut Context) -> Result<Outcome, BoxError> {
    if cx.attempt().as_i32() > 1 {
        return Ok(Outcome::Done);
    }
    let proxy = cx.state::<Arc<Proxy>>()?;
    proxy.lose_answers_to("set state = 'executing'", 1);
    Ok(Outcome::Snooze(Duration::from_millis(1)))
}

async fn other() {}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_claim_is_found_while_the_attempt_before_it_is_unconfirmed() {
    let url = server::fresh_database().await;
    let rows = sql::connect(&url).await;
    let proxy = Arc::new(Proxy::start(&url).unwrap());
    let board = board_at(proxy.url(), |b| {
        // Claims are made when something is announced, and so none comes between.
        let seldom = Duration::from_secs(60);
        b.queue(sharing(
            Queue::new("default").workers(2).poll_every(seldom),
            &proxy,
        ))
        .functions(functions![snooze_once, other])
    })
    .await;
    let working = || async { board.health().is_working().then_some(()) };
    eventually("the board works", working).await;
    let client = board.client();
    // Answers are written on the server, and not confirmed here.
    proxy.lose_answers_to("after_ms, failure", 1_000);
    let job = client.enqueue(call!(snooze_once())).await.unwrap();
    eventually("its second attempt is claimed", || async {
        let claimed = "select count(*) from callboard.jobs where attempt = 2";
        (number(&rows, claimed).await == 1).then_some(())
    })
    .await;
    // Claimed after the board has looked for what the lost answer gave it.
    let later = client.enqueue(call!(other())).await.unwrap();
    until_state(client, later, JobState::Completed).await;
    proxy.keep_answers();
    let job = until_state(client, job, JobState::Completed).await;
    assert_eq!(job.attempt.as_i32(), 2);
    board.shutdown().await.unwrap();
}
