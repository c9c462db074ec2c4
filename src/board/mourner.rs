//! The mourner: calls the application's own code for every job that was buried.
//!
//! One call at a time, in a task of its own, so that this actor stays responsive, and a call that panics
//! or takes too long hurts nobody. What is lost if it is killed at any await: the call under way. The
//! others wait in the office, and the letters are in the table.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ractor::{ActorProcessingErr, ActorRef};
use tokio::sync::OwnedMutexGuard;
use tokio::sync::mpsc::Receiver;
use tokio_util::task::AbortOnDropHandle;

use crate::queue::{Burials, Buried};

/// How long a call may take before it is given up.
const CALL_WITHIN: Duration = Duration::from_secs(30);
/// How long the calls that are left may take when the board stops.
const LAST_WITHIN: Duration = Duration::from_secs(3);

pub(super) const ROLE: &str = "mourner";

/// What the application does about a burial.
#[derive(Clone)]
pub(super) struct OnBuried(Arc<dyn Fn(Buried) -> BoxFuture<'static, ()> + Send + Sync>);

impl OnBuried {
    pub(super) fn new<F, Fut>(call: F) -> Self
    where
        F: Fn(Buried) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self(Arc::new(move |buried| Box::pin(call(buried))))
    }

    async fn call(self, buried: Buried) {
        let job = buried.job;
        // Inside the future, since making it is the application's code too.
        let calling = AssertUnwindSafe(async move { (self.0)(buried).await }).catch_unwind();
        match tokio::time::timeout(CALL_WITHIN, calling).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => tracing::error!(%job, "on_buried panicked"),
            Err(_) => {
                tracing::error!(%job, "on_buried took longer than {CALL_WITHIN:?} and was given up")
            }
        }
    }
}

impl fmt::Debug for OnBuried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnBuried")
    }
}

pub(super) enum MournerMessage {
    /// Somebody was buried.
    Look,
    /// The call is over.
    Called,
}

#[cfg(feature = "cluster")]
impl ractor::Message for MournerMessage {}

/// What the mourner is started with.
#[derive(Debug, Clone)]
pub(super) struct MournerArgs {
    pub(super) burials: Arc<Burials>,
    pub(super) on_buried: OnBuried,
}

pub(super) struct MournerState {
    args: MournerArgs,
    waiting: OwnedMutexGuard<Receiver<Buried>>,
    calling: Option<AbortOnDropHandle<()>>,
}

#[derive(Clone, Copy)]
pub(super) struct Mourner;

#[ractor::actor(message = MournerMessage, state = MournerState, arguments = MournerArgs)]
impl Mourner {
    async fn pre_start(
        &self,
        myself: ActorRef<MournerMessage>,
        args: MournerArgs,
    ) -> Result<MournerState, ActorProcessingErr> {
        let wake = move || {
            // One that is gone has a successor, which looks at its start.
            let _gone = myself.cast(MournerMessage::Look);
        };
        let waiting = args.burials.attend(wake).await;
        Ok(MournerState {
            args,
            waiting,
            calling: None,
        })
    }

    async fn post_start(
        &self,
        myself: ActorRef<MournerMessage>,
        _state: &mut MournerState,
    ) -> Result<(), ActorProcessingErr> {
        myself.cast(MournerMessage::Look)?;
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<MournerMessage>,
        message: MournerMessage,
        state: &mut MournerState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            MournerMessage::Look => {}
            MournerMessage::Called => state.calling = None,
        }
        state.call_next(&myself);
        Ok(())
    }

    async fn post_stop(
        &self,
        myself: ActorRef<MournerMessage>,
        state: &mut MournerState,
    ) -> Result<(), ActorProcessingErr> {
        state.call_the_rest(&myself).await;
        Ok(())
    }
}

impl MournerState {
    /// Begins the next call, unless one is under way.
    fn call_next(&mut self, myself: &ActorRef<MournerMessage>) {
        if self.calling.is_some() {
            return;
        }
        let untold = self.args.burials.take_untold();
        if untold > 0 {
            tracing::warn!(
                untold,
                "on_buried is too slow and was not called for some; see the dead letters"
            );
        }
        let Ok(buried) = self.waiting.try_recv() else {
            return;
        };
        let (on_buried, myself) = (self.args.on_buried.clone(), myself.clone());
        let calling = async move {
            on_buried.call(buried).await;
            // One that is gone has a successor, which begins the next by itself.
            let _gone = myself.cast(MournerMessage::Called);
        };
        self.calling = Some(AbortOnDropHandle::new(tokio::spawn(calling)));
    }

    async fn call_the_rest(&mut self, myself: &ActorRef<MournerMessage>) {
        let until = Instant::now() + LAST_WITHIN;
        loop {
            self.call_next(myself);
            let Some(calling) = self.calling.take() else {
                return;
            };
            if tokio::time::timeout_at(until.into(), calling)
                .await
                .is_err()
            {
                let untold = self.waiting.len() + 1;
                tracing::warn!(
                    untold,
                    "the board stops, and on_buried was not called for some"
                );
                return;
            }
        }
    }
}
