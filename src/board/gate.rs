//! The gate: the last to start and the first to stop. Closing it is the graceful part of a shutdown.
//!
//! However the tree is stopped (by its board, or by the supervisor it was hung under), the gate closes
//! first: nothing is claimed any more, what has not begun is returned, and running handlers finish
//! within the grace. Those that do not are told to stop, and cut off a little later. What is lost if
//! it is killed meanwhile: the grace.

use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorProcessingErr, ActorRef};
use tokio_util::sync::CancellationToken;

use crate::event::Event;
use crate::queue::Office;

/// How long handlers that were told to stop may take beyond their queue's `cancel_grace`, and their
/// answers to be written.
const CUT_WITHIN: Duration = Duration::from_secs(2);

/// How long followers of attempts may take for the last of them.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// The gate hears nothing.
pub(super) enum GateMessage {}

#[cfg(feature = "cluster")]
impl ractor::Message for GateMessage {}

/// What the gate is started with.
#[derive(Debug, Clone)]
pub(super) struct GateArgs {
    pub(super) office: Arc<Office>,
    pub(super) grace: Duration,
    /// The longest `cancel_grace` of a queue here.
    pub(super) cancel_grace: Duration,
    pub(super) hurry: CancellationToken,
}

#[derive(Clone, Copy)]
pub(super) struct Gate;

#[ractor::actor(message = GateMessage, state = GateArgs, arguments = GateArgs)]
impl Gate {
    async fn pre_start(
        &self,
        _myself: ActorRef<GateMessage>,
        args: GateArgs,
    ) -> Result<GateArgs, ActorProcessingErr> {
        Ok(args)
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<GateMessage>,
        args: &mut GateArgs,
    ) -> Result<(), ActorProcessingErr> {
        args.close().await;
        Ok(())
    }
}

impl GateArgs {
    /// How long closing takes at most.
    pub(super) fn closes_within(&self) -> Duration {
        self.grace + self.cancel_grace + CUT_WITHIN + TOLD_WITHIN
    }

    async fn close(&self) {
        self.office.close();
        self.settle().await;
        // While followers in the board's own tree are still there.
        self.office.facts.delivered(TOLD_WITHIN).await;
    }

    /// Waits until every answer is written, or its time is up.
    async fn settle(&self) {
        let (custody, bulletin) = (&self.office.custody, &self.office.bulletin);
        bulletin.say(Event::Closing {
            in_hand: custody.count(),
            grace: self.grace,
        });
        tokio::select! {
            () = custody.empty() => return,
            () = tokio::time::sleep(self.grace) => {}
            () = self.hurry.cancelled() => {}
        }
        bulletin.say(Event::GraceOver {
            in_hand: custody.count(),
        });
        custody.interrupt();
        let cut_within = if self.hurry.is_cancelled() {
            CUT_WITHIN
        } else {
            self.cancel_grace + CUT_WITHIN
        };
        if tokio::time::timeout(cut_within, custody.empty())
            .await
            .is_err()
        {
            bulletin.say(Event::CutOff {
                in_hand: custody.count(),
            });
        }
    }
}
