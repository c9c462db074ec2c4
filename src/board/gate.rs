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
use crate::queue::{Desk, Office};

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
        self.grace + self.cancel_grace() + CUT_WITHIN + TOLD_WITHIN
    }

    /// The longest `cancel_grace` of a queue here.
    fn cancel_grace(&self) -> Duration {
        let desks = self.office.desks.all();
        let graces = desks.iter().map(|desk| desk.queue.cancel_grace);
        graces.max().unwrap_or_default()
    }

    async fn close(&self) {
        self.office.close();
        self.settle().await;
        // While followers in the board's own tree are still there.
        self.office.facts.delivered(TOLD_WITHIN).await;
    }

    /// Waits until every answer is written, or its time is up.
    async fn settle(&self) {
        let custody = &self.office.custody;
        self.office.bulletin.say(Event::Closing {
            in_hand: custody.count(),
            grace: self.grace,
        });
        let cutting = Cutting {
            cancel_grace: self.cancel_grace(),
            interrupt: || custody.interrupt(),
            in_hand: || custody.count(),
        };
        self.wind_up(|| self.office.empty(), cutting).await;
    }

    /// As closing the gate, for one queue alone: whatever of it has begun may end within the grace, and the
    /// rest is told to stop.
    pub(super) async fn settle_queue(&self, desk: &Desk) {
        let (custody, queue) = (&self.office.custody, &desk.queue.name);
        let cutting = Cutting {
            cancel_grace: desk.queue.cancel_grace,
            interrupt: || custody.interrupt_in(queue),
            in_hand: || custody.held_in(queue).len(),
        };
        self.wind_up(|| custody.empty_in(queue), cutting).await;
    }

    async fn wind_up<Fut: Future<Output = ()>>(
        &self,
        empty: impl Fn() -> Fut,
        cutting: Cutting<impl Fn(), impl Fn() -> usize>,
    ) {
        tokio::select! {
            () = empty() => return,
            () = tokio::time::sleep(self.grace) => {}
            () = self.hurry.cancelled() => {}
        }
        let in_hand = (cutting.in_hand)();
        self.office.bulletin.say(Event::GraceOver { in_hand });
        (cutting.interrupt)();
        let cut_within = if self.hurry.is_cancelled() {
            CUT_WITHIN
        } else {
            cutting.cancel_grace + CUT_WITHIN
        };
        if tokio::time::timeout(cut_within, empty()).await.is_err() {
            let in_hand = (cutting.in_hand)();
            self.office.bulletin.say(Event::CutOff { in_hand });
        }
    }
}

/// How those are cut off who do not end within the grace.
struct Cutting<I, H> {
    cancel_grace: Duration,
    interrupt: I,
    in_hand: H,
}
