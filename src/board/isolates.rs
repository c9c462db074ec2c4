//! The isolates of this node that have nothing to do: ends those that idle too long, and all of them when
//! the board stops. Says in the board's health when one could not be started.
//!
//! An isolate that runs an attempt belongs to that attempt, in its worker, and ends with it. What is lost if
//! this is killed at any await: nothing; its successor ends what idles. There is none without isolated kinds.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use ractor::{ActorProcessingErr, ActorRef};

use super::pulse::{Pulse, Tick};
use crate::handler::isolation::Shelf;
use crate::queue::Office;

/// How often it looks. Times of idling are kept to this.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the last isolates may take to end; each is killed much sooner.
pub(super) const STOP_WITHIN: Duration = Duration::from_secs(10);

pub(super) const ROLE: &str = "isolates";

pub(super) enum IsolatesMessage {
    /// End what idles too long.
    Look(Tick),
}

#[cfg(feature = "cluster")]
impl ractor::Message for IsolatesMessage {}

#[derive(Clone)]
pub(super) struct IsolatesArgs {
    office: Arc<Office>,
    shelves: Vec<Shelf>,
}

impl IsolatesArgs {
    /// `None` without isolated kinds.
    pub(super) fn of(office: &Arc<Office>, shelves: Vec<Shelf>) -> Option<Self> {
        let office = Arc::clone(office);
        (!shelves.is_empty()).then_some(Self { office, shelves })
    }
}

pub(super) struct IsolatesState {
    args: IsolatesArgs,
    pulse: Pulse,
}

#[derive(Clone, Copy)]
pub(super) struct Isolates;

#[ractor::actor(message = IsolatesMessage, state = IsolatesState, arguments = IsolatesArgs)]
impl Isolates {
    async fn pre_start(
        &self,
        myself: ActorRef<IsolatesMessage>,
        args: IsolatesArgs,
    ) -> Result<IsolatesState, ActorProcessingErr> {
        let mut pulse = Pulse::default();
        pulse.tick_in(LOOK_EVERY, &myself, IsolatesMessage::Look);
        Ok(IsolatesState { args, pulse })
    }

    async fn handle(
        &self,
        myself: ActorRef<IsolatesMessage>,
        message: IsolatesMessage,
        state: &mut IsolatesState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            IsolatesMessage::Look(tick) if state.pulse.is_current(tick) => state.look().await,
            IsolatesMessage::Look(_) => return Ok(()),
        }
        state
            .pulse
            .tick_in(LOOK_EVERY, &myself, IsolatesMessage::Look);
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<IsolatesMessage>,
        state: &mut IsolatesState,
    ) -> Result<(), ActorProcessingErr> {
        join_all(state.args.shelves.iter().map(Shelf::clear)).await;
        Ok(())
    }
}

impl IsolatesState {
    async fn look(&mut self) {
        let IsolatesArgs { office, shelves } = &self.args;
        join_all(shelves.iter().map(Shelf::end_idle)).await;
        match shelves.iter().find_map(Shelf::trouble) {
            Some(trouble) => office.vitals.degraded(ROLE, &trouble),
            None => office.vitals.working(ROLE),
        }
    }
}
