//! What stages do: [`Producer`], [`ProducerConsumer`], [`Consumer`].
//!
//! All callbacks of a stage run in its actor, one after the other. An error or a panic crashes the
//! stage: its state and everything in its hands is dropped, its neighbours are told, and its supervisor
//! starts it anew.

use std::future::{Future, ready};

use super::{
    CancelReason, InletId, Inlets, Mailbox, Outlet, Overflow, StageResult, SubscriptionId,
};

/// Both sides of a stage.
#[derive(Debug)]
pub struct Flow<I: Send + 'static, O: Send + 'static> {
    /// Towards its producers.
    pub inlets: Inlets<I>,
    /// Towards its consumers.
    pub outlet: Outlet<O>,
}

/// Makes events when they are asked for.
///
/// # Examples
///
/// ```
/// use std::convert::Infallible;
/// use callboard::stage::{Outlet, Producer, StageResult};
///
/// /// Counts for ever.
/// struct Counter(u64);
///
/// impl Producer for Counter {
///     type Event = u64;
///     type Message = Infallible;
///
///     async fn produce(&mut self, demand: usize, outlet: &mut Outlet<u64>) -> StageResult {
///         let from = self.0;
///         self.0 += demand as u64;
///         outlet.emit_all(from..self.0);
///         Ok(())
///     }
/// }
/// ```
pub trait Producer: Sized + Send + 'static {
    /// What it makes.
    type Event: Send + 'static;
    /// What it can be told. [`Infallible`](std::convert::Infallible) if nothing.
    type Message: Send + 'static;

    /// Events are asked for: `demand` of them, more than 0, all in all and not only since the last
    /// time. Emits as many as there are; what is missing is remembered.
    ///
    /// Called after whatever may have changed something: an ask, a message of its own, and once more
    /// after it has emitted some, but not all. A producer that fetches its events by itself
    /// keeps in mind what is on its way.
    fn produce(
        &mut self,
        demand: usize,
        outlet: &mut Outlet<Self::Event>,
    ) -> impl Future<Output = StageResult> + Send;

    /// It begins; `myself` reaches this life of it.
    fn started(
        &mut self,
        _myself: Mailbox<Self::Message>,
        _outlet: &mut Outlet<Self::Event>,
    ) -> impl Future<Output = StageResult> + Send {
        ready(Ok(()))
    }

    /// It is told something. It may emit without being asked; that is buffered.
    fn handle(
        &mut self,
        _message: Self::Message,
        _outlet: &mut Outlet<Self::Event>,
    ) -> impl Future<Output = StageResult> + Send {
        ready(Ok(()))
    }

    /// Events have left for consumers. For producers that work ahead.
    fn delivered(
        &mut self,
        _outlet: &mut Outlet<Self::Event>,
    ) -> impl Future<Output = StageResult> + Send {
        ready(Ok(()))
    }

    /// Somebody has subscribed.
    fn joined(
        &mut self,
        _subscription: SubscriptionId,
        _outlet: &mut Outlet<Self::Event>,
    ) -> impl Future<Output = StageResult> + Send {
        ready(Ok(()))
    }

    /// A subscription was cancelled, or its consumer is lost.
    fn left(
        &mut self,
        _subscription: SubscriptionId,
        _outlet: &mut Outlet<Self::Event>,
    ) -> impl Future<Output = StageResult> + Send {
        ready(Ok(()))
    }

    /// The buffer had no room for these. They are counted and dropped unless it does otherwise.
    fn overflowed(&mut self, overflow: Overflow<Self::Event>) {
        drop(overflow);
    }

    /// It stops, of itself or because it is told to; not called if it crashes or is killed.
    fn stopping(&mut self) -> impl Future<Output = ()> + Send {
        ready(())
    }
}

/// Uses events, a step at a time.
///
/// # Examples
///
/// ```
/// use std::convert::Infallible;
/// use callboard::stage::{Consumer, Inlets, StageResult};
///
/// struct Printer;
///
/// impl Consumer for Printer {
///     type Event = u64;
///     type Message = Infallible;
///
///     async fn consume(&mut self, events: Vec<u64>, _: &mut Inlets<u64>) -> StageResult {
///         println!("{events:?}");
///         Ok(())
///     }
/// }
/// ```
pub trait Consumer: Sized + Send + 'static {
    /// What it uses.
    type Event: Send + 'static;
    /// What it can be told. [`Infallible`](std::convert::Infallible) if nothing.
    type Message: Send + 'static;

    /// Events have come. With automatic demand at most `max_demand - min_demand` at a time; the next
    /// are asked for when it returns.
    fn consume(
        &mut self,
        events: Vec<Self::Event>,
        inlets: &mut Inlets<Self::Event>,
    ) -> impl Future<Output = StageResult> + Send;

    /// It begins; `myself` reaches this life of it.
    fn started(
        &mut self,
        _myself: Mailbox<Self::Message>,
        _inlets: &mut Inlets<Self::Event>,
    ) -> impl Future<Output = StageResult> + Send {
        ready(Ok(()))
    }

    /// It is told something.
    fn handle(
        &mut self,
        _message: Self::Message,
        _inlets: &mut Inlets<Self::Event>,
    ) -> impl Future<Output = StageResult> + Send {
        ready(Ok(()))
    }

    /// A subscription has begun, for the first time or with a successor. With manual demand nothing
    /// comes of it before it [asks](Inlets::ask).
    fn subscribed(
        &mut self,
        _inlet: InletId,
        _inlets: &mut Inlets<Self::Event>,
    ) -> impl Future<Output = StageResult> + Send {
        ready(Ok(()))
    }

    /// A subscription is over. What follows is up to its [`Cancel`](super::Cancel).
    fn cancelled(
        &mut self,
        _inlet: InletId,
        _reason: &CancelReason,
        _inlets: &mut Inlets<Self::Event>,
    ) -> impl Future<Output = StageResult> + Send {
        ready(Ok(()))
    }

    /// It stops, of itself or because it is told to; not called if it crashes or is killed.
    fn stopping(&mut self) -> impl Future<Output = ()> + Send {
        ready(())
    }
}

