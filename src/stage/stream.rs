//! A stage's events as a `futures` stream.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use tokio::sync::mpsc;

use super::source::Announced;
use super::{
    Cancel, CancelReason, ConsumerMessage, Demand, Mailbox, Source, StageError, SubscribeOptions,
    Subscription, Undelivered,
};

/// A stage's events as a stream. Whoever polls it is the consumer: events are asked for as the stream
/// is read, and dropping it cancels the subscription.
///
/// It ends when the subscription does, unless that [follows](Cancel::Resubscribe) the producer's
/// successor (at once, without its backoff). [`ended`](Self::ended) tells how.
pub struct SourceStream<T: Send + 'static> {
    source: Source<T>,
    options: SubscribeOptions<T>,
    name: Arc<str>,
    consumer: Mailbox<ConsumerMessage<T>>,
    messages: mpsc::UnboundedReceiver<ConsumerMessage<T>>,
    demand: Demand,
    link: Link<T>,
    /// What has come, a step at a time, and what to ask for after each.
    steps: VecDeque<(VecDeque<T>, u32)>,
    missed: u64,
}

enum Link<T: Send + 'static> {
    Searching(Pin<Box<dyn Future<Output = Announced<T>> + Send>>),
    Subscribed(Subscription<T>, u64),
    Ended(CancelReason),
}

impl<T: Send + 'static> Source<T> {
    /// Its events as a stream. It subscribes at once if somebody is there, and asks for itself,
    /// whatever the options say.
    ///
    /// # Errors
    ///
    /// [`StageError::Option`].
    pub fn stream(&self, options: SubscribeOptions<T>) -> Result<SourceStream<T>, StageError> {
        options.check(self.name())?;
        let (sender, messages) = mpsc::unbounded_channel();
        let consumer = Mailbox::new(move |message| {
            let sent = sender.send(message);
            sent.map_err(|back| Undelivered(Some(back.0)))
        });
        let mut stream = SourceStream {
            link: Link::search(self, None),
            source: self.clone(),
            name: format!("stream of {}", self.name()).into(),
            consumer,
            messages,
            demand: Demand::new(options.max_demand, options.min()),
            options,
            steps: VecDeque::new(),
            missed: 0,
        };
        if let Some(found) = self.other_than(None) {
            stream.begin(found);
        }
        Ok(stream)
    }
}

impl<T: Send + 'static> SourceStream<T> {
    /// How it ended, once it has.
    #[must_use]
    pub fn ended(&self) -> Option<&CancelReason> {
        match &self.link {
            Link::Ended(reason) => Some(reason),
            _ => None,
        }
    }

    /// How many events have passed by, as [`WhenBehind::Miss`](super::WhenBehind::Miss) allows.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// The next event that is here; asks for more after each step.
    fn next_here(&mut self) -> Option<T> {
        loop {
            let (step, ask_after) = self.steps.front_mut()?;
            if let Some(event) = step.pop_front() {
                return Some(event);
            }
            if let Link::Subscribed(subscription, _) = &self.link {
                subscription.ask(*ask_after);
            }
            self.steps.pop_front();
        }
    }

    fn begin(&mut self, found: Announced<T>) {
        let consumer = self.consumer.clone();
        let wishes = self.options.wishes.clone();
        let subscription = Subscription::begin(found.producer, consumer, wishes, &self.name);
        // What is left of the producer before was not asked of this one.
        self.steps
            .iter_mut()
            .for_each(|(_, ask_after)| *ask_after = 0);
        subscription.ask(self.demand.begin());
        self.link = Link::Subscribed(subscription, found.life);
    }

    fn take(&mut self, message: ConsumerMessage<T>) {
        let Link::Subscribed(current, life) = &self.link else {
            return;
        };
        match message {
            ConsumerMessage::Events {
                subscription,
                events,
                missed,
            } if subscription == current.id() => {
                self.missed += missed;
                let mut events = VecDeque::from(events);
                while !events.is_empty() {
                    let chunk = self.demand.take(events.len());
                    let rest = events.split_off(chunk.len);
                    self.steps.push_back((events, chunk.ask_after));
                    events = rest;
                }
            }
            ConsumerMessage::Cancelled {
                subscription,
                reason,
            } if subscription == current.id() => {
                self.link = match self.options.cancel {
                    Cancel::Resubscribe(_) => Link::search(&self.source, Some(*life)),
                    _ => Link::Ended(reason),
                };
            }
            _ => {}
        }
    }
}

impl<T: Send + 'static> Link<T> {
    fn search(source: &Source<T>, life: Option<u64>) -> Self {
        Self::Searching(Box::pin(source.clone().find(life)))
    }
}

impl<T: Send + 'static> Stream for SourceStream<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let stream = &mut *self;
        loop {
            if let Some(event) = stream.next_here() {
                return Poll::Ready(Some(event));
            }
            match &mut stream.link {
                Link::Ended(_) => return Poll::Ready(None),
                Link::Searching(search) => {
                    let found = ready!(search.as_mut().poll(cx));
                    stream.begin(found);
                }
                Link::Subscribed(..) => {
                    let message = ready!(stream.messages.poll_recv(cx));
                    stream.take(message.expect("self keeps a sender"));
                }
            }
        }
    }
}

impl<T: Send + 'static> Unpin for SourceStream<T> {}

impl<T: Send + 'static> fmt::Debug for SourceStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceStream")
            .field("source", &self.source)
            .field("ended", &self.ended())
            .field("missed", &self.missed)
            .finish_non_exhaustive()
    }
}
