//! The same key, the same consumer, in order.

use callboard::stage::{PartitionDispatcher, SubscribeOptions};

use crate::support::{Told, eventually, exit_of, recorder, slow_recorder, teller, tree};

#[tokio::test]
async fn each_key_has_one_consumer_and_what_waits_for_a_lost_one_is_handed_over() {
    let teller = teller().dispatcher(|| PartitionDispatcher::by_number(2, |event| *event));
    let producer = teller.spawn().await.unwrap();
    let options = |partition| {
        SubscribeOptions::new()
            .max_demand(2)
            .min_demand(0)
            .partition(partition)
    };
    let (even, mut even_record) = recorder("even");
    let even = even.subscribe(teller.source(), options(0));
    let (odd, _odd_record, _permits) = slow_recorder("odd");
    let odd = odd.subscribe(teller.source(), options(1));
    let even = even.spawn().await.unwrap();
    let odd = odd.spawn().await.unwrap();
    eventually("both are there", || producer.info().downstream.len() == 2).await;
    producer.send(Told::Emit(0..10)).unwrap();
    assert_eq!(even_record.take(5).await, [0, 2, 4, 6, 8]);
    // The odd ones: two are in its hands, three wait in the partition.
    let load = || producer.info().partitions[1].clone();
    eventually("three wait", || load().queued == 3).await;
    odd.cell().unwrap().kill();
    eventually("it has left", || load().consumer.is_none()).await;
    assert_eq!(load().queued, 3, "nothing was dropped");
    let (next, mut next_record) = recorder("next");
    let next = next.subscribe(teller.source(), options(1));
    let next = next.spawn().await.unwrap();
    assert_eq!(next_record.take(3).await, [5, 7, 9]);
    even.stop();
    next.stop();
    producer.stop();
}

#[tokio::test]
async fn a_partition_that_is_taken_is_refused_and_the_consumer_fails_with_the_reason() {
    let teller = teller().dispatcher(|| PartitionDispatcher::by_key(2, |event: &u64| *event));
    let (first, _record) = recorder("first");
    let (second, _record) = recorder("second");
    let options = || SubscribeOptions::new().partition(0);
    let first = first.subscribe(teller.source(), options());
    let second = second.subscribe(teller.source(), options());
    let tree = tree([teller.child(), first.child()]).await;
    eventually("the first is there", || {
        teller.handle().info().downstream.len() == 1
    })
    .await;
    let mut events = tree.events();
    tree.start_child(second.child()).await.unwrap();
    let text = exit_of(&mut events, "second").await;
    assert!(
        text.contains("refused: partition 0 has a consumer already"),
        "{text}"
    );
    tree.stop("done");
}
