//! How a stage is made and started: [`StageSpec`].

use std::fmt;
use std::sync::Arc;

use ractor::{Actor, ActorCell, ActorRef};
use tokio::sync::watch;

use super::actor::StageActor;
use super::dispatcher::NoDispatcher;
use super::message::MessageOf;
use super::meter::Gauges;
use super::outlet::Gate;
use super::{
    Asks, BufferOptions, Consumer, Consumes, DEFAULT_BUFFER_SIZE, DemandDispatcher, Dispatcher,
    Producer, ProducerConsumer, Produces, Source, StageError, StageKind, StageRef,
    SubscribeOptions,
};
use crate::supervision::ChildSpec;

pub(super) type Place<B> = Arc<watch::Sender<Option<ActorRef<MessageOf<B>>>>>;
type Subscriptions<T> = Vec<(Source<T>, SubscribeOptions<T>)>;
type MakeDispatcher<T> = Arc<dyn Fn() -> Box<dyn Dispatcher<T>> + Send + Sync>;

/// How a stage is made: the stage itself, its subscriptions, its dispatcher, its buffer. Cheap to clone;
/// clones are the same stage, which runs once at a time.
///
/// # Examples
///
/// ```
/// # use std::convert::Infallible;
/// # use callboard::stage::{Consumer, Inlets, Outlet, Producer, StageResult};
/// # struct Counter(u64);
/// # impl Producer for Counter {
/// #     type Event = u64;
/// #     type Message = Infallible;
/// #     async fn produce(&mut self, demand: usize, outlet: &mut Outlet<u64>) -> StageResult {
/// #         outlet.emit_all(self.0..self.0 + demand as u64);
/// #         self.0 += demand as u64;
/// #         Ok(())
/// #     }
/// # }
/// # struct Printer;
/// # impl Consumer for Printer {
/// #     type Event = u64;
/// #     type Message = Infallible;
/// #     async fn consume(&mut self, _: Vec<u64>, _: &mut Inlets<u64>) -> StageResult {
/// #         Ok(())
/// #     }
/// # }
/// use callboard::stage::{self, Cancel, SubscribeOptions};
/// use callboard::supervision::{Strategy, SupervisorSpec};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = stage::producer("counter", || Counter(0));
/// let options = SubscribeOptions::new().max_demand(10).cancel(Cancel::resubscribe());
/// let printer = stage::consumer("printer", || Printer).subscribe(counter.source(), options);
///
/// let tree = SupervisorSpec::new(Strategy::OneForOne)
///     .child(counter.child())
///     .child(printer.child())
///     .spawn()
///     .await?;
/// # tree.stop_and_wait("done", None).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a specification does nothing until it is started"]
pub struct StageSpec<B: ProducerConsumer> {
    pub(super) name: Arc<str>,
    pub(super) build: Arc<dyn Fn() -> B + Send + Sync>,
    pub(super) source: Source<B::Out>,
    pub(super) subscriptions: Subscriptions<B::In>,
    pub(super) dispatcher: MakeDispatcher<B::Out>,
    pub(super) buffer: BufferOptions,
    pub(super) gate: Gate,
    pub(super) place: Place<B>,
    pub(super) gauges: Arc<Gauges>,
}

/// A producer, made by `build` at every start.
pub fn producer<P: Producer>(
    name: impl Into<Arc<str>>,
    build: impl Fn() -> P + Send + Sync + 'static,
) -> StageSpec<Produces<P>> {
    let buffer = BufferOptions::bounded(DEFAULT_BUFFER_SIZE);
    StageSpec::new(name.into(), move || Produces(build()), buffer)
}

/// A producer-consumer, made by `build` at every start.
pub fn producer_consumer<S: ProducerConsumer>(
    name: impl Into<Arc<str>>,
    build: impl Fn() -> S + Send + Sync + 'static,
) -> StageSpec<S> {
    StageSpec::new(name.into(), build, BufferOptions::unbounded())
}

/// A consumer, made by `build` at every start.
pub fn consumer<C: Consumer>(
    name: impl Into<Arc<str>>,
    build: impl Fn() -> C + Send + Sync + 'static,
) -> StageSpec<Consumes<C>> {
    let buffer = BufferOptions::bounded(0);
    StageSpec {
        dispatcher: Arc::new(|| Box::new(NoDispatcher)),
        ..StageSpec::new(name.into(), move || Consumes(build()), buffer)
    }
}

impl<B: ProducerConsumer> StageSpec<B> {
    fn new(
        name: Arc<str>,
        build: impl Fn() -> B + Send + Sync + 'static,
        buffer: BufferOptions,
    ) -> Self {
        Self {
            source: Source::new(Arc::clone(&name)),
            build: Arc::new(build),
            subscriptions: Vec::new(),
            dispatcher: Arc::new(|| Box::new(DemandDispatcher::new())),
            buffer,
            gate: Gate::Open,
            place: Arc::new(watch::Sender::new(None)),
            gauges: Arc::new(Gauges::new(Arc::clone(&name))),
            name,
        }
    }

