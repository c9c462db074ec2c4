//! Automatic demand: what is asked for, when, and what comes of it.

use callboard::stage::{self, Asks, Cancel, SubscribeOptions};

use crate::support::{Times, Told, counter, recorder, slow_recorder, tree};

/// The steps in which events come, from the start of both stages.
async fn steps(options: SubscribeOptions<u64>, count: usize) -> Vec<(u64, usize)> {
    let (counter, _demands) = counter();
    let (consumer, mut record) = recorder("consumer");
    let consumer = consumer.subscribe(counter.source(), options);
    let tree = tree([counter.child(), consumer.child()]).await;
    let mut steps = Vec::new();
    for _ in 0..count {
        let events = record.got().await;
        steps.push((events[0], events.len()));
    }
    tree.stop_and_wait("done", None).await.unwrap();
    steps
}

/// The sequences stand in GenStage's own documentation and tests.
#[tokio::test]
async fn events_come_in_the_steps_of_genstage() {
    let options = SubscribeOptions::new;
    assert_eq!(steps(options(), 2).await, [(0, 500), (500, 500)]);
    let small = options().max_demand(100).min_demand(80);
    assert_eq!(steps(small, 3).await, [(0, 20), (20, 20), (40, 20)]);
    let large = options().max_demand(100).min_demand(20);
    let expected = [(0, 80), (80, 20), (100, 80), (180, 80), (260, 20)];
    assert_eq!(steps(large, 5).await, expected);
    let one = options().max_demand(1).min_demand(0);
    assert_eq!(steps(one, 3).await, [(0, 1), (1, 1), (2, 1)]);
}

#[tokio::test]
async fn a_consumer_that_stands_still_stops_its_producer() {
    let (counter, mut demands) = counter();
    let (consumer, mut record, permits) = slow_recorder("consumer");
    let options = SubscribeOptions::new().max_demand(4).min_demand(2);
    let consumer = consumer.subscribe(counter.source(), options);
    let tree = tree([counter.child(), consumer.child()]).await;
    assert_eq!(demands.recv().await, Some(4));
    permits.add_permits(1);
    assert_eq!(record.got().await, [0, 1]);
    assert_eq!(demands.recv().await, Some(2));
    // Two are in its hands, two lie before it, and no more was made.
    let info = counter.handle().info();
    assert_eq!((info.buffered, info.downstream[0].outstanding()), (0, 0));
    assert!(demands.try_recv().is_err());
    // It is stopped in the middle of a step, so it is killed after its time.
    permits.add_permits(10);
    tree.stop_and_wait("done", None).await.unwrap();
}

#[tokio::test]
async fn consumers_share_what_a_producer_makes() {
    let (counter, _demands) = counter();
    let (first, mut first_record) = recorder("first");
    let (second, mut second_record) = recorder("second");
    let options = SubscribeOptions::new().max_demand(2);
    let first = first.subscribe(counter.source(), options.clone());
    let second = second.subscribe(counter.source(), options);
    let tree = tree([counter.child(), first.child(), second.child()]).await;
    let (mut all, second) = tokio::join!(first_record.take(50), second_record.take(50));
    assert!(all.is_sorted() && second.is_sorted(), "each in order");
    all.extend(second);
    all.sort_unstable();
    all.dedup();
    assert!(all.len() >= 100, "an event came twice");
    tree.stop_and_wait("done", None).await.unwrap();
}

#[tokio::test]
async fn a_consumer_hears_all_its_producers_with_a_demand_for_each() {
    let (first, second) = (crate::support::teller(), crate::support::teller());
    let (consumer, mut record) = recorder("consumer");
    let options = || SubscribeOptions::new().max_demand(4);
    let consumer = consumer
        .subscribe(first.source(), options())
        .subscribe(second.source(), options());
    let consumer = consumer.spawn().await.unwrap();
    let first = first.spawn().await.unwrap();
    let second = second.spawn().await.unwrap();
    first.send(Told::Emit(0..6)).unwrap();
    second.send(Told::Emit(10..13)).unwrap();
    let mut all = record.take(9).await;
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3, 4, 5, 10, 11, 12]);
    let outstanding = || {
        let mut all: Vec<u64> = consumer
            .info()
            .upstream
            .iter()
            .map(|one| one.outstanding())
            .collect();
        all.sort_unstable();
        all
    };
    // Six were handled in steps of two; three in a step of two and one of one.
    crate::support::eventually("both have asked again", || outstanding() == [3, 4]).await;
    consumer.stop();
    first.stop();
    second.stop();
}

