//! Ends that lose nothing.

use callboard::stage::{self, CancelReason, IterProducer, SubscribeOptions};

use crate::support::{Happened, Times, Told, recorder, teller};

#[tokio::test]
async fn a_drained_iterator_ends_the_whole_chain_after_its_last_event() {
    let numbers = stage::producer("numbers", || IterProducer::new(0..100));
    let options = || SubscribeOptions::new().max_demand(7);
    let doubled = stage::producer_consumer("doubled", || Times::all(2))
        .subscribe(numbers.source(), options());
    let (consumer, mut record) = recorder("consumer");
    let consumer = consumer.subscribe(doubled.source(), options());
    let last = consumer.spawn().await.unwrap();
    let stages = (
        doubled.spawn().await.unwrap(),
        numbers.spawn().await.unwrap(),
    );
    let expected: Vec<u64> = (0..100).map(|number| number * 2).collect();
    assert_eq!(record.take(100).await, expected);
    assert_eq!(record.cancelled().await, CancelReason::Done);
    assert_eq!(record.next().await, Happened::Stopping);
    last.ended().await;
    stages.0.ended().await;
    stages.1.ended().await;
}

#[tokio::test]
async fn a_stage_that_finishes_delivers_what_it_has() {
    let teller = teller();
    let producer = teller.spawn().await.unwrap();
    producer.send(Told::Emit(0..5)).unwrap();
    producer.finish().unwrap();
    let (consumer, mut record) = recorder("consumer");
    let options = SubscribeOptions::new().max_demand(2);
    let consumer = consumer.subscribe(teller.source(), options);
    let consumer = consumer.spawn().await.unwrap();
    assert_eq!(record.take(5).await, [0, 1, 2, 3, 4]);
    assert_eq!(record.cancelled().await, CancelReason::Done);
    producer.ended().await;
    consumer.ended().await;
    let error = producer.finish().unwrap_err();
    assert_eq!(error.to_string(), "the stage teller does not run");
    assert!(producer.send(Told::Fail).is_err());
}

#[tokio::test]
async fn a_stopped_producer_says_so() {
    let teller = teller();
    let producer = teller.spawn().await.unwrap();
    let (consumer, mut record) = recorder::<u64>("consumer");
    let options = SubscribeOptions::new().cancel(stage::Cancel::Temporary);
    let consumer = consumer.subscribe(teller.source(), options);
    let consumer = consumer.spawn().await.unwrap();
    record.until(&Happened::Subscribed).await;
    producer.stop();
    assert_eq!(record.cancelled().await, CancelReason::Shutdown);
    consumer.stop();
    assert_eq!(record.next().await, Happened::Stopping);
}
