//! A breaker comes and goes with its handler.

use callboard::Handler;
use callboard::client::Reason;
use callboard::store::Cancelled;

use super::letters::*;
use crate::support::{board_at, eventually, server};

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_comes_and_goes_with_its_handler() {
    let (gate, url) = (Gate::shut(), server::fresh_database().await);
    gate.open();
    let board = board_at(&url, |b| {
        b.queue(queue(&gate)).job::<Parcel>().job::<Second>()
    })
    .await;
    let client = board.client();
    assert!(client.breakers().await.unwrap().is_empty());
    assert!(!board.health().parts.contains_key("breakers"));

    board
        .handlers()
        .replace(Handler::of::<Guarded>())
        .await
        .unwrap();
    let parcel = client.enqueue(Guarded { number: 1 }).await.unwrap();
    assert_eq!(ran(client, parcel).await, by("Guarded", 1));
    let breakers = client.breakers().await.unwrap();
    assert_eq!(
        (&*breakers[0].name, &breakers[0].kinds[..]),
        ("carrier", &["test.parcel".to_owned()][..])
    );

    // Held open, it keeps its kind waiting; another handler with the same breaker changes nothing about that.
    client.breaker("carrier").hold_open("strike").await.unwrap();
    eventually("the node obeys", || async {
        let parcel = client.enqueue(Guarded { number: 0 }).await.unwrap();
        let letter = client.enqueue(Second { number: 0 }).await.unwrap();
        ran(client, letter).await;
        (client.cancel(parcel).await.unwrap() == Cancelled::AtOnce).then_some(())
    })
    .await;
    board
        .handlers()
        .replace(Handler::of::<Guarded>())
        .await
        .unwrap();
    let parcel = client.enqueue(Guarded { number: 2 }).await.unwrap();
    let letter = client.enqueue(Second { number: 3 }).await.unwrap();
    ran(client, letter).await;
    let reasons = client.explain(parcel).await.unwrap().reasons;
    assert!(
        matches!(reasons[..], [Reason::BreakerOpen { .. }]),
        "{reasons:?}"
    );

    board
        .handlers()
        .replace(Handler::of::<Parcel>())
        .await
        .unwrap();
    assert_eq!(ran(client, parcel).await, by("Parcel", 2));
    eventually("the breaker guards nothing any more", || async {
        let breakers = client.breakers().await.unwrap();
        breakers[0].kinds.is_empty().then_some(())
    })
    .await;
}
