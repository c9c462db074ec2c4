//! Where facts are said, and who hears them: [`Bulletin`].

use std::sync::{Arc, OnceLock};

use tokio::sync::broadcast;

use super::Event;
#[cfg(feature = "metrics")]
use super::metrics::Metrics;
use crate::supervision::Subscription;

/// How many events a subscriber may fall behind before it misses some. What a ledger writes at once
/// comes at once, so it is a few of its largest writes.
pub const EVENT_CAPACITY: usize = 8192;

/// Tells the log, the metrics and all subscribers what happens. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bulletin(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Made for the first subscriber: its memory is taken at once.
    stream: OnceLock<broadcast::Sender<Event>>,
    #[cfg(feature = "metrics")]
    metrics: OnceLock<Metrics>,
}

impl Bulletin {
    /// Follows what is said from now on.
    pub(crate) fn subscribe(&self) -> Subscription<Event> {
        let stream = self.0.stream.get_or_init(new_stream);
        Subscription::to(stream)
    }

    /// Reports to the recorder of the `metrics` crate that is installed now.
    #[cfg(feature = "metrics")]
    pub(crate) fn report(&self) {
        self.0.metrics.get_or_init(Metrics::new);
    }

    /// Whether facts about single jobs are worth their writing.
    pub(crate) fn is_heard(&self) -> bool {
        #[cfg(feature = "metrics")]
        if self.0.metrics.get().is_some() {
            return true;
        }
        self.subscribed().is_some()
    }

    /// Says what happened.
    pub(crate) fn say(&self, event: Event) {
        event.log();
        #[cfg(feature = "metrics")]
        if let Some(metrics) = self.0.metrics.get() {
            metrics.record(&event);
        }
        if let Some(stream) = self.subscribed() {
            // An error says that the last subscriber has just gone.
            let _unheard = stream.send(event);
        }
    }

    /// Says what is too frequent to be made for nobody.
    pub(crate) fn say_if_heard(&self, event: impl FnOnce() -> Event) {
        if self.is_heard() {
            self.say(event());
        }
    }

    fn subscribed(&self) -> Option<&broadcast::Sender<Event>> {
        let stream = self.0.stream.get()?;
        (stream.receiver_count() > 0).then_some(stream)
    }
}

fn new_stream() -> broadcast::Sender<Event> {
    broadcast::Sender::new(EVENT_CAPACITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_hears_is_not_made() {
        let bulletin = Bulletin::default();
        bulletin.say_if_heard(|| unreachable!("nobody listens"));
        let mut heard = bulletin.subscribe();
        bulletin.say_if_heard(|| Event::Pruned { pruned: 7 });
        let event = heard.try_next().unwrap().unwrap();
        assert!(matches!(event, Event::Pruned { pruned: 7 }));
        drop(heard);
        bulletin.say_if_heard(|| unreachable!("nobody listens any more"));
    }
}
