//! The notifier: hears what other processes announce, and wakes whom it concerns.
//!
//! Only a hint: polling is the correctness path. Its one message runs until it is killed, so it is
//! shut down brutally. What is lost if it is killed at any await: a hint.

use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorProcessingErr, ActorRef};

use crate::Error;
use crate::queue::{Office, Patience};
use crate::store::Listener;

/// How often a quiet connection is asked for a sign of life.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// How long the sign of life may take.
const PROBE_WITHIN: Duration = Duration::from_secs(5);

pub(super) const ROLE: &str = "notifier";

pub(super) enum NotifierMessage {
    /// Listen, for as long as there is this actor.
    Listen,
}

#[cfg(feature = "cluster")]
impl ractor::Message for NotifierMessage {}

#[derive(Clone, Copy)]
pub(super) struct Notifier;

#[ractor::actor(message = NotifierMessage, state = Arc<Office>, arguments = Arc<Office>)]
impl Notifier {
    async fn pre_start(
        &self,
        _myself: ActorRef<NotifierMessage>,
        office: Arc<Office>,
    ) -> Result<Arc<Office>, ActorProcessingErr> {
        Ok(office)
    }

    async fn post_start(
        &self,
        myself: ActorRef<NotifierMessage>,
        _office: &mut Arc<Office>,
    ) -> Result<(), ActorProcessingErr> {
        myself.cast(NotifierMessage::Listen)?;
        Ok(())
    }

    async fn handle(
        &self,
        _myself: ActorRef<NotifierMessage>,
        NotifierMessage::Listen: NotifierMessage,
        office: &mut Arc<Office>,
    ) -> Result<(), ActorProcessingErr> {
        let mut patience = Patience::default();
        loop {
            let Err(error) = listen(office, &mut patience).await;
            office.vitals.degraded(ROLE, &error);
            tokio::time::sleep(patience.after_failure(fastrand::f64())).await;
        }
    }
}

/// Listens on one connection, until it fails.
async fn listen(
    office: &Office,
    patience: &mut Patience,
) -> Result<std::convert::Infallible, Error> {
    let own = office.client.origin();
    let mut listener = Listener::connect(office.store.database(), own).await?;
    patience.succeeded();
    office.vitals.working(ROLE);
    // What was announced while nobody listened.
    office.wakeups.wake_queues();
    loop {
        match tokio::time::timeout(PROBE_EVERY, listener.next()).await {
            Ok(notice) => office.wakeups.wake(&notice?),
            Err(_) => listener.probe(PROBE_WITHIN).await?,
        }
    }
}
