//! Ends of actors that are no children, or none yet: [`Strays`].
//!
//! An actor may end between its start and the moment its supervisor claims it; the event then comes
//! before the supervisor knows the actor. It is kept for that moment. All other ends of unknown
//! actors, such as children that were ended and forgotten, are ignored. Invariant: bounded; an event
//! pushed out costs the reason of an end, never the end itself.

use std::collections::VecDeque;

use ractor::ActorId;
use tracing::debug;

use super::Exit;

const KEPT: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Strays(VecDeque<(ActorId, Exit)>);

impl Strays {
    pub(super) fn keep(&mut self, actor: ActorId, exit: Exit) {
        debug!(%actor, %exit, "an actor exited that is not a child at present");
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((actor, exit));
    }

    pub(super) fn take(&mut self, actor: ActorId) -> Option<Exit> {
        let place = self.0.iter().position(|(stray, _)| *stray == actor)?;
        self.0.remove(place).map(|(_, exit)| exit)
    }
}
