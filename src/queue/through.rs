//! A stage between a queue's fetcher and its workers: [`Through`].

use std::fmt;
use std::sync::Arc;

use super::Lease;
use crate::Error;
use crate::job::{NameOf, check_name};
use crate::stage::{
    self, Asks, Cancel, DEFAULT_MAX_DEMAND, MAX_DEMAND, ProducerConsumer, Source, SubscribeOptions,
};
use crate::supervision::{Backoff, ChildSpec};

type After = Arc<dyn Fn(&Through, Source<Lease>) -> (ChildSpec, Source<Lease>) + Send + Sync>;

/// A stage between a queue's fetcher and its workers, which may look at jobs, attach something to
/// them, answer them itself, hold them for a while, or bring them into another order.
///
/// Made of a [`ProducerConsumer`] of [`Lease`]s, by name and with options, or just of its value.
/// It runs in the queue's part of the tree, under its name, and is built anew when it crashes. Whatever
/// it holds then is answered for: see [`Lease`].
///
/// # Examples
///
/// ```
/// use std::convert::Infallible;
/// use callboard::Queue;
/// use callboard::queue::{Lease, Through};
/// use callboard::stage::{Flow, ProducerConsumer, StageResult};
///
/// /// Looks up the tenant of each job, for its handler.
/// #[derive(Clone)]
/// struct Enrich;
/// struct Tenant(String);
///
/// impl ProducerConsumer for Enrich {
///     type In = Lease;
///     type Out = Lease;
///     type Message = Infallible;
///
///     async fn transform(
///         &mut self,
///         jobs: Vec<Lease>,
///         flow: &mut Flow<Lease, Lease>,
///     ) -> StageResult {
///         for mut job in jobs {
///             job.attach(Tenant("acme".to_owned()));
///             flow.outlet.emit(job);
///         }
///         Ok(())
///     }
/// }
///
/// let mail = Queue::new("mail").through(Enrich);
/// let bulk = Queue::new("bulk").through(Through::new("enrich", || Enrich).max_demand(50));
/// ```
#[derive(Clone)]
#[must_use]
pub struct Through {
    name: Arc<str>,
    asks: Asks,
    max_demand: u32,
    after: After,
}

impl Through {
    /// A stage of this name, unique in its queue, made by `build` at every start.
    pub fn new<S>(name: impl Into<String>, build: impl Fn() -> S + Send + Sync + 'static) -> Self
    where
        S: ProducerConsumer<In = Lease, Out = Lease>,
    {
        let build = Arc::new(build);
        let after = move |through: &Self, source: Source<Lease>| {
            let build = Arc::clone(&build);
            let stage = stage::producer_consumer(Arc::clone(&through.name), move || build());
            let stage = stage.subscribe(source, through.options());
            (stage.child(), stage.source())
        };
        Self {
            name: name.into().into(),
            asks: Asks::Forwarded,
            max_demand: DEFAULT_MAX_DEMAND,
            after: Arc::new(after),
        }
    }

    /// Holds at most this many jobs that it has asked for (default
    /// [`DEFAULT_MAX_DEMAND`], 1 to [`MAX_DEMAND`]).
    pub fn max_demand(mut self, jobs: u32) -> Self {
        self.max_demand = jobs;
        self
    }

    /// Says who asks (default [`Asks::Forwarded`]: nothing is claimed that no worker has asked
    /// for). A stage that must gather jobs before it lets any go needs [`Asks::Automatic`]; what it
    /// holds then, no other node can run.
    pub fn asks(mut self, asks: Asks) -> Self {
        self.asks = asks;
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn options(&self) -> SubscribeOptions<Lease> {
        SubscribeOptions::new()
            .max_demand(self.max_demand)
            .asks(self.asks)
            .cancel(Cancel::Resubscribe(Backoff::none()))
    }

    /// The stage as a child that comes after this source, and where its jobs are to be had.
    pub(super) fn after(&self, source: Source<Lease>) -> (ChildSpec, Source<Lease>) {
        (self.after)(self, source)
    }

    pub(super) fn check(&self, queue: &str) -> Result<(), Error> {
        let name = &self.name;
        let refuse = |why: String| {
            Err(Error::config(format!(
                "the stage {name:?} of queue {queue:?} cannot be started: {why}"
            )))
        };
        if let Err(why) = check_name(NameOf::Queue, name) {
            return refuse(why.to_string());
        }
        if ["fetcher", "workers"].contains(&&**name) {
            return refuse("the queue has a part of this name itself".to_owned());
        }
        if self.max_demand == 0 || self.max_demand > MAX_DEMAND {
            let value = self.max_demand;
            return refuse(format!("max_demand is {value}; expected 1 to {MAX_DEMAND}"));
        }
        Ok(())
    }
}

/// A stage under the name of its type, started from a clone of this value each time.
impl<S> From<S> for Through
where
    S: ProducerConsumer<In = Lease, Out = Lease> + Clone + Sync,
{
    fn from(stage: S) -> Self {
        Self::new(short_name(std::any::type_name::<S>()), move || {
            stage.clone()
        })
    }
}

/// `app::stages::Enrich<u8>` → `Enrich`.
fn short_name(type_name: &str) -> &str {
    let plain = type_name.split('<').next().unwrap_or(type_name);
    plain.rsplit("::").next().unwrap_or(plain)
}

impl fmt::Debug for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Through")
            .field("name", &self.name)
            .field("asks", &self.asks)
            .field("max_demand", &self.max_demand)
            .finish_non_exhaustive()
    }
}
