//! The pruner: drops old history by whole partitions, makes the partitions of the days to come, and clears
//! away checkpoints whose jobs have ended.
//!
//! What is lost if it is killed at any await: nothing but time.

use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorProcessingErr, ActorRef};

use super::pulse::{Pulse, Tick};
use crate::Error;
use crate::event::Event;
use crate::queue::{Office, Patience};

const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);
/// How soon to try again what failed several times although the database can be reached.
const RETRY_AFTER: Duration = Duration::from_secs(60);
/// So many times it tries again soon, whatever failed: a connection that has fallen silent looks like a lock that was
/// not free in time.
const SOON: u32 = 5;
/// How many days ahead there are partitions.
pub(super) const DAYS_AHEAD: u32 = 3;

pub(super) const ROLE: &str = "pruner";

pub(super) enum PrunerMessage {
    /// Prune what is old.
    Prune(Tick),
}

#[cfg(feature = "cluster")]
impl ractor::Message for PrunerMessage {}

/// What the pruner is started with.
#[derive(Debug, Clone)]
pub(super) struct PrunerArgs {
    pub(super) office: Arc<Office>,
    pub(super) keep: Duration,
}

pub(super) struct PrunerState {
    args: PrunerArgs,
    pulse: Pulse,
    retries: Retries,
}

/// What failed since all was well.
#[derive(Debug, Default)]
struct Retries {
    patience: Patience,
    failures: u32,
}

impl Retries {
    /// How soon to try again after one more failure.
    fn after_failure(&mut self, is_unreachable: bool) -> Duration {
        self.failures = self.failures.saturating_add(1);
        match is_unreachable || self.failures <= SOON {
            true => self.patience.after_failure(fastrand::f64()),
            false => RETRY_AFTER,
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Pruner;

#[ractor::actor(message = PrunerMessage, state = PrunerState, arguments = PrunerArgs)]
impl Pruner {
    async fn pre_start(
        &self,
        _myself: ActorRef<PrunerMessage>,
        args: PrunerArgs,
    ) -> Result<PrunerState, ActorProcessingErr> {
        Ok(PrunerState {
            args,
            pulse: Pulse::default(),
            retries: Retries::default(),
        })
    }

    async fn post_start(
        &self,
        myself: ActorRef<PrunerMessage>,
        state: &mut PrunerState,
    ) -> Result<(), ActorProcessingErr> {
        state
            .pulse
            .tick_in(Duration::ZERO, &myself, PrunerMessage::Prune);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<PrunerMessage>,
        PrunerMessage::Prune(tick): PrunerMessage,
        state: &mut PrunerState,
    ) -> Result<(), ActorProcessingErr> {
        if !state.pulse.is_current(tick) {
            return Ok(());
        }
        let wait = match state.prune().await {
            Ok(()) => PRUNE_EVERY,
            Err(error) => state.degraded(&error),
        };
        state.pulse.tick_in(wait, &myself, PrunerMessage::Prune);
        Ok(())
    }
}

impl PrunerState {
    async fn prune(&mut self) -> Result<(), Error> {
        let store = &self.args.office.store;
        store.prepare_history(DAYS_AHEAD).await?;
        let pruned = store.prune(self.args.keep).await?;
        if pruned > 0 {
            self.args.office.bulletin.say(Event::Pruned { pruned });
        }
        store.forget().await?;
        store.forget_keys().await?;
        let swept = store.sweep().await?;
        if swept > 0 {
            tracing::debug!(swept, "swept checkpoints of jobs that have ended");
        }
        self.args.office.vitals.working(ROLE);
        self.retries = Retries::default();
        Ok(())
    }

    /// Says so, and when to try again.
    fn degraded(&mut self, error: &Error) -> Duration {
        self.args.office.vitals.degraded(ROLE, error);
        self.retries.after_failure(error.is_unreachable())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tries_again_soon_unless_the_database_refuses_time_after_time() {
        let (mut retries, soon) = (Retries::default(), Duration::from_secs(1));
        for _ in 0..SOON {
            assert!(retries.after_failure(false) < soon);
        }
        assert_eq!(retries.after_failure(false), RETRY_AFTER);
        assert!(retries.after_failure(true) < soon);
        assert_eq!(retries.after_failure(false), RETRY_AFTER);
    }
}
