//! A hold on a stage, now and after its restart: [`StageRef`].

use std::fmt;
use std::sync::Arc;

use ractor::{ActorCell, ActorRef, MessagingErr};
use tokio::sync::oneshot;

use super::message::{MessageOf, StageMessage, Subscribing};
use super::meter::Gauges;
use super::spec::Place;
use super::{
    InletId, ProducerConsumer, Source, StageError, StageInfo, SubscribeOptions, Undelivered,
};

/// A hold on a stage, now and after its restart. Cheap to clone; keeping it keeps nobody alive.
pub struct StageRef<B: ProducerConsumer> {
    name: Arc<str>,
    place: Place<B>,
    source: Source<B::Out>,
    gauges: Arc<Gauges>,
}

impl<B: ProducerConsumer> StageRef<B> {
    pub(super) fn new(
        name: Arc<str>,
        place: Place<B>,
        source: Source<B::Out>,
        gauges: Arc<Gauges>,
    ) -> Self {
        Self {
            name,
            place,
            source,
            gauges,
        }
    }

    /// Its name, for people.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Where its events are to be had.
    #[must_use]
    pub fn source(&self) -> Source<B::Out> {
        self.source.clone()
    }

    /// How it is at present, without asking it.
    #[must_use]
    pub fn info(&self) -> StageInfo {
        self.gauges.info()
    }

    /// The actor that runs it, or ran it last; `None` if it was never started.
    #[must_use]
    pub fn cell(&self) -> Option<ActorCell> {
        self.actor().map(|actor| actor.get_cell())
    }

    /// Tells it something. Never waits.
    ///
    /// # Errors
    ///
    /// [`Undelivered`], with the message, if it does not run.
    pub fn send(&self, message: B::Message) -> Result<(), Undelivered<B::Message>> {
        self.post(message, StageMessage::Own)
    }

    /// Tells it something when everything that it has by now, received or emitted, is delivered. Never
    /// waits.
    ///
    /// # Errors
    ///
    /// [`Undelivered`], with the message, if it does not run.
    pub fn send_after_buffered(&self, message: B::Message) -> Result<(), Undelivered<B::Message>> {
        self.post(message, StageMessage::AfterBuffered)
    }

    /// Meets the demand that has accumulated, and all that comes; see
    /// [`StageSpec::accumulate`](super::StageSpec::accumulate).
    ///
    /// # Errors
    ///
    /// [`StageError::NotRunning`].
    pub fn forward(&self) -> Result<(), StageError> {
        self.tell(StageMessage::Forward)
    }

    /// Subscribes it to a producer: at once, or as soon as somebody is there. A restart forgets this
    /// subscription; those of the specification come back.
    ///
    /// # Errors
    ///
    /// [`StageError::Option`], [`StageError::NothingToForward`], [`StageError::NotRunning`].
    pub async fn subscribe(
        &self,
        source: Source<B::In>,
        options: SubscribeOptions<B::In>,
    ) -> Result<InletId, StageError> {
        self.begin(source, options, None).await
    }

    /// Cancels a subscription and begins another in its place, in one step.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    pub async fn resubscribe(
        &self,
        inlet: InletId,
        source: Source<B::In>,
        options: SubscribeOptions<B::In>,
    ) -> Result<InletId, StageError> {
        self.begin(source, options, Some(inlet)).await
    }

    /// Ends a subscription. No event of it is delivered any more once the stage has got to this.
    ///
    /// # Errors
    ///
    /// [`StageError::NotRunning`].
    pub fn cancel(&self, inlet: InletId) -> Result<(), StageError> {
        self.tell(StageMessage::Cancel(inlet))
    }

    /// Ends it once everything that it has emitted is delivered; nothing more is asked of it.
    ///
    /// # Errors
    ///
    /// [`StageError::NotRunning`].
    pub fn finish(&self) -> Result<(), StageError> {
        self.tell(StageMessage::Finish)
    }

    /// Ends it after the step that it is at. What it holds is dropped.
    pub fn stop(&self) {
        if let Some(actor) = self.actor() {
            actor.stop(Some("stopped".to_owned()));
        }
    }

    /// Waits until the life of it that runs now has ended; not at all if none does.
    pub async fn ended(&self) {
        if let Some(actor) = self.actor() {
            // Without a limit it cannot time out.
            let _ended = actor.wait(None).await;
        }
    }

    async fn begin(
        &self,
        source: Source<B::In>,
        options: SubscribeOptions<B::In>,
        instead_of: Option<InletId>,
    ) -> Result<InletId, StageError> {
        let (reply, answer) = oneshot::channel();
        self.tell(StageMessage::Subscribe(Box::new(Subscribing {
            source,
            options,
            instead_of,
            reply,
        })))?;
        answer.await.map_err(|_| self.not_running())?
    }

    fn tell(&self, message: MessageOf<B>) -> Result<(), StageError> {
        let actor = self.actor().ok_or_else(|| self.not_running())?;
        actor.send_message(message).map_err(|_| self.not_running())
    }

    fn post(
        &self,
        message: B::Message,
        wrap: fn(B::Message) -> MessageOf<B>,
    ) -> Result<(), Undelivered<B::Message>> {
        let Some(actor) = self.actor() else {
            return Err(Undelivered(Some(message)));
        };
        match actor.send_message(wrap(message)) {
            Ok(()) => Ok(()),
            Err(MessagingErr::SendErr(
                StageMessage::Own(message) | StageMessage::AfterBuffered(message),
            )) => Err(Undelivered(Some(message))),
            Err(_) => Err(Undelivered(None)),
        }
    }

    fn actor(&self) -> Option<ActorRef<MessageOf<B>>> {
        self.place.borrow().clone()
    }

    fn not_running(&self) -> StageError {
        StageError::NotRunning {
            stage: Arc::clone(&self.name),
        }
    }
}

impl<B: ProducerConsumer> Clone for StageRef<B> {
    fn clone(&self) -> Self {
        Self::new(
            Arc::clone(&self.name),
            Arc::clone(&self.place),
            self.source(),
            Arc::clone(&self.gauges),
        )
    }
}

impl<B: ProducerConsumer> fmt::Debug for StageRef<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StageRef").field(&self.name).finish()
    }
}
