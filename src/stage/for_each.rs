//! A supervised actor for each event, as a consumer.

use std::fmt;
use std::sync::Arc;

use super::{Asks, Consumer, InletId, Inlets, Mailbox, StageResult, SubscribeOptions};
use crate::supervision::{ChildSpec, DynamicSupervisorSpec, Intensity, Restart, SupervisorRef};

type SpecOf<T> = Box<dyn Fn(T) -> ChildSpec + Send + Sync>;

/// A consumer that starts an actor for each event, at most `max` at a time for each of its producers,
/// under a supervisor of its own. GenStage calls it `ConsumerSupervisor`.
///
/// An event is over when its actor has ended and is not started again, or could not be started; then
/// the next is asked for. The actors must be [temporary](Restart::Temporary) or
/// [transient](Restart::Transient), and each has an id of its own among those that run. They outlive
/// their producer, and end with the stage. When they fail more often than the
/// [intensity](Self::intensity) allows, the stage fails with them.
///
/// Subscribe it with [`ForEach::options`].
pub struct ForEach<T> {
    max: u32,
    spec_of: SpecOf<T>,
    intensity: Intensity,
    supervisor: Option<SupervisorRef>,
    myself: Option<Mailbox<Over>>,
}

/// An actor of a [`ForEach`] is over.
#[derive(Debug)]
pub struct Over(InletId);

/// Kept with the specification of an actor: when the supervisor forgets it, the actor is over.
struct Running {
    inlet: InletId,
    stage: Option<Mailbox<Over>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // A stage that is gone asks for nothing.
        let _gone = self.stage.take().map(|stage| stage.send(Over(self.inlet)));
    }
}

impl<T: Send + 'static> ForEach<T> {
    /// Runs at most `max` actors (at least 1) at a time for each producer, each made of an event by
    /// `spec_of`.
    #[must_use]
    pub fn new(max: u32, spec_of: impl Fn(T) -> ChildSpec + Send + Sync + 'static) -> Self {
        Self {
            max: max.max(1),
            spec_of: Box::new(spec_of),
            intensity: Intensity::default(),
            supervisor: None,
            myself: None,
        }
    }

    /// Says how many restarts of its actors it tolerates (default: that of supervisors).
    #[must_use]
    pub fn intensity(mut self, intensity: Intensity) -> Self {
        self.intensity = intensity;
        self
    }

    /// How it subscribes: it asks for itself.
    pub fn options() -> SubscribeOptions<T> {
        SubscribeOptions::new().asks(Asks::Manual)
    }

    async fn start(&self, event: T, inlet: InletId) -> StageResult {
        let spec = (self.spec_of)(event);
        if spec.restarts() == Restart::Permanent {
            let id = spec.id();
            return Err(format!(
                "ForEach: the child {id:?} is permanent and would never be over; make it temporary or transient"
            )
            .into());
        }
        let running = Running {
            inlet,
            stage: self.myself.clone(),
        };
        let spec = spec.keep(Arc::new(running));
        let id = spec.id().to_owned();
        let supervisor = self.supervisor.as_ref();
        let supervisor = supervisor.expect("it is started before anything comes");
        if let Err(error) = supervisor.start_child(spec).await {
            tracing::warn!(child = id, %error, "an event's actor could not be started");
        }
        Ok(())
    }
}

impl<T: Send + 'static> Consumer for ForEach<T> {
    type Event = T;
    type Message = Over;

    async fn started(&mut self, myself: Mailbox<Over>, inlets: &mut Inlets<T>) -> StageResult {
        self.myself = Some(myself);
        let supervisor = DynamicSupervisorSpec::new().intensity(self.intensity);
        let stage = inlets.actor().clone();
        self.supervisor = Some(supervisor.spawn_linked(stage).await?);
        Ok(())
    }

    async fn subscribed(&mut self, inlet: InletId, inlets: &mut Inlets<T>) -> StageResult {
        inlets.ask(inlet, self.max);
        Ok(())
    }

    async fn consume(&mut self, events: Vec<T>, inlets: &mut Inlets<T>) -> StageResult {
        let inlet = inlets.from().expect("events come from somewhere");
        for event in events {
            self.start(event, inlet).await?;
        }
        Ok(())
    }

    async fn handle(&mut self, over: Over, inlets: &mut Inlets<T>) -> StageResult {
        inlets.ask(over.0, 1);
        Ok(())
    }

    async fn stopping(&mut self) {
        if let Some(supervisor) = self.supervisor.take() {
            // Without a limit it cannot time out.
            let _stopped = supervisor.stop_and_wait("the stage stops", None).await;
        }
    }
}

impl<T> fmt::Debug for ForEach<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForEach")
            .field("max", &self.max)
            .field("intensity", &self.intensity)
            .finish_non_exhaustive()
    }
}
