//! What a crash of one stage is to its neighbours, and to what it held.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use callboard::stage::{
    self, Cancel, CancelReason, Consumer, Inlets, StageResult, SubscribeOptions,
};

use crate::support::{
    Happened, Teller, Token, Told, eventually, recorder, slow_recorder, teller, tree,
};

fn kill(handle: &stage::StageRef<stage::Produces<Teller>>) {
    handle.cell().unwrap().kill();
}

#[tokio::test]
async fn a_permanent_subscription_takes_its_consumer_along_and_both_begin_anew() {
    let teller = teller();
    let (consumer, mut record) = recorder("consumer");
    let consumer = consumer.subscribe(teller.source(), SubscribeOptions::new());
    let tree = tree([teller.child(), consumer.child()]).await;
    record.until(&Happened::Subscribed).await;
    teller.handle().send(Told::Panic).unwrap();
    assert_eq!(record.cancelled().await, CancelReason::Down);
    assert_eq!(record.next().await, Happened::Started, "it was restarted");
    record.until(&Happened::Subscribed).await;
    let exits = tree.snapshot();
    let exit = exits.find(&["consumer"]).unwrap().info.last_exit.clone();
    let text = exit.unwrap().to_string();
    let expected = "the stage consumer has lost its producer teller: the producer is gone";
    assert!(text.contains(expected), "{text}");
    eventually("the successor is there", || {
        teller.handle().send(Told::Emit(5..7)).is_ok()
    })
    .await;
    assert_eq!(record.got().await, [5, 6]);
    tree.stop_and_wait("done", None).await.unwrap();
}

#[tokio::test]
async fn the_modes_differ_by_how_the_producer_ended() {
    for (cancel, fails_with_loss, ends_with_end) in [
        (Cancel::Permanent, true, true),
        (Cancel::Transient, true, false),
        (Cancel::Temporary, false, false),
    ] {
        for is_lost in [true, false] {
            let producer = teller().spawn().await.unwrap();
            let (consumer, mut record) = recorder::<u64>("consumer");
            let options = SubscribeOptions::new().cancel(cancel);
            let consumer = consumer.subscribe(producer.source(), options);
            let consumer = consumer.spawn().await.unwrap();
            record.until(&Happened::Subscribed).await;
            match is_lost {
                true => producer.send(Told::Fail).unwrap(),
                false => producer.stop(),
            }
            let reason = record.cancelled().await;
            assert_eq!(reason.is_normal(), !is_lost);
            match (is_lost && fails_with_loss, !is_lost && ends_with_end) {
                (true, _) => consumer.ended().await,
                (_, true) => assert_eq!(record.next().await, Happened::Stopping),
                _ => {
                    let other = teller().spawn().await.unwrap();
                    let options = SubscribeOptions::new();
                    consumer.subscribe(other.source(), options).await.unwrap();
                    record.until(&Happened::Subscribed).await;
                    consumer.stop();
                }
            }
        }
    }
}

#[tokio::test]
async fn a_resubscribing_consumer_follows_every_successor() {
    let teller = teller();
    let (consumer, mut record) = recorder("consumer");
    let options = SubscribeOptions::new().cancel(Cancel::resubscribe());
    let consumer = consumer.subscribe(teller.source(), options);
    let tree = tree([teller.child(), consumer.child()]).await;
    for life in 0..3 {
        record.until(&Happened::Subscribed).await;
        teller.handle().send(Told::Emit(life..life + 1)).unwrap();
        assert_eq!(record.got().await, [life]);
        match life {
            0 => kill(&teller.handle()),
            1 => teller.handle().send(Told::Panic).unwrap(),
            _ => break,
        }
        assert_eq!(record.cancelled().await, CancelReason::Down);
    }
    let snapshot = tree.snapshot();
    assert_eq!(snapshot.find(&["consumer"]).unwrap().info.restarts, 0);
    tree.stop_and_wait("done", None).await.unwrap();
}

