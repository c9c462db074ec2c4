//! What a queue is told.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Autoscale, Express, LANES, Through};
use crate::client::MAX_WORKERS;
use crate::handler::StateFactory;
use crate::job::{MAX_WAIT, NameOf, check_name};
use crate::{BoxError, Error};

/// How many workers a queue has unless configured.
pub const DEFAULT_WORKERS: u32 = 10;
/// How many jobs a worker asks for at a time unless configured.
pub const DEFAULT_MAX_DEMAND: u32 = 1;
/// How many jobs a fetcher may claim beyond what is asked for unless configured.
pub const DEFAULT_LOOK_AHEAD: u32 = 5_000;
/// How often a queue looks for jobs that nobody announced, unless configured.
pub const DEFAULT_POLL_EVERY: Duration = Duration::from_secs(1);
/// How long a cancelled handler may take to stop by itself unless configured.
pub const DEFAULT_CANCEL_GRACE: Duration = Duration::from_secs(5);

/// The longest time between two polls.
const MAX_POLL_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// The most jobs that a worker may ask for at a time, and that may be claimed ahead.
const MAX_STEP: u32 = 10_000;

/// What becomes of jobs that this process enqueues while its own workers wait for some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AtBirth {
    /// They are inserted as claimed by this node, as far as nobody waits before them, and start without a
    /// claim. Those of a bulk of more than 1,000 are not: nobody may begin them before all are there.
    #[default]
    Claimed,
    /// They are inserted as available, for whichever node claims them first.
    Available,
}

/// A queue that this node serves.
///
/// # Examples
///
/// ```
/// use callboard::Queue;
///
/// let mail = Queue::new("mail").workers(5);
/// let analytics = Queue::new("analytics").workers(3).max_demand(100);
/// let model = Queue::new("ml").workers(1).worker_state(|| async {
///     // Whatever takes long to load; rebuilt only after a crash.
///     Ok::<_, std::io::Error>(vec![0.5_f32; 1024])
/// });
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Queue {
    pub(crate) name: Arc<str>,
    pub(crate) workers: u32,
    pub(crate) max_demand: u32,
    pub(crate) look_ahead: u32,
    pub(crate) poll_every: Duration,
    pub(crate) cancel_grace: Duration,
    pub(crate) at_birth: AtBirth,
    pub(crate) state: StateFactory,
    pub(crate) through: Vec<Through>,
    pub(crate) autoscale: Option<Autoscale>,
    pub(crate) express: Option<Express>,
}

