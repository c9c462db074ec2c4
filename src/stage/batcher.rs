//! Events gathered into batches, as a producer-consumer.

use std::time::Duration;

use super::{CancelReason, Flow, InletId, Mailbox, ProducerConsumer, StageResult};

/// Makes batches: of `size` events, or of fewer when the first of them has waited for `wait`, or when a
/// producer is done or lost.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callboard::stage::{self, Batcher, IterProducer, SubscribeOptions};
///
/// let rows = stage::producer("rows", || IterProducer::new(0..10_000));
/// let batches = stage::producer_consumer("batches", || {
///     Batcher::new(500, Duration::from_millis(100))
/// })
/// .subscribe(rows.source(), SubscribeOptions::new());
/// ```
#[derive(Debug)]
pub struct Batcher<T> {
    size: usize,
    wait: Duration,
    gathered: Vec<T>,
    /// Which batch it is: a wait for an earlier one is over.
    number: u64,
    myself: Option<Mailbox<WaitOver>>,
}

/// The first event of a batch has waited long enough.
#[derive(Debug)]
pub struct WaitOver(u64);

impl<T: Send + 'static> Batcher<T> {
    /// Makes batches of `size` events (at least 1), or of fewer after `wait`.
    #[must_use]
    pub fn new(size: usize, wait: Duration) -> Self {
        Self {
            size: size.max(1),
            wait,
            gathered: Vec::new(),
            number: 0,
            myself: None,
        }
    }

    fn emit(&mut self, flow: &mut Flow<T, Vec<T>>) {
        if !self.gathered.is_empty() {
            self.number += 1;
            flow.outlet.emit(std::mem::take(&mut self.gathered));
        }
    }

    fn wait(&self) {
        if let Some(myself) = &self.myself {
            myself.send_after(self.wait, WaitOver(self.number));
        }
    }
}

impl<T: Send + 'static> ProducerConsumer for Batcher<T> {
    type In = T;
    type Out = Vec<T>;
    type Message = WaitOver;

    async fn started(
        &mut self,
        myself: Mailbox<WaitOver>,
        _flow: &mut Flow<T, Vec<T>>,
    ) -> StageResult {
        self.myself = Some(myself);
        Ok(())
    }

    async fn transform(&mut self, events: Vec<T>, flow: &mut Flow<T, Vec<T>>) -> StageResult {
        for event in events {
            self.gathered.push(event);
            if self.gathered.len() >= self.size {
                self.emit(flow);
            } else if self.gathered.len() == 1 {
                self.wait();
            }
        }
        Ok(())
    }

    async fn handle(&mut self, over: WaitOver, flow: &mut Flow<T, Vec<T>>) -> StageResult {
        if over.0 == self.number {
            self.emit(flow);
        }
        Ok(())
    }

    async fn cancelled(
        &mut self,
        _inlet: InletId,
        _reason: &CancelReason,
        flow: &mut Flow<T, Vec<T>>,
    ) -> StageResult {
        self.emit(flow);
        Ok(())
    }
}