#[tokio::test]
async fn a_chain_of_stages_keeps_the_order() {
    let (counter, _demands) = counter();
    let options = || SubscribeOptions::new().max_demand(10);
    let doubled = stage::producer_consumer("doubled", || Times::all(2))
        .subscribe(counter.source(), options());
    let tripled = stage::producer_consumer("tripled", || Times::all(3))
        .subscribe(doubled.source(), options());
    let (consumer, mut record) = recorder("consumer");
    let consumer = consumer.subscribe(tripled.source(), options());
    let children = [
        counter.child(),
        doubled.child(),
        tripled.child(),
        consumer.child(),
    ];
    let tree = tree(children).await;
    let expected: Vec<u64> = (0..1_000).map(|number| number * 6).collect();
    assert_eq!(record.take(1_000).await[..1_000], expected);
    tree.stop_and_wait("done", None).await.unwrap();
}

#[tokio::test]
async fn a_producer_consumer_takes_nothing_that_nobody_wants() {
    let (counter, mut demands) = counter();
    let options = SubscribeOptions::new().max_demand(4).min_demand(0);
    let doubled =
        stage::producer_consumer("doubled", || Times::all(2)).subscribe(counter.source(), options);
    let tree = tree([counter.child(), doubled.child()]).await;
    // What it holds ready is all: nobody has asked.
    assert_eq!(demands.recv().await, Some(4));
    crate::support::eventually("four wait", || doubled.handle().info().waiting == 4).await;
    assert!(demands.try_recv().is_err());
    tree.stop_and_wait("done", None).await.unwrap();
}

#[tokio::test]
async fn forwarded_demand_fetches_what_is_asked_for_and_replaces_what_is_filtered_out() {
    let (counter, mut demands) = counter();
    let options = SubscribeOptions::new().asks(Asks::Forwarded);
    let even = || Times {
        factor: 1,
        keeps: |event| event % 2 == 0,
    };
    let even = stage::producer_consumer("even", even).subscribe(counter.source(), options);
    let (consumer, mut record, permits) = slow_recorder("consumer");
    let one = SubscribeOptions::new().max_demand(1);
    let consumer = consumer.subscribe(even.source(), one);
    let tree = tree([counter.child(), even.child(), consumer.child()]).await;
    permits.add_permits(3);
    for expected in [0, 2, 4] {
        assert_eq!(record.got().await, [expected]);
    }
    // One at a time, 0 to 6: the last waits in the consumer's hands.
    for _ in 0..=6 {
        assert_eq!(demands.recv().await, Some(1));
    }
    assert!(demands.try_recv().is_err());
    permits.add_permits(10);
    tree.stop_and_wait("done", None).await.unwrap();
}

#[tokio::test]
async fn options_out_of_their_range_are_refused_with_their_values() {
    let (counter, _demands) = counter();
    let refusal = async |options: SubscribeOptions<u64>| {
        let (consumer, _record) = recorder::<u64>("consumer");
        let started = consumer.subscribe(counter.source(), options).spawn().await;
        let error = started.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap();
        format!("{error}: {cause}")
    };
    let options = SubscribeOptions::new;
    let text = refusal(options().max_demand(0)).await;
    assert!(
        text.contains("cannot subscribe to counter: max_demand is 0; expected 1 to"),
        "{text}"
    );
    let text = refusal(options().max_demand(5).min_demand(5)).await;
    let expected = "min_demand is 5; expected less than max_demand, which is 5";
    assert!(text.contains(expected), "{text}");
    let text = refusal(options().asks(Asks::Forwarded)).await;
    assert!(text.contains("use Asks::Automatic"), "{text}");
}

#[tokio::test]
async fn a_subscription_waits_for_its_producer() {
    let (counter, _demands) = counter();
    let (consumer, mut record) = recorder("consumer");
    let options = SubscribeOptions::new().cancel(Cancel::Permanent);
    let consumer = consumer.subscribe(counter.source(), options).spawn().await;
    let consumer = consumer.unwrap();
    assert_eq!(record.next().await, crate::support::Happened::Started);
    let counter = counter.spawn().await.unwrap();
    assert_eq!(record.got().await.len(), 500);
    consumer.stop();
    counter.stop();
}
