//! What reaches a stage, and how it comes back undelivered.

use tokio::sync::oneshot;

use super::inlet::InletMessage;
use super::{
    ConsumerMessage, InletId, ProducerConsumer, ProducerMessage, Source, StageError,
    SubscribeOptions,
};

/// A subscription to be begun, in the place of another if there is one.
pub(super) struct Subscribing<I: Send + 'static> {
    pub(super) source: Source<I>,
    pub(super) options: SubscribeOptions<I>,
    pub(super) instead_of: Option<InletId>,
    pub(super) reply: oneshot::Sender<Result<InletId, StageError>>,
}

/// What reaches a stage.
pub(super) enum StageMessage<I: Send + 'static, O: Send + 'static, M> {
    /// From a consumer.
    Producer(ProducerMessage<O>),
    /// From its producers' side.
    Inlet(InletMessage<I>),
    /// Its own.
    Own(M),
    /// Its own, when everything that is here by now has been delivered.
    AfterBuffered(M),
    /// Subscribe to a producer. Boxed, so that the messages on the way of events stay small.
    Subscribe(Box<Subscribing<I>>),
    /// End a subscription.
    Cancel(InletId),
    /// Meet the demand that has accumulated.
    Forward,
    /// End when everything is delivered.
    Finish,
    /// Go on with what is left.
    Next,
}

#[cfg(feature = "cluster")]
impl<I: Send + 'static, O: Send + 'static, M: Send + 'static> ractor::Message
    for StageMessage<I, O, M>
{
}

pub(super) type MessageOf<B> = StageMessage<
    <B as ProducerConsumer>::In,
    <B as ProducerConsumer>::Out,
    <B as ProducerConsumer>::Message,
>;

pub(super) fn to_inlet<I: Send + 'static, O: Send + 'static, M>(
    message: StageMessage<I, O, M>,
) -> Option<InletMessage<I>> {
    match message {
        StageMessage::Inlet(message) => Some(message),
        _ => None,
    }
}

pub(super) fn to_own<I: Send + 'static, O: Send + 'static, M>(
    message: StageMessage<I, O, M>,
) -> Option<M> {
    match message {
        StageMessage::Own(message) => Some(message),
        _ => None,
    }
}

pub(super) fn to_producer<I: Send + 'static, O: Send + 'static, M>(
    message: StageMessage<I, O, M>,
) -> Option<ProducerMessage<O>> {
    match message {
        StageMessage::Producer(message) => Some(message),
        _ => None,
    }
}

pub(super) fn to_consumer<I: Send + 'static, O: Send + 'static, M>(
    message: StageMessage<I, O, M>,
) -> Option<ConsumerMessage<I>> {
    match to_inlet(message) {
        Some(InletMessage::Consumer(message)) => Some(message),
        _ => None,
    }
}
