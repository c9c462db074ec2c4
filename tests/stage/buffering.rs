//! What waits in a stage, what is dropped, and what comes after it.

use std::convert::Infallible;

use callboard::stage::{
    self, BufferOptions, Keep, Outlet, Overflow, Producer, StageResult, SubscribeOptions,
};
use tokio::sync::mpsc;

use crate::support::{Told, eventually, recorder, slow_recorder, teller};

/// Emits ten events at its start, and tells what was dropped.
struct Hasty {
    dropped: mpsc::UnboundedSender<Overflow<u64>>,
}

impl Producer for Hasty {
    type Event = u64;
    type Message = Infallible;

    async fn started(
        &mut self,
        _: stage::Mailbox<Infallible>,
        outlet: &mut Outlet<u64>,
    ) -> StageResult {
        outlet.emit_all(0..10);
        Ok(())
    }

    async fn produce(&mut self, _: usize, _: &mut Outlet<u64>) -> StageResult {
        Ok(())
    }

    fn overflowed(&mut self, overflow: Overflow<u64>) {
        self.dropped.send(overflow).unwrap();
    }
}

#[tokio::test]
async fn a_full_buffer_tells_what_it_dropped() {
    for (keep, stayed, dropped) in [
        (Keep::Last, [6, 7, 8, 9], [0, 1, 2, 3, 4, 5]),
        (Keep::First, [0, 1, 2, 3], [4, 5, 6, 7, 8, 9]),
    ] {
        let (tell, mut told) = mpsc::unbounded_channel();
        let build = move || Hasty {
            dropped: tell.clone(),
        };
        let buffer = BufferOptions::bounded(4).keep(keep);
        let hasty = stage::producer("hasty", build).buffer(buffer);
        let producer = hasty.spawn().await.unwrap();
        let overflow = told.recv().await.unwrap();
        assert_eq!((overflow.kept, &*overflow.events), (keep, &dropped[..]));
        assert_eq!((producer.info().buffered, producer.info().dropped), (4, 6));
        let (consumer, mut record) = recorder("consumer");
        let consumer = consumer.subscribe(hasty.source(), SubscribeOptions::new());
        let consumer = consumer.spawn().await.unwrap();
        assert_eq!(record.got().await, stayed);
        consumer.stop();
        producer.stop();
    }
}

#[tokio::test]
async fn a_marker_comes_after_everything_that_was_there_before_it() {
    let teller = teller();
    let producer = teller.spawn().await.unwrap();
    let (word, mut words) = mpsc::unbounded_channel();
    producer.send(Told::Emit(0..5)).unwrap();
    let behind = Told::Say("behind five", word.clone());
    producer.send_after_buffered(behind).unwrap();
    producer.send(Told::Emit(5..8)).unwrap();
    producer.send(Told::Say("at once", word)).unwrap();
    assert_eq!(words.recv().await, Some("at once"));
    let (consumer, mut record, permits) = slow_recorder("consumer");
    let options = SubscribeOptions::new().max_demand(1);
    let consumer = consumer.subscribe(teller.source(), options);
    let consumer = consumer.spawn().await.unwrap();
    for expected in 0..4 {
        assert!(words.try_recv().is_err(), "too early");
        permits.add_permits(1);
        assert_eq!(record.got().await, [expected]);
    }
    // The fifth is delivered when it is asked for.
    assert_eq!(words.recv().await, Some("behind five"));
    permits.add_permits(10);
    assert_eq!(record.take(4).await, [4, 5, 6, 7]);
    consumer.stop();
    producer.stop();
}

#[tokio::test]
async fn an_accumulating_producer_waits_until_all_have_subscribed() {
    let (counter, mut demands) = crate::support::counter();
    let counter = counter
        .dispatcher(stage::BroadcastDispatcher::new)
        .accumulate();
    let producer = counter.spawn().await.unwrap();
    let mut records = Vec::new();
    let mut consumers = Vec::new();
    for name in ["a", "b", "c"] {
        let (consumer, record) = recorder::<u64>(name);
        let options = SubscribeOptions::new().max_demand(4);
        let consumer = consumer.subscribe(counter.source(), options);
        consumers.push(consumer.spawn().await.unwrap());
        records.push(record);
    }
    eventually("all have asked", || {
        let subscriptions = producer.info().downstream;
        subscriptions.len() == 3 && subscriptions.iter().all(|one| one.asked == 4)
    })
    .await;
    assert!(demands.try_recv().is_err(), "nothing was asked of it");
    producer.forward().unwrap();
    for record in &mut records {
        assert_eq!(record.take(4).await[..4], [0, 1, 2, 3]);
    }
    consumers.iter().for_each(stage::StageRef::stop);
    producer.stop();
}
