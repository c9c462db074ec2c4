//! From a builder to a running board: the office, the database made ready, the tree.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use ractor::ActorCell;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio_util::sync::CancellationToken;

#[cfg(feature = "metrics")]
use super::builder::Reports;
use super::builder::{Builder, Migrates};
use super::gate::GateArgs;
use super::liveness::LivenessArgs;
use super::mourner::MournerArgs;
use super::pruner::{DAYS_AHEAD, PrunerArgs};
use super::rescuer::RescuerArgs;
use super::sampler::SamplerArgs;
use super::steward::{Root, StewardArgs};
use super::tree::Blueprint;
use super::{Board, Inner};
use crate::Error;
use crate::client::{Births, Client, ClientParts, Wakeups};
use crate::event::Event;
#[cfg(unix)]
use crate::handler::isolation::{Isolated, refuse_to_be_a_node};
use crate::handler::{CurrentRegistry, Registry, install_hook};
use crate::job::NodeId;
use crate::queue::{
    Breakers, Burials, Contest, Counters, Custody, Desks, Facts, Looks, Office, Outbox, Patience,
    RecentErrors, Vitals,
};
use crate::random::random_bits;
use crate::store::{Lanes, NodeCard, Steering, Store};

impl Builder {
    pub(super) async fn launch(self, parent: Option<ActorCell>) -> Result<Board, Error> {
        #[cfg(unix)]
        refuse_to_be_a_node();
        self.check()?;
        install_hook();
        if cfg!(panic = "abort") {
            tracing::warn!(
                "this program is built with panic = \"abort\": a panicking job ends the whole process; \
                 its jobs are taken back at the next start, and a job that does so again is quarantined"
            );
        }
        #[cfg(feature = "metrics")]
        if self.reports == Reports::Metrics {
            self.bulletin.report();
        }
        let registry = Registry::new(self.handlers.iter().cloned())?;
        #[cfg(unix)]
        Isolated::check(&self.handlers)?;
        let office = self.office(registry)?;
        #[cfg(unix)]
        Isolated::prepare(&Isolated::shelves(&self.handlers)).await?;
        self.prepare(&office).await?;
        let hurry = CancellationToken::new();
        let known = Root::default();
        let blueprint = self.blueprint(&office, hurry.clone(), &known);
        let gate = blueprint.gate.clone();
        let spec = blueprint.into_spec();
        let started = match parent {
            Some(parent) => spec.spawn_linked(parent).await,
            None => spec.spawn().await,
        };
        let root =
            started.map_err(|cause| Error::start("cannot start the board").because(cause))?;
        let root = known.get_or_init(|| root).clone();
        office.bulletin.say(Event::Up {
            node: office.node,
            name: office.node_name.clone(),
            queues: self.queues.len(),
        });
        Ok(Board(Arc::new(Inner {
            root,
            office,
            gate,
            changes: Mutex::new(()),
            swaps: std::sync::Mutex::default(),
            #[cfg(feature = "testing")]
            map_handlers: self.map_handlers,
            _database: self.database,
        })))
    }

    fn office(&self, registry: Registry) -> Result<Arc<Office>, Error> {
        let lanes = Lanes {
            claim: self.queues.len(),
            express: self.queues.iter().map(|(queue, _)| queue.batches()).sum(),
            settle: 3,
        };
        let store = Store::new(self.database.clone(), lanes)?;
        let (wakeups, births) = (Wakeups::default(), Births::default());
        let bulletin = self.bulletin.clone();
        let client = Client::from_parts(ClientParts {
            store: store.clone(),
            kinds: registry.kinds(),
            payload_limit: self.payload_limit,
            wakeups: wakeups.clone(),
            births: births.clone(),
            bulletin: bulletin.clone(),
        });
        if let Some(ask) = self.trace_context.clone() {
            client.ask_trace_context(ask);
        }
        let card = self.card(&registry);
        Ok(Arc::new(Office {
            node: card.id,
            node_name: card.name.clone(),
            card: watch::Sender::new(card),
            store,
            client,
            breakers: Breakers::new(&registry),
            registry: CurrentRegistry::new(registry),
            wakeups,
            births,
            outbox: Outbox::new(),
            custody: Custody::default(),
            contest: Contest::default(),
            vitals: Vitals::new(bulletin.clone()),
            counters: Counters::default(),
            facts: Facts::new(self.attempts.clone(), bulletin.clone()),
            recent_errors: RecentErrors::default(),
            burials: self.on_buried.as_ref().map(|_| Arc::new(Burials::new())),
            bulletin,
            suspects: Arc::new(Semaphore::new(1)),
            lease: self.lease,
            desks: Desks::new(self.queues.iter().map(|(queue, _)| queue.clone())),
            looks: Looks::new(),
            is_closing: AtomicBool::new(false),
        }))
    }

    fn card(&self, registry: &Registry) -> NodeCard {
        NodeCard {
            id: NodeId::from_random(random_bits()),
            name: node_name(),
            lease: self.lease,
            queues: self
                .queues
                .iter()
                .map(|(queue, _)| queue.name.to_string())
                .collect(),
            kinds: Arc::clone(registry.repertoire()),
            code_versions: registry.code_versions(),
        }
    }

    /// Makes the database ready for this node, again and again while it cannot be reached and
    /// patience lasts.
    async fn prepare(&self, office: &Office) -> Result<(), Error> {
        let until = Instant::now() + self.retry_start_for;
        let mut patience = Patience::default();
        loop {
            let error = match self.prepare_once(office).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if !error.is_unreachable() || Instant::now() >= until {
                return Err(error);
            }
            tracing::warn!(%error, "the database cannot be reached yet; trying again");
            tokio::time::sleep(patience.after_failure(fastrand::f64())).await;
        }
    }

    async fn prepare_once(&self, office: &Office) -> Result<(), Error> {
        match self.migrates {
            Migrates::AtStart => self.database.migrate().await?,
            Migrates::Never => self.database.check_schema().await?,
        }
        office.store.prepare_history(DAYS_AHEAD).await?;
        let card = office.card.borrow().clone();
        office.store.register(&card).await?;
        // Before anything is claimed: a queue may be paused.
        let settings = office.store.settings(office.node).await?;
        office.steer(|queue| Steering::of(queue, &settings));
        Ok(())
    }

    fn blueprint(&self, office: &Arc<Office>, hurry: CancellationToken, root: &Root) -> Blueprint {
        let shared = || Arc::clone(office);
        Blueprint {
            children: self.children.clone(),
            mourner: office
                .burials
                .clone()
                .zip(self.on_buried.clone())
                .map(|(burials, on_buried)| MournerArgs { burials, on_buried }),
            #[cfg(unix)]
            shelves: Isolated::shelves(&self.handlers),
            liveness: LivenessArgs { office: shared() },
            rescuer: RescuerArgs {
                office: shared(),
                sweep_every: self.sweep_every,
                max_deaths: self.max_deaths,
            },
            pruner: PrunerArgs {
                office: shared(),
                keep: self.history,
            },
            sampler: self.sample_every.map(|every| SamplerArgs {
                office: shared(),
                every,
                root: Arc::clone(root),
            }),
            steward: StewardArgs {
                office: shared(),
                root: Arc::clone(root),
            },
            gate: GateArgs {
                office: shared(),
                grace: self.shutdown_grace,
                hurry,
            },
            office: shared(),
        }
    }
}

/// Host and process id, for people.
fn node_name() -> String {
    let of_kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = of_kernel.or_else(|| std::env::var("HOSTNAME").ok());
    let host = host.as_deref().map_or("localhost", str::trim);
    format!("{host}:{}", std::process::id())
}
