//! Every event to every consumer.

use callboard::stage::{BroadcastDispatcher, SubscribeOptions, WhenBehind};

use crate::support::{Told, eventually, recorder, slow_recorder, teller};

#[tokio::test]
async fn the_slowest_sets_the_pace_unless_it_would_rather_miss_events() {
    let teller = teller().dispatcher(BroadcastDispatcher::new);
    let producer = teller.spawn().await.unwrap();
    let one = || SubscribeOptions::new().max_demand(1);
    let (quick, mut quick_record) = recorder("quick");
    let (even, mut even_record) = recorder("even");
    let (slow, mut slow_record, permits) = slow_recorder("slow");
    let (misses, mut misses_record, misses_permits) = slow_recorder("misses");
    let consumers = [
        quick.subscribe(teller.source(), one()),
        even.subscribe(teller.source(), one().selector(|event| event % 2 == 0)),
        slow.subscribe(teller.source(), one()),
        misses.subscribe(teller.source(), one().when_behind(WhenBehind::Miss)),
    ];
    let mut running = Vec::new();
    for consumer in &consumers {
        running.push(consumer.spawn().await.unwrap());
    }
    eventually("all have asked", || {
        let subscriptions = producer.info().downstream;
        subscriptions.len() == 4 && subscriptions.iter().all(|one| one.asked == 1)
    })
    .await;
    producer.send(Told::Emit(0..4)).unwrap();
    // Who is slow has the first in its hands, and the others have to wait for it.
    assert_eq!(quick_record.got().await, [0]);
    assert_eq!(even_record.got().await, [0]);
    eventually("three wait", || producer.info().buffered == 3).await;
    for expected in 0..4 {
        permits.add_permits(1);
        assert_eq!(slow_record.got().await, [expected]);
    }
    assert_eq!(quick_record.take(3).await, [1, 2, 3]);
    assert_eq!(even_record.got().await, [2]);
    // One that may miss events has the first in its hands still, and is told of the others.
    misses_permits.add_permits(1);
    assert_eq!(misses_record.got().await, [0]);
    let asked = |count| {
        let subscriptions = producer.info().downstream;
        let misses = subscriptions.iter().find(|one| &*one.consumer == "misses");
        misses.is_some_and(|one| one.asked == count)
    };
    eventually("it has asked again", || asked(2)).await;
    misses_permits.add_permits(1);
    producer.send(Told::Emit(4..5)).unwrap();
    assert_eq!(misses_record.got().await, [4]);
    let subscriptions = producer.info().downstream;
    let missed: Vec<u64> = subscriptions.iter().map(|one| one.missed).collect();
    assert_eq!(missed.iter().sum::<u64>(), 3, "{subscriptions:?}");
    permits.add_permits(10);
    running.iter().for_each(callboard::stage::StageRef::stop);
    producer.stop();
}

#[tokio::test]
async fn a_late_comer_gets_what_comes_from_then_on() {
    let teller = teller().dispatcher(BroadcastDispatcher::new);
    let producer = teller.spawn().await.unwrap();
    let (early, mut early_record) = recorder("early");
    let early = early.subscribe(teller.source(), SubscribeOptions::new());
    let early = early.spawn().await.unwrap();
    producer.send(Told::Emit(0..2)).unwrap();
    assert_eq!(early_record.got().await, [0, 1]);
    let (late, mut late_record) = recorder("late");
    let late = late.subscribe(teller.source(), SubscribeOptions::new());
    let late = late.spawn().await.unwrap();
    eventually("both are there", || producer.info().downstream.len() == 2).await;
    producer.send(Told::Emit(2..4)).unwrap();
    assert_eq!(early_record.got().await, [2, 3]);
    assert_eq!(late_record.got().await, [2, 3]);
    early.stop();
    late.stop();
    producer.stop();
}