impl Queue {
    /// A queue of this name: at most 100 bytes, no white space.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into().into(),
            workers: DEFAULT_WORKERS,
            max_demand: DEFAULT_MAX_DEMAND,
            look_ahead: DEFAULT_LOOK_AHEAD,
            poll_every: DEFAULT_POLL_EVERY,
            cancel_grace: DEFAULT_CANCEL_GRACE,
            at_birth: AtBirth::default(),
            state: StateFactory::nothing(),
            through: Vec::new(),
            autoscale: None,
            express: None,
        }
    }

    /// Runs at most this many jobs at once on this node (default [`DEFAULT_WORKERS`], 1 to 100,000).
    /// A worker is an actor of a few kilobytes; too few leave jobs waiting, too many overwhelm what
    /// the jobs use. It can be changed while the queue runs: [`QueueHandle::scale`](crate::client::QueueHandle::scale).
    pub fn workers(mut self, workers: u32) -> Self {
        self.workers = workers;
        self
    }

    /// Has as many workers on this node as the queue needs, within bounds, in the place of a fixed number; see
    /// [`Autoscale`]. While somebody has [scaled](crate::client::QueueHandle::scale) the queue by hand, that
    /// number holds.
    pub fn autoscale(mut self, autoscale: Autoscale) -> Self {
        self.autoscale = Some(autoscale);
        self
    }

    /// Lets a worker ask for this many jobs at a time (default [`DEFAULT_MAX_DEMAND`], 1 to 10,000).
    ///
    /// A worker still runs one job after the other; what it has asked for waits in its hands. Larger
    /// steps save messages for jobs of microseconds; with slow jobs they make jobs wait behind a slow
    /// one while other workers are idle.
    pub fn max_demand(mut self, max_demand: u32) -> Self {
        self.max_demand = max_demand;
        self
    }

    /// Lets the fetcher claim up to this many jobs beyond what is asked for (default
    /// [`DEFAULT_LOOK_AHEAD`], at most 10,000, and 16 MB of arguments; 0: never).
    ///
    /// It only does so for jobs so quick that workers would wait for the round trip of a claim, and
    /// returns what is not asked for after all. The more is claimed at once, the less a job costs; but what is in
    /// hand runs before what comes more urgently, and if the process dies, it counts as having run, and its jobs
    /// begin [one at a time](crate::board::Builder::max_deaths) afterwards.
    pub fn look_ahead(mut self, look_ahead: u32) -> Self {
        self.look_ahead = look_ahead;
        self
    }

    /// Says what becomes of jobs that this process enqueues while its own workers wait for some (default
    /// [`AtBirth::Claimed`]).
    ///
    /// Claimed at birth, a job starts as soon as its enqueue is durable, and costs the database a write less.
    /// Urgency and order are kept: nothing is claimed at birth while the queue has something to run that is
    /// as urgent or more. No more than what is asked for is claimed so, and of quick jobs what the workers
    /// finish while two enqueues are in flight, at most twice the [`look_ahead`](Self::look_ahead); the rest, jobs
    /// with an ordering key, kinds that are not registered here, and what is enqueued in a transaction of yours
    /// or in several statements are available to all.
    ///
    /// An enqueue of 100 calls or more waits for a claim of its queue that is under way, if the last one left nobody
    /// waiting and most of its jobs may be born then: for 10 microseconds a call at most. If that was in vain, none
    /// waits for eight times as long, twice that the next time, and so on up to 10 seconds, until some are born.
    ///
    /// Choose [`AtBirth::Available`] if long jobs are enqueued by one node and are to spread over many: a
    /// node with idle workers keeps its own jobs otherwise.
    pub fn at_birth(mut self, at_birth: AtBirth) -> Self {
        self.at_birth = at_birth;
        self
    }

    /// Runs the jobs of this queue in the express lane: short ones, of milliseconds at most, for a fraction of what
    /// they cost the database otherwise.
    ///
    /// A job is claimed by a lock and not by a write, in a transaction that stays open while it runs, together
    /// with those that were claimed with it. When all of them have ended, or after a
    /// [bound](Express::bound), one statement deletes what is completed and writes its history, and what has not
    /// ended becomes an ordinary executing job. If the process dies, the locks go with it; its jobs are charged
    /// with the death as elsewhere, and run again within moments. All that is promised of jobs holds here too; what
    /// differs:
    ///
    /// - Until the bound is over, a job that runs is shown as available, and a
    ///   [cancellation](crate::Client::cancel) waits for it.
    /// - If the connection of a transaction is lost, all that it holds runs again, also what had ended, under the
    ///   same numbers of attempts: up to a bound's worth of jobs.
    /// - Jobs with an ordering key, jobs under which a process died, and isolated kinds take the ordinary way, with
    ///   what was claimed together with them; so does a queue with [limits](crate::job::Limits), and a
    ///   kind that its breaker rations. A handler that keeps a [checkpoint](crate::Context::checkpoint), tells
    ///   its [progress](crate::Context::progress) or [completes](crate::Context::complete_in) in a
    ///   transaction of its own leaves the lane for that, along with its batch.
    /// - Nothing is claimed at birth.
    ///
    /// It takes two connections for a queue. Choose it for many short jobs. Jobs that take longer than the bound
    /// are written once more than the ordinary way, and handlers that block their threads keep transactions
    /// open: after 15 s the server ends these, and what they held runs again.
    pub fn express(mut self, express: Express) -> Self {
        self.express = Some(express);
        self
    }

    /// How many batches of the express lane may be open at once.
    pub(crate) fn batches(&self) -> usize {
        self.express.as_ref().map_or(0, |_| LANES)
    }

    /// Looks for jobs that nobody announced this often (default [`DEFAULT_POLL_EVERY`], 10 ms
    /// to a day). Announced jobs start at once, so this bounds the delay only when notifications are
    /// lost; shorter costs the database a query each time.
    pub fn poll_every(mut self, poll_every: Duration) -> Self {
        self.poll_every = poll_every;
        self
    }

    /// Lets a cancelled handler take this long to stop by itself before its future is dropped
    /// (default [`DEFAULT_CANCEL_GRACE`], at most a hundred years).
    pub fn cancel_grace(mut self, cancel_grace: Duration) -> Self {
        self.cancel_grace = cancel_grace;
        self
    }

    /// Gives each worker a state of its own, which its jobs find in
    /// [`Context::state`](crate::Context::state).
    ///
    /// Built when a worker starts and again after it crashed, never between jobs. If it cannot be
    /// built, the worker tries again with growing pauses, and the board's health says why.
    pub fn worker_state<F, Fut, S, E>(mut self, build: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<S, E>> + Send + 'static,
        S: Send + 'static,
        E: Into<BoxError>,
    {
        self.state = StateFactory::new(build);
        self
    }

    /// Puts a stage between the fetcher and the workers, behind those that are there already: a
    /// [`ProducerConsumer`](crate::stage::ProducerConsumer) of [`Lease`](super::Lease)s, or a
    /// [`Through`] with a name and options.
    pub fn through(mut self, stage: impl Into<Through>) -> Self {
        self.through.push(stage.into());
        self
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let name = &self.name;
        check_name(NameOf::Queue, name)
            .map_err(|why| Error::config("cannot start a queue").because(why))?;
        let refuse = |option: &str, value: String, expected: &str| {
            Err(Error::config(format!(
                "Queue::{option} of {name:?} is {value}; expected {expected}"
            )))
        };
        if self.workers == 0 || self.workers > MAX_WORKERS {
            return refuse(
                "workers",
                self.workers.to_string(),
                "1 to 100000; to serve no jobs, leave the queue out",
            );
        }
        if self.max_demand == 0 || self.max_demand > MAX_STEP {
            return refuse("max_demand", self.max_demand.to_string(), "1 to 10000");
        }
        if self.look_ahead > MAX_STEP {
            return refuse("look_ahead", self.look_ahead.to_string(), "0 to 10000");
        }
        if self.poll_every < Duration::from_millis(10) || self.poll_every > MAX_POLL_EVERY {
            return refuse(
                "poll_every",
                format!("{:?}", self.poll_every),
                "10ms to a day",
            );
        }
        if self.cancel_grace > MAX_WAIT {
            return refuse(
                "cancel_grace",
                format!("{:?}", self.cancel_grace),
                "at most a hundred years",
            );
        }
        if let Some((option, value, expected)) = self.autoscale.as_ref().and_then(Autoscale::fault)
        {
            return Err(Error::config(format!(
                "Autoscale::{option} of the queue {name:?} is {value}; expected {expected}"
            )));
        }
        if let Some((value, expected)) = self.express.as_ref().and_then(Express::fault) {
            return refuse("express: bound", value, expected);
        }
        let mut stages = HashSet::new();
        for stage in &self.through {
            stage.check(name)?;
            if !stages.insert(stage.name()) {
                let twice = stage.name().to_owned();
                return refuse(
                    "through",
                    twice,
                    "stages with different names; give one by Through::new",
                );
            }
        }
        Ok(())
    }
}
