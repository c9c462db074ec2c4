//! How a test makes an actor panic from outside: [`Switch`], [`Breakable`]. Only with the feature
//! `testing`.
//!
//! ractor has a kill and a stop for strangers but no panic, and an actor must panic in its own task
//! to die of it. So a child started by [`ChildSpec::actor`](super::ChildSpec::actor) runs inside a
//! wrapper that watches a switch while it handles a message. One that waits for messages is woken by
//! a supervision event, the start of a short-lived actor under it.

use std::pin::{Pin, pin};

use ractor::{
    Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, Message, State, SupervisionEvent,
};
use tokio::sync::watch;

use super::SupervisorRef;

/// Says which actor is to panic; shared by all that are started at one place of a tree. Zero means
/// nobody.
#[derive(Clone, Debug)]
pub(super) struct Switch(watch::Sender<u64>);

impl Default for Switch {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Switch {
    /// Makes this actor panic at whatever await it is.
    pub(super) fn crash(&self, actor: &ActorCell) {
        self.0.send_replace(mark(actor.get_id()));
        let doomed = actor.clone();
        tokio::spawn(async move {
            // It cannot be linked to an actor that is gone, which is then none to crash.
            let _gone = Actor::spawn_linked(None, Pinprick, (), doomed).await;
        });
    }

    /// Panics if `actor` is the one to do so.
    pub(super) fn strike(&self, actor: ActorId) {
        assert!(*self.0.borrow() != mark(actor), "crashed by a test");
    }

    /// Does `work`, unless `actor` is to panic meanwhile.
    async fn strike_during<T>(&self, actor: ActorId, work: Pin<&mut impl Future<Output = T>>) -> T {
        let struck = async {
            let mut switch = self.0.subscribe();
            let _never_closed = switch.wait_for(|doomed| *doomed == mark(actor)).await;
        };
        tokio::select! {
            biased;
            // First, so that work that awaits nothing does not pay for the watch.
            done = work => done,
            () = struck => panic!("crashed by a test"),
        }
    }
}

const fn mark(actor: ActorId) -> u64 {
    actor.pid() + 1
}

/// An actor that can be made to panic.
#[derive(Clone)]
pub(super) struct Breakable<A> {
    pub(super) actor: A,
    pub(super) switch: Switch,
}

#[ractor::actor(message = A::Msg, state = A::State, arguments = A::Arguments)]
impl<A> Breakable<A>
where
    A: Actor + Sync,
    A::Msg: Message,
    A::State: State,
    A::Arguments: State,
{
    async fn pre_start(
        &self,
        myself: ActorRef<A::Msg>,
        arguments: A::Arguments,
    ) -> Result<A::State, ActorProcessingErr> {
        self.actor.pre_start(myself, arguments).await
    }

    async fn post_start(
        &self,
        myself: ActorRef<A::Msg>,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        self.actor.post_start(myself, state).await
    }

    async fn handle(
        &self,
        myself: ActorRef<A::Msg>,
        message: A::Msg,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        let id = myself.get_id();
        // Pinned here, for it may be large, and would be kept twice if it was given away.
        let handling = pin!(self.actor.handle(myself, message, state));
        self.switch.strike_during(id, handling).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<A::Msg>,
        event: SupervisionEvent,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        self.switch.strike(myself.get_id());
        self.actor.handle_supervisor_evt(myself, event, state).await
    }

    async fn post_stop(
        &self,
        myself: ActorRef<A::Msg>,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        self.actor.post_stop(myself, state).await
    }
}

/// Starts, and is an event for the actor above it.
struct Pinprick;

#[ractor::actor(message = ())]
impl Pinprick {
    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

/// What can be crashed at a place of a tree.
pub(crate) enum Crashed {
    /// It panics.
    Yes,
    /// Nothing runs there.
    NotRunning,
    /// It runs, but was started by a function of the application's own.
    NotBreakable,
}

impl SupervisorRef {
    /// Makes the actor panic that these ids lead to from here; none lead to this supervisor.
    pub(crate) fn crash(&self, ids: &[&str]) -> Crashed {
        let snapshot = self.snapshot();
        let Some(actor) = snapshot
            .find(ids)
            .and_then(|found| found.info.actor.clone())
        else {
            return Crashed::NotRunning;
        };
        match self.switch(ids) {
            Some(switch) => {
                switch.crash(&actor);
                Crashed::Yes
            }
            None => Crashed::NotBreakable,
        }
    }
}
