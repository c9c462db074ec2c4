//! Liveness: proves that this node is alive, and learns when it was not.
//!
//! The proof runs on its own OS thread, runtime and connection, so that handlers which spin on every
//! thread of the application cost no lease. The actor here is told of every renewal. After a lapse it
//! asks which jobs were taken back meanwhile; every second it asks which are to be cancelled, since a
//! notification may be lost. The thread also watches whether the runtime of the board gets on.
//!
//! What is lost if it is killed at any await: nothing. The thread ends with the state, a successor
//! starts another, and the lease outlives the moment between.

use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorProcessingErr, ActorRef};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

use super::heartbeat::Heartbeat;
use super::pulse::{Pulse, Tick};
use crate::Error;
use crate::client::Interest;
use crate::event::Event;
use crate::handler::CancelReason;
use crate::planted::{Bug, planted};
use crate::queue::{Office, Patience, Vitals};
use crate::store::{Database, Finding, Lifeline, NodeCard, Notice, Renewal};

/// How long the thread may take to end when the board stops.
const ENDS_WITHIN: Duration = Duration::from_secs(1);
const INSPECT_EVERY: Duration = Duration::from_secs(1);

pub(super) const ROLE: &str = "liveness";

pub(super) enum LivenessMessage {
    /// The lease was renewed, or could not be.
    Renewed(Result<Renewal, Error>),
    /// Ask which attempts must stop.
    Inspect(Tick),
    /// Which attempts must stop.
    Inspected(Result<Vec<Finding>, Error>),
}

#[cfg(feature = "cluster")]
impl ractor::Message for LivenessMessage {}

/// What the node is started with.
#[derive(Debug, Clone)]
pub(super) struct LivenessArgs {
    pub(super) office: Arc<Office>,
}

pub(super) struct LivenessState {
    args: LivenessArgs,
    inspection: Pulse,
    thread: Option<Thread>,
    _heart: AbortOnDropHandle<()>,
}

#[derive(Clone, Copy)]
pub(super) struct Liveness;

#[ractor::actor(message = LivenessMessage, state = LivenessState, arguments = LivenessArgs)]
impl Liveness {
    async fn pre_start(
        &self,
        myself: ActorRef<LivenessMessage>,
        args: LivenessArgs,
    ) -> Result<LivenessState, ActorProcessingErr> {
        // The office owns its wake-ups, so they must not own it.
        let office = Arc::downgrade(&args.office);
        args.office.wakeups.on(Interest::Cancel, move |notice| {
            if let (Notice::Cancel(id), Some(office)) = (notice, office.upgrade()) {
                office.custody.stop(*id, CancelReason::Requested);
            }
        });
        let stop = CancellationToken::new();
        let heartbeat = Heartbeat::default();
        let heart = AbortOnDropHandle::new(tokio::spawn(heartbeat.clone().beat()));
        let watched = (heartbeat, args.office.vitals.clone());
        let ended = start_thread(Proof::of(&args), watched, stop.clone(), myself)?;
        let thread = Thread {
            stop: stop.drop_guard(),
            ended,
        };
        Ok(LivenessState {
            args,
            inspection: Pulse::default(),
            thread: Some(thread),
            _heart: heart,
        })
    }

    async fn post_start(
        &self,
        myself: ActorRef<LivenessMessage>,
        state: &mut LivenessState,
    ) -> Result<(), ActorProcessingErr> {
        state
            .inspection
            .tick_in(INSPECT_EVERY, &myself, LivenessMessage::Inspect);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<LivenessMessage>,
        message: LivenessMessage,
        state: &mut LivenessState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            LivenessMessage::Renewed(renewal) => state.renewed(renewal, &myself),
            LivenessMessage::Inspect(tick) => state.inspect(tick, &myself),
            LivenessMessage::Inspected(findings) => state.inspected(findings, &myself),
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<LivenessMessage>,
        state: &mut LivenessState,
    ) -> Result<(), ActorProcessingErr> {
        // First, or it might find the node off the list and put it there again.
        if let Some(thread) = state.thread.take() {
            thread.end().await;
        }
        let office = &state.args.office;
        let holds_jobs = office.may_hold_jobs();
        if let Err(error) = office.store.leave(office.node, holds_jobs).await {
            tracing::warn!(%error, "could not say goodbye; the lease of this node will run out");
        }
        Ok(())
    }
}

/// The thread that renews. Dropped, it is told to end.
struct Thread {
    stop: DropGuard,
    /// Closed when it has ended.
    ended: oneshot::Receiver<()>,
}

impl Thread {
    /// Ends it and waits for that, if it does not take too long.
    async fn end(self) {
        drop(self.stop);
        if tokio::time::timeout(ENDS_WITHIN, self.ended).await.is_err() {
            tracing::warn!("the thread that renews the lease does not end");
        }
    }
}