/// Makes events of events. It is given some only while somebody wants what it makes of them.
///
/// # Examples
///
/// ```
/// use std::convert::Infallible;
/// use callboard::stage::{Flow, ProducerConsumer, StageResult};
///
/// struct Doubler;
///
/// impl ProducerConsumer for Doubler {
///     type In = u64;
///     type Out = u64;
///     type Message = Infallible;
///
///     async fn transform(&mut self, events: Vec<u64>, flow: &mut Flow<u64, u64>) -> StageResult {
///         flow.outlet.emit_all(events.into_iter().map(|number| number * 2));
///         Ok(())
///     }
/// }
/// ```
pub trait ProducerConsumer: Sized + Send + 'static {
    /// What it uses.
    type In: Send + 'static;
    /// What it makes.
    type Out: Send + 'static;
    /// What it can be told. [`Infallible`](std::convert::Infallible) if nothing.
    type Message: Send + 'static;

    /// Which kind of stage it is.
    #[doc(hidden)]
    const KIND: StageKind = StageKind::ProducerConsumer;

    /// Events have come, as in [`Consumer::consume`]. May emit more or fewer; what nobody has asked
    /// for is buffered.
    fn transform(
        &mut self,
        events: Vec<Self::In>,
        flow: &mut Flow<Self::In, Self::Out>,
    ) -> impl Future<Output = StageResult> + Send;

    /// So many events are asked for that it has not emitted, as in [`Producer::produce`]. Needs
    /// nothing done about it unless its own demand is [manual](super::Asks::Manual).
    fn demanded(
        &mut self,
        _demand: usize,
        _flow: &mut Flow<Self::In, Self::Out>,
    ) -> impl Future<Output = StageResult> + Send {
        ready(Ok(()))
    }

    /// As [`Producer::started`].
    fn started(
        &mut self,
        _myself: Mailbox<Self::Message>,
        _flow: &mut Flow<Self::In, Self::Out>,
    ) -> impl Future<Output = StageResult> + Send {
        ready(Ok(()))
    }

    /// As [`Producer::handle`].
    fn handle(
        &mut self,
        _message: Self::Message,
        _flow: &mut Flow<Self::In, Self::Out>,
    ) -> impl Future<Output = StageResult> + Send {
        ready(Ok(()))
    }

    /// As [`Producer::delivered`].
    fn delivered(
        &mut self,
        _flow: &mut Flow<Self::In, Self::Out>,
    ) -> impl Future<Output = StageResult> + Send {
        ready(Ok(()))
    }

    /// As [`Producer::joined`].
    fn joined(
        &mut self,
        _subscription: SubscriptionId,
        _flow: &mut Flow<Self::In, Self::Out>,
    ) -> impl Future<Output = StageResult> + Send {
        ready(Ok(()))
    }

    /// As [`Producer::left`].
    fn left(
        &mut self,
        _subscription: SubscriptionId,
        _flow: &mut Flow<Self::In, Self::Out>,
    ) -> impl Future<Output = StageResult> + Send {
        ready(Ok(()))
    }

    /// As [`Consumer::subscribed`].
    fn subscribed(
        &mut self,
        _inlet: InletId,
        _flow: &mut Flow<Self::In, Self::Out>,
    ) -> impl Future<Output = StageResult> + Send {
        ready(Ok(()))
    }

    /// As [`Consumer::cancelled`]. It is called before the stage follows its producer, so what it
    /// emits here is still delivered.
    fn cancelled(
        &mut self,
        _inlet: InletId,
        _reason: &CancelReason,
        _flow: &mut Flow<Self::In, Self::Out>,
    ) -> impl Future<Output = StageResult> + Send {
        ready(Ok(()))
    }

    /// As [`Producer::overflowed`].
    fn overflowed(&mut self, overflow: Overflow<Self::Out>) {
        drop(overflow);
    }

    /// As [`Producer::stopping`].
    fn stopping(&mut self) -> impl Future<Output = ()> + Send {
        ready(())
    }
}

/// The three kinds of stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageKind {
    /// Has consumers.
    Producer,
    /// Has both.
    ProducerConsumer,
    /// Has producers.
    Consumer,
}
