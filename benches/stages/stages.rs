//! The courses over stages.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use callboard::stage::{
    self, BroadcastDispatcher, Cancel, Consumer, Consumes, Flow, Inlets, Outlet,
    PartitionDispatcher, Producer, ProducerConsumer, Produces, Source, StageResult, StageSpec,
    SubscribeOptions,
};
use tokio::sync::mpsc;

use crate::figure::Failed;
use crate::{Course, KEYS, PARTITIONS, Shape};

/// Counts up to an end.
struct Counter {
    next: u64,
    end: u64,
}

impl Producer for Counter {
    type Event = u64;
    type Message = Infallible;

    async fn produce(&mut self, demand: usize, outlet: &mut Outlet<u64>) -> StageResult {
        let end = self.end.min(self.next + demand as u64);
        outlet.emit_all(self.next..end);
        self.next = end;
        if end == self.end {
            outlet.finish();
        }
        Ok(())
    }
}

/// Adds a number.
struct Add(u64);

impl ProducerConsumer for Add {
    type In = u64;
    type Out = u64;
    type Message = Infallible;

    async fn transform(&mut self, events: Vec<u64>, flow: &mut Flow<u64, u64>) -> StageResult {
        let added = self.0;
        flow.outlet
            .emit_all(events.into_iter().map(|event| event + added));
        Ok(())
    }
}

/// Sums up, and tells the sum at its end.
struct Sum {
    sum: u64,
    told: mpsc::UnboundedSender<u64>,
}

impl Consumer for Sum {
    type Event = u64;
    type Message = Infallible;

    async fn consume(&mut self, events: Vec<u64>, _: &mut Inlets<u64>) -> StageResult {
        self.sum += events.iter().sum::<u64>();
        Ok(())
    }

    async fn stopping(&mut self) {
        // Who asked waits for it.
        let _waits = self.told.send(self.sum);
    }
}

/// From the forwarding of the first demand to the last consumer's end.
pub(crate) async fn run(course: Course) -> Result<Duration, Failed> {
    let end = course.events;
    let counter = stage::producer("counter", move || Counter { next: 0, end }).accumulate();
    let (tell, mut told) = mpsc::unbounded_channel();
    let options = || SubscribeOptions::new().max_demand(course.max_demand);
    let (counter, consumers, in_between) = match course.shape {
        Shape::Chain(stages) => {
            let mut source = counter.source();
            let mut in_between = Vec::new();
            for number in 2..stages {
                let name = format!("add-{number}");
                let add = stage::producer_consumer(name, || Add(1)).subscribe(source, options());
                source = add.source();
                in_between.push(add);
            }
            let last = consumer(&tell, &source, options());
            (counter, vec![last], in_between)
        }
        Shape::Broadcast(to) => {
            let counter = counter.dispatcher(BroadcastDispatcher::new);
            let source = counter.source();
            let consumers = (0..to).map(|_| consumer(&tell, &source, options()));
            (counter, consumers.collect(), Vec::new())
        }
        Shape::Partition => {
            let by_key = || PartitionDispatcher::by_key(PARTITIONS, |event: &u64| event % KEYS);
            let counter = counter.dispatcher(by_key);
            let source = counter.source();
            let consumers = (0..PARTITIONS).map(|_| consumer(&tell, &source, options()));
            (counter, consumers.collect(), Vec::new())
        }
    };
    time(&counter, &consumers, &in_between, &mut told).await
}

fn consumer(
    tell: &mpsc::UnboundedSender<u64>,
    source: &Source<u64>,
    options: SubscribeOptions<u64>,
) -> StageSpec<Consumes<Sum>> {
    let tell = tell.clone();
    let sum = move || Sum {
        sum: 0,
        told: tell.clone(),
    };
    stage::consumer("sum", sum).subscribe(source.clone(), options.cancel(Cancel::Permanent))
}

async fn time(
    counter: &StageSpec<Produces<Counter>>,
    consumers: &[StageSpec<Consumes<Sum>>],
    in_between: &[StageSpec<Add>],
    told: &mut mpsc::UnboundedReceiver<u64>,
) -> Result<Duration, Failed> {
    let counter = counter.spawn().await?;
    for stage in in_between {
        stage.spawn().await?;
    }
    for consumer in consumers {
        consumer.spawn().await?;
    }
    let wanted = match in_between.is_empty() {
        true => consumers.len(),
        false => 1,
    };
    let has_asked = || {
        let subscriptions = counter.info().downstream;
        subscriptions.len() == wanted && subscriptions.iter().all(|one| one.asked > 0)
    };
    while !has_asked() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let begun = Instant::now();
    counter.forward()?;
    for _ in consumers {
        std::hint::black_box(told.recv().await.ok_or("a consumer is gone")?);
    }
    Ok(begun.elapsed())
}