#[tokio::test]
async fn a_killed_consumer_takes_its_demand_along_and_others_go_on() {
    let teller = teller();
    let (doomed, mut doomed_record) = recorder("doomed");
    let doomed = doomed.subscribe(teller.source(), SubscribeOptions::new());
    let producer = teller.spawn().await.unwrap();
    let doomed = doomed.spawn().await.unwrap();
    doomed_record.until(&Happened::Subscribed).await;
    eventually("it has asked", || {
        producer.info().downstream.first().map(|one| one.asked) == Some(1_000)
    })
    .await;
    doomed.cell().unwrap().kill();
    eventually("its demand is gone", || {
        producer.info().downstream.is_empty()
    })
    .await;
    let (consumer, mut record) = recorder("consumer");
    let consumer = consumer.subscribe(teller.source(), SubscribeOptions::new());
    producer.send(Told::Emit(0..3)).unwrap();
    let consumer = consumer.spawn().await.unwrap();
    assert_eq!(record.got().await, [0, 1, 2]);
    consumer.stop();
    producer.stop();
}

#[tokio::test]
async fn no_event_is_handled_after_its_subscription_was_cancelled() {
    let teller = teller();
    let (consumer, mut record, permits) = slow_recorder("consumer");
    let options = SubscribeOptions::new().max_demand(10).min_demand(8);
    let producer = teller.spawn().await.unwrap();
    let consumer = consumer.spawn().await.unwrap();
    let inlet = consumer.subscribe(teller.source(), options.clone()).await;
    let inlet = inlet.unwrap();
    producer.send(Told::Emit(0..10)).unwrap();
    eventually("it holds them", || consumer.info().waiting == 10).await;
    // Of ten events, in steps of two, the first step is under way.
    consumer.cancel(inlet).unwrap();
    permits.add_permits(100);
    assert_eq!(record.got().await, [0, 1]);
    let inlet = consumer.subscribe(teller.source(), options.clone()).await;
    producer.send(Told::Emit(20..22)).unwrap();
    assert_eq!(record.got().await, [20, 21]);
    // Cancelled and begun in one step.
    let other = crate::support::teller();
    let other_producer = other.spawn().await.unwrap();
    consumer
        .resubscribe(inlet.unwrap(), other.source(), options)
        .await
        .unwrap();
    producer.send(Told::Emit(30..32)).unwrap();
    other_producer.send(Told::Emit(40..42)).unwrap();
    assert_eq!(record.got().await, [40, 41]);
    consumer.stop();
    producer.stop();
    other_producer.stop();
}

/// Holds its events for ever.
struct Holder;

impl Consumer for Holder {
    type Event = Token;
    type Message = Infallible;

    async fn consume(&mut self, events: Vec<Token>, _: &mut Inlets<Token>) -> StageResult {
        std::future::pending::<()>().await;
        drop(events);
        Ok(())
    }
}

#[tokio::test]
async fn what_a_killed_stage_holds_is_dropped_as_values() {
    let alive = Arc::new(AtomicUsize::new(0));
    let of_producer = Arc::clone(&alive);
    let tokens = move || {
        let alive = Arc::clone(&of_producer);
        stage::IterProducer::new(std::iter::repeat_with(move || Token::new(&alive)).take(40))
    };
    let producer = stage::producer("tokens", tokens).spawn().await.unwrap();
    let relay = stage::producer_consumer("relay", || {
        stage::RateLimit::new(40, std::time::Duration::ZERO)
    })
    .subscribe(producer.source(), stage::RateLimit::options());
    let options = SubscribeOptions::new().max_demand(30).min_demand(20);
    let holder = stage::consumer("holder", || Holder).subscribe(relay.source(), options);
    let relay = relay.spawn().await.unwrap();
    let holder = holder.spawn().await.unwrap();
    // Thirty were asked for: ten are in its hands, twenty lie before it.
    eventually("thirty are alive", || alive.load(Ordering::SeqCst) == 30).await;
    holder.cell().unwrap().kill();
    eventually("all are gone", || alive.load(Ordering::SeqCst) == 0).await;
    relay.stop();
    producer.stop();
}