impl LivenessState {
    fn renewed(&mut self, renewal: Result<Renewal, Error>, myself: &ActorRef<LivenessMessage>) {
        match renewal {
            Ok(Renewal::Kept) => self.args.office.vitals.working(ROLE),
            Ok(Renewal::Lapsed | Renewal::Unknown) => {
                let office = &self.args.office;
                office
                    .bulletin
                    .say(Event::LeaseLapsed { node: office.node });
                self.inspection
                    .tick_in(Duration::ZERO, myself, LivenessMessage::Inspect);
            }
            Err(error) => self.args.office.vitals.degraded(ROLE, &error),
        }
    }

    fn inspect(&mut self, tick: Tick, myself: &ActorRef<LivenessMessage>) {
        if !self.inspection.is_current(tick) {
            return;
        }
        let held = self.args.office.custody.held_by_row();
        if held.is_empty() {
            return self
                .inspection
                .tick_in(INSPECT_EVERY, myself, LivenessMessage::Inspect);
        }
        let (office, myself) = (Arc::clone(&self.args.office), myself.clone());
        // In a task, so that the renewals are heard meanwhile.
        tokio::spawn(async move {
            let findings = office.store.inspect(office.node, &held).await;
            // A successor inspects for itself.
            let _gone = myself.cast(LivenessMessage::Inspected(findings));
        });
    }

    fn inspected(
        &mut self,
        findings: Result<Vec<Finding>, Error>,
        myself: &ActorRef<LivenessMessage>,
    ) {
        // An error is told by the renewals too, and there is another inspection soon.
        for finding in findings.unwrap_or_default() {
            let reason = if finding.is_lost {
                CancelReason::LeaseLost
            } else {
                CancelReason::Requested
            };
            self.args
                .office
                .custody
                .stop_attempt(finding.id, finding.attempt, reason);
        }
        self.inspection
            .tick_in(INSPECT_EVERY, myself, LivenessMessage::Inspect);
    }
}

/// What the thread proves, and where. It may end a little after everything else here, so it keeps
/// nothing of the board, and no embedded server.
struct Proof {
    database: Database,
    card: watch::Receiver<NodeCard>,
}

impl Proof {
    fn of(args: &LivenessArgs) -> Self {
        Self {
            database: args.office.store.database().unowned(),
            card: args.office.card.subscribe(),
        }
    }
}

fn start_thread(
    proof: Proof,
    (heartbeat, vitals): (Heartbeat, Vitals),
    stop: CancellationToken,
    actor: ActorRef<LivenessMessage>,
) -> std::io::Result<oneshot::Receiver<()>> {
    let (end, ended) = oneshot::channel();
    if planted(Bug::HeartbeatOnJobRuntime) {
        tokio::spawn(async move {
            stop.run_until_cancelled(live(&proof, &actor)).await;
            drop(end);
        });
        return Ok(ended);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let live = move || {
        runtime.block_on(async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = live(&proof, &actor) => {}
                () = heartbeat.watch(&vitals) => {}
            }
        });
        // A connection that cannot be closed must not keep the thread.
        runtime.shutdown_background();
        drop(end);
    };
    std::thread::Builder::new()
        .name("callboard-alive".to_owned())
        .spawn(live)?;
    Ok(ended)
}

/// Renews the lease, over connection after connection, until the actor is gone.
async fn live(proof: &Proof, actor: &ActorRef<LivenessMessage>) {
    let mut patience = Patience::default();
    loop {
        let error = match connected(proof, actor, &mut patience).await {
            Ok(()) => return,
            Err(error) => error,
        };
        if actor.cast(LivenessMessage::Renewed(Err(error))).is_err() {
            return;
        }
        tokio::time::sleep(patience.after_failure(fastrand::f64())).await;
    }
}

/// Renews over one connection. Ends without an error when the actor is gone.
async fn connected(
    Proof { database, card }: &Proof,
    actor: &ActorRef<LivenessMessage>,
    patience: &mut Patience,
) -> Result<(), Error> {
    let (node, lease) = {
        let card = card.borrow();
        (card.id, card.lease)
    };
    let every = lease / 3;
    let mut lifeline = Lifeline::connect(database, node, every).await?;
    loop {
        let renewal = lifeline.renew(lease).await?;
        patience.succeeded();
        if renewal == Renewal::Unknown {
            let card = card.borrow().clone();
            lifeline.register(&card).await?;
        }
        if actor.cast(LivenessMessage::Renewed(Ok(renewal))).is_err() {
            return Ok(());
        }
        lifeline.rest(every).await?;
    }
}
