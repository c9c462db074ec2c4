//! At most so many events in a period, as a producer-consumer.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use super::{Asks, Flow, Mailbox, ProducerConsumer, StageResult, SubscribeOptions};

/// Lets at most `events` pass in each period of `per`, which begins with the first event after the one
/// before is over. What may not pass is not asked for, so nothing piles up here.
///
/// Subscribe it with [`RateLimit::options`]. With several producers what is left of a period is
/// shared out evenly, and a quiet one keeps its share.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callboard::stage::{self, IterProducer, RateLimit};
///
/// let numbers = stage::producer("numbers", || IterProducer::new(0..));
/// let slowly = stage::producer_consumer("slowly", || RateLimit::new(10, Duration::from_secs(1)))
///     .subscribe(numbers.source(), RateLimit::options());
/// ```
pub struct RateLimit<T> {
    events: u32,
    per: Duration,
    left: u32,
    is_period_running: bool,
    myself: Option<Mailbox<PeriodOver>>,
    event: PhantomData<fn(T)>,
}

/// A period of a [`RateLimit`] is over.
#[derive(Debug)]
pub struct PeriodOver(());

impl<T: Send + 'static> RateLimit<T> {
    /// Lets at most this many events pass in each period. With 0 events none ever does; with a period
    /// of zero there is no limit.
    #[must_use]
    pub fn new(events: u32, per: Duration) -> Self {
        Self {
            events,
            per,
            left: events,
            is_period_running: false,
            myself: None,
            event: PhantomData,
        }
    }

    /// How it subscribes: it asks for itself.
    pub fn options() -> SubscribeOptions<T> {
        SubscribeOptions::new().asks(Asks::Manual)
    }

    fn begin_period(&mut self) {
        if std::mem::replace(&mut self.is_period_running, true) {
            return;
        }
        if let Some(myself) = &self.myself {
            myself.send_after(self.per, PeriodOver(()));
        }
    }
}

impl<T: Send + 'static> ProducerConsumer for RateLimit<T> {
    type In = T;
    type Out = T;
    type Message = PeriodOver;

    async fn started(
        &mut self,
        myself: Mailbox<PeriodOver>,
        _flow: &mut Flow<T, T>,
    ) -> StageResult {
        self.myself = Some(myself);
        Ok(())
    }

    async fn transform(&mut self, events: Vec<T>, flow: &mut Flow<T, T>) -> StageResult {
        self.left = self.left.saturating_sub(events.len() as u32);
        self.begin_period();
        flow.outlet.emit_all(events);
        Ok(())
    }

    async fn demanded(&mut self, demand: usize, flow: &mut Flow<T, T>) -> StageResult {
        let inlets: Vec<_> = flow.inlets.ids().collect();
        let wanted = u32::try_from(demand).unwrap_or(u32::MAX).min(self.left);
        for (index, inlet) in inlets.iter().enumerate() {
            let outstanding: u64 = inlets.iter().map(|id| flow.inlets.outstanding(*id)).sum();
            let missing = wanted.saturating_sub(outstanding as u32);
            let share = missing.div_ceil((inlets.len() - index) as u32);
            flow.inlets.ask(*inlet, share);
        }
        Ok(())
    }

    async fn handle(&mut self, _over: PeriodOver, _flow: &mut Flow<T, T>) -> StageResult {
        self.left = self.events;
        self.is_period_running = false;
        Ok(())
    }
}

impl<T> fmt::Debug for RateLimit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit")
            .field("events", &self.events)
            .field("per", &self.per)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