    /// Subscribes to a producer at every start. Any number of them.
    pub fn subscribe(mut self, source: Source<B::In>, options: SubscribeOptions<B::In>) -> Self {
        self.subscriptions.push((source, options));
        self
    }

    /// Says who gets which event (default [`DemandDispatcher`]); made anew at every start.
    pub fn dispatcher<D: Dispatcher<B::Out>>(
        mut self,
        make: impl Fn() -> D + Send + Sync + 'static,
    ) -> Self {
        self.dispatcher = Arc::new(move || Box::new(make()));
        self
    }

    /// Says how many events are kept that nobody has asked for (default: [`DEFAULT_BUFFER_SIZE`] of a
    /// producer, of a producer-consumer as many as it makes).
    pub fn buffer(mut self, buffer: BufferOptions) -> Self {
        self.buffer = buffer;
        self
    }

    /// Lets asks and events gather until [`StageRef::forward`], so that everybody can subscribe
    /// first.
    pub fn accumulate(mut self) -> Self {
        self.gate = Gate::Accumulating;
        self
    }

    /// Announces itself at this source, which may be known before the stage is made (default: one of
    /// its own).
    pub fn announce_at(mut self, source: Source<B::Out>) -> Self {
        self.source = source;
        self
    }

    /// Its name, for people; the id of its [`child`](Self::child).
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Where its events are to be had.
    #[must_use]
    pub fn source(&self) -> Source<B::Out> {
        self.source.clone()
    }

    /// A hold on the stage, now and after its restart.
    #[must_use]
    pub fn handle(&self) -> StageRef<B> {
        StageRef::new(
            Arc::clone(&self.name),
            Arc::clone(&self.place),
            self.source(),
            Arc::clone(&self.gauges),
        )
    }

    /// The stage as a child of a supervisor. Its [`StageInfo`](super::StageInfo) stands in the
    /// snapshots of the tree.
    pub fn child(&self) -> ChildSpec {
        let gauges = Arc::clone(&self.gauges);
        ChildSpec::actor(&*self.name, StageActor::NEW, self.clone())
            .role(match B::KIND {
                StageKind::Producer => "producer",
                StageKind::ProducerConsumer => "producer-consumer",
                StageKind::Consumer => "consumer",
            })
            .detail(move || gauges.info())
    }

    /// Starts the stage alone, without a supervisor: it is not restarted.
    ///
    /// # Errors
    ///
    /// [`StageError::Start`].
    pub async fn spawn(&self) -> Result<StageRef<B>, StageError> {
        let spawned = Actor::spawn(None, StageActor::NEW, self.clone()).await;
        self.started(spawned.map(drop))
    }

    /// Starts the stage linked to an actor, whose supervision it is under.
    ///
    /// # Errors
    ///
    /// [`StageError::Start`].
    pub async fn spawn_linked(&self, supervisor: ActorCell) -> Result<StageRef<B>, StageError> {
        let spawned = Actor::spawn_linked(None, StageActor::NEW, self.clone(), supervisor).await;
        self.started(spawned.map(drop))
    }

    fn started(&self, spawned: Result<(), ractor::SpawnErr>) -> Result<StageRef<B>, StageError> {
        let failed = |cause| StageError::Start {
            stage: Arc::clone(&self.name),
            cause: Box::new(cause),
        };
        spawned.map_err(failed)?;
        Ok(self.handle())
    }

    pub(super) fn check(&self) -> Result<(), StageError> {
        let mut subscriptions = self.subscriptions.iter();
        subscriptions.try_for_each(|(source, options)| {
            options.check(source.name())?;
            self.check_asks(source, options)
        })
    }

    pub(super) fn check_asks(
        &self,
        source: &Source<B::In>,
        options: &SubscribeOptions<B::In>,
    ) -> Result<(), StageError> {
        if B::KIND == StageKind::Consumer && options.asks == Asks::Forwarded {
            return Err(StageError::NothingToForward {
                source_name: source.name().to_string(),
            });
        }
        Ok(())
    }
}

impl<B: ProducerConsumer> Clone for StageSpec<B> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            build: Arc::clone(&self.build),
            source: self.source.clone(),
            subscriptions: self.subscriptions.clone(),
            dispatcher: Arc::clone(&self.dispatcher),
            buffer: self.buffer,
            gate: self.gate,
            place: Arc::clone(&self.place),
            gauges: Arc::clone(&self.gauges),
        }
    }
}

impl<B: ProducerConsumer> fmt::Debug for StageSpec<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StageSpec")
            .field("name", &self.name)
            .field("subscriptions", &self.subscriptions)
            .field("buffer", &self.buffer)
            .finish_non_exhaustive()
    }
}
