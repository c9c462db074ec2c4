//! Streams, iterators, batches, rates, and an actor for each event.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use callboard::stage::{
    self, Batcher, Cancel, CancelReason, ForEach, IterProducer, RateLimit, StreamProducer,
    SubscribeOptions,
};
use callboard::supervision::{ChildSpec, Restart};
use futures_util::{StreamExt, stream};
use ractor::{ActorProcessingErr, ActorRef};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::support::{Happened, Told, eventually, exit_of, recorder, slow_recorder, teller, tree};

#[tokio::test]
async fn a_stream_is_polled_only_when_it_is_asked_and_finishes_with_its_last_item() {
    let polled = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&polled);
    let build = move || {
        let counted = Arc::clone(&counted);
        StreamProducer::new(stream::iter(0..6).inspect(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
        }))
    };
    let producer = stage::producer("stream", build);
    let (consumer, mut record, permits) = slow_recorder("consumer");
    let options = SubscribeOptions::new().max_demand(2).min_demand(1);
    let consumer = consumer.subscribe(producer.source(), options);
    let producer = producer.spawn().await.unwrap();
    assert_eq!(polled.load(Ordering::SeqCst), 0);
    let consumer = consumer.spawn().await.unwrap();
    eventually("two are taken", || polled.load(Ordering::SeqCst) == 2).await;
    permits.add_permits(1);
    assert_eq!(record.got().await, [0]);
    eventually("one more is taken", || polled.load(Ordering::SeqCst) == 3).await;
    permits.add_permits(100);
    assert_eq!(record.take(5).await, [1, 2, 3, 4, 5]);
    assert_eq!(record.cancelled().await, CancelReason::Done);
    consumer.ended().await;
    producer.ended().await;
}

#[tokio::test]
async fn a_pending_stream_wakes_its_stage() {
    let (feed, fed) = mpsc::unbounded_channel();
    let fed = std::sync::Mutex::new(Some(fed));
    let build = move || {
        let fed = fed.lock().unwrap().take().expect("it is started once");
        StreamProducer::new(stream::unfold(
            fed,
            async |mut fed: mpsc::UnboundedReceiver<u64>| Some((fed.recv().await?, fed)),
        ))
    };
    let producer = stage::producer("stream", build);
    let (consumer, mut record) = recorder("consumer");
    let consumer = consumer.subscribe(producer.source(), SubscribeOptions::new());
    let producer = producer.spawn().await.unwrap();
    let consumer = consumer.spawn().await.unwrap();
    record.until(&Happened::Subscribed).await;
    for event in 0..3 {
        feed.send(event).unwrap();
        assert_eq!(record.got().await, [event]);
    }
    drop(feed);
    assert_eq!(record.cancelled().await, CancelReason::Done);
    consumer.ended().await;
    producer.ended().await;
}

#[tokio::test]
async fn a_stages_events_are_a_stream_that_follows_its_restarts() {
    let teller = teller();
    let tree = tree([teller.child()]).await;
    let options = SubscribeOptions::new().cancel(Cancel::resubscribe());
    let mut events = teller.source().stream(options).unwrap();
    teller.handle().send(Told::Emit(0..2)).unwrap();
    assert_eq!(
        [events.next().await, events.next().await],
        [Some(0), Some(1)]
    );
    teller.handle().send(Told::Panic).unwrap();
    let restarted = || {
        let snapshot = tree.snapshot();
        snapshot.find(&["teller"]).unwrap().info.restarts == 1
    };
    eventually("it is restarted", restarted).await;
    eventually("it listens", || {
        teller.handle().send(Told::Emit(2..3)).is_ok()
    })
    .await;
    assert_eq!(events.next().await, Some(2));
    let once = SubscribeOptions::new();
    let mut once = teller.source().stream(once).unwrap();
    let (next, ()) = tokio::join!(once.next(), async {
        eventually("it has subscribed", || {
            teller.handle().info().downstream.len() == 2
        })
        .await;
        teller.handle().cell().unwrap().kill();
    });
    assert_eq!((next, once.ended()), (None, Some(&CancelReason::Down)));
    drop(events);
    tree.stop_and_wait("done", None).await.unwrap();
}

