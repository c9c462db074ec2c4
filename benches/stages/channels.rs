//! The same courses over bounded tokio channels: the same batches, as many of them on their way as a
//! consumer's demand allows.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;

use crate::figure::Failed;
use crate::{Course, KEYS, PARTITIONS, Shape};

type Batch = Vec<u64>;

/// From the first batch to the last consumer's end.
pub(crate) async fn run(course: Course) -> Result<Duration, Failed> {
    let begun = Instant::now();
    let consumers = match course.shape {
        Shape::Chain(stages) => {
            let (sender, mut receiver) = channel(course);
            tokio::spawn(count(course, sender));
            for _ in 2..stages {
                let (sender, next) = channel(course);
                tokio::spawn(add(receiver, sender));
                receiver = next;
            }
            vec![tokio::spawn(sum(receiver))]
        }
        Shape::Broadcast(to) => {
            let (senders, consumers) = consumers(course, to);
            tokio::spawn(broadcast(course, senders));
            consumers
        }
        Shape::Partition => {
            let (senders, consumers) = consumers(course, PARTITIONS as usize);
            tokio::spawn(partition(course, senders));
            consumers
        }
    };
    for consumer in consumers {
        std::hint::black_box(consumer.await?);
    }
    Ok(begun.elapsed())
}

fn channel(course: Course) -> (Sender<Batch>, Receiver<Batch>) {
    mpsc::channel((course.max_demand as usize / course.step()).max(1))
}

fn consumers(course: Course, count: usize) -> (Vec<Sender<Batch>>, Vec<JoinHandle<u64>>) {
    let consumer = |_| {
        let (sender, receiver) = channel(course);
        (sender, tokio::spawn(sum(receiver)))
    };
    (0..count).map(consumer).unzip()
}

fn batches(course: Course) -> impl Iterator<Item = Batch> {
    let (end, step) = (course.events, course.step() as u64);
    let starts = (0..end).step_by(step as usize);
    starts.map(move |start| (start..end.min(start + step)).collect())
}

async fn count(course: Course, to: Sender<Batch>) {
    for batch in batches(course) {
        if to.send(batch).await.is_err() {
            return;
        }
    }
}

async fn add(mut from: Receiver<Batch>, to: Sender<Batch>) {
    while let Some(batch) = from.recv().await {
        let added = batch.into_iter().map(|event| event + 1).collect();
        if to.send(added).await.is_err() {
            return;
        }
    }
}

async fn broadcast(course: Course, to: Vec<Sender<Batch>>) {
    for batch in batches(course) {
        for sender in &to {
            if sender.send(batch.clone()).await.is_err() {
                return;
            }
        }
    }
}

async fn partition(course: Course, to: Vec<Sender<Batch>>) {
    let mut filling = vec![Batch::new(); to.len()];
    for event in 0..course.events {
        let mut hasher = DefaultHasher::new();
        (event % KEYS).hash(&mut hasher);
        let place = (hasher.finish() % to.len() as u64) as usize;
        filling[place].push(event);
        if filling[place].len() == course.step() {
            let batch = std::mem::take(&mut filling[place]);
            if to[place].send(batch).await.is_err() {
                return;
            }
        }
    }
    for (rest, sender) in filling.into_iter().zip(to) {
        // Nobody waits for a batch that cannot be sent.
        let _gone = sender.send(rest).await;
    }
}

async fn sum(mut from: Receiver<Batch>) -> u64 {
    let mut sum = 0;
    while let Some(batch) = from.recv().await {
        sum += batch.iter().sum::<u64>();
    }
    sum
}