#[tokio::test]
async fn a_stream_asks_as_it_is_read() {
    let (counter, mut demands) = crate::support::counter();
    let producer = counter.spawn().await.unwrap();
    let options = SubscribeOptions::new().max_demand(4).min_demand(2);
    let mut events = producer.source().stream(options).unwrap();
    assert_eq!(events.next().await, Some(0));
    assert_eq!(demands.recv().await, Some(4));
    assert_eq!(events.next().await, Some(1));
    assert!(demands.try_recv().is_err(), "the step is in hand");
    assert_eq!(events.next().await, Some(2));
    assert_eq!(demands.recv().await, Some(2));
    drop(events);
    eventually("it has left", || producer.info().downstream.is_empty()).await;
    producer.stop();
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_in_every_period() {
    let numbers = stage::producer("numbers", || IterProducer::new(0..25));
    let second = Duration::from_secs(1);
    let limited = stage::producer_consumer("limited", move || RateLimit::new(10, second))
        .subscribe(numbers.source(), RateLimit::options());
    let (consumer, mut record) = recorder("consumer");
    let options = SubscribeOptions::new().cancel(Cancel::Temporary);
    let consumer = consumer.subscribe(limited.source(), options);
    let begun = Instant::now();
    let producer = numbers.spawn().await.unwrap();
    let limited = limited.spawn().await.unwrap();
    let consumer = consumer.spawn().await.unwrap();
    for (seconds, count) in [(0, 10), (1, 10), (2, 5)] {
        assert_eq!(record.take(count).await.len(), count);
        assert_eq!(begun.elapsed().as_secs(), seconds);
    }
    consumer.stop();
    limited.stop();
    producer.stop();
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_full_or_has_waited_or_is_the_last() {
    let teller = teller();
    let wait = Duration::from_millis(100);
    let batches = stage::producer_consumer("batches", move || Batcher::new(3, wait))
        .subscribe(teller.source(), SubscribeOptions::new());
    let (consumer, mut record) = recorder("consumer");
    let consumer = consumer.subscribe(batches.source(), SubscribeOptions::new());
    let consumer = consumer.spawn().await.unwrap();
    let batches = batches.spawn().await.unwrap();
    let producer = teller.spawn().await.unwrap();
    producer.send(Told::Emit(0..7)).unwrap();
    let begun = Instant::now();
    assert_eq!(record.take(2).await, [[0, 1, 2], [3, 4, 5]]);
    assert_eq!(record.got().await, [[6]]);
    assert_eq!(begun.elapsed().as_millis(), 100);
    producer.send(Told::Emit(7..9)).unwrap();
    producer.finish().unwrap();
    assert_eq!(record.got().await, [[7, 8]]);
    assert_eq!(begun.elapsed().as_millis(), 100, "it did not wait");
    consumer.ended().await;
    batches.ended().await;
}

/// Runs until the gate is open for its number; the third panics the first time.
#[derive(Clone)]
struct Task {
    number: u64,
    gate: watch::Receiver<u64>,
    running: Arc<AtomicUsize>,
    starts: Arc<AtomicUsize>,
    has_failed: Arc<AtomicBool>,
}

#[ractor::actor(message = ())]
impl Task {
    async fn pre_start(&self, myself: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        self.starts.fetch_add(1, Ordering::SeqCst);
        myself.cast(())?;
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<()>,
        (): (),
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        self.running.fetch_add(1, Ordering::SeqCst);
        let mut gate = self.gate.clone();
        let is_open = gate.wait_for(|open| *open > self.number).await.is_ok();
        self.running.fetch_sub(1, Ordering::SeqCst);
        assert!(is_open);
        let is_fine = self.number != 3 || self.has_failed.swap(true, Ordering::SeqCst);
        assert!(is_fine, "the first time");
        myself.stop(None);
        Ok(())
    }
}

#[tokio::test]
async fn each_event_has_its_actor_and_no_more_run_than_were_asked_for() {
    let (open, gate) = watch::channel(0);
    let running = Arc::new(AtomicUsize::new(0));
    let starts = Arc::new(AtomicUsize::new(0));
    let has_failed = Arc::new(AtomicBool::new(false));
    let numbers = stage::producer("numbers", || IterProducer::new(0..10_u64));
    let (of_tasks, started) = (Arc::clone(&running), Arc::clone(&starts));
    let build = move || {
        let (gate, running, starts) = (gate.clone(), Arc::clone(&of_tasks), Arc::clone(&started));
        let has_failed = Arc::clone(&has_failed);
        ForEach::new(4, move |number| {
            let task = Task {
                number,
                gate: gate.clone(),
                running: Arc::clone(&running),
                starts: Arc::clone(&starts),
                has_failed: Arc::clone(&has_failed),
            };
            ChildSpec::actor(format!("task-{number}"), task, ()).restart(Restart::Transient)
        })
    };
    let options = ForEach::options().cancel(Cancel::Temporary);
    let tasks = stage::consumer("tasks", build).subscribe(numbers.source(), options);
    let numbers = numbers.spawn().await.unwrap();
    let tasks = tasks.spawn().await.unwrap();
    eventually("four run", || running.load(Ordering::SeqCst) == 4).await;
    assert_eq!(tasks.info().upstream[0].asked, 4);
    open.send(2).unwrap();
    eventually("two are over and two more run", || {
        starts.load(Ordering::SeqCst) == 6 && running.load(Ordering::SeqCst) == 4
    })
    .await;
    open.send(100).unwrap();
    // Ten, and the one that is started anew.
    eventually("all are over", || {
        starts.load(Ordering::SeqCst) == 11 && running.load(Ordering::SeqCst) == 0
    })
    .await;
    numbers.ended().await;
    tasks.stop();
    tasks.ended().await;
}

#[tokio::test]
async fn a_permanent_actor_for_an_event_is_refused() {
    let numbers = stage::producer("numbers", || IterProducer::new([1]));
    let build = || {
        ForEach::new(1, |_: i32| {
            ChildSpec::new("task", |_| async { unreachable!("it is not started") })
        })
    };
    let tasks = stage::consumer("tasks", build).subscribe(numbers.source(), ForEach::options());
    let tree = tree([]).await;
    let mut events = tree.events();
    tree.start_child(tasks.child()).await.unwrap();
    tree.start_child(numbers.child()).await.unwrap();
    let text = exit_of(&mut events, "tasks").await;
    assert!(text.contains("make it temporary or transient"), "{text}");
    tree.stop("done");
}
