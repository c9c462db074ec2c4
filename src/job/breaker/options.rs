//! What a breaker is told.

use std::borrow::Cow;
use std::time::Duration;

use crate::job::{InvalidKind, MAX_WAIT, NameOf, check_name};

/// The share of failed calls at which a breaker opens, unless configured.
pub const DEFAULT_FAILURE_RATE: f64 = 0.5;
/// How many calls must have ended before a breaker judges, unless configured.
pub const DEFAULT_MINIMUM_CALLS: u32 = 20;
/// How many calls a breaker looks back at, unless configured.
pub const DEFAULT_WINDOW_CALLS: u32 = 100;
/// How long a breaker stays open before it lets probes through, unless configured.
pub const DEFAULT_OPEN_FOR: Duration = Duration::from_secs(30);
/// How long a breaker stays open at most, after probe upon probe has failed, unless configured.
pub const DEFAULT_LONGEST_OPEN: Duration = Duration::from_secs(10 * 60);
/// How many probes must succeed before a breaker closes, unless configured.
pub const DEFAULT_PROBES: u32 = 3;
/// How long the jobs that waited are held back after a breaker has closed, unless configured.
pub const DEFAULT_RAMP: Duration = Duration::from_secs(30);

const MAX_CALLS: u32 = 100_000;
const MAX_PROBES: u32 = 1_000;

/// What a breaker looks back at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Calls(u32),
    Time(Duration),
}

/// A circuit breaker: while what a kind of job calls is out of order, its jobs wait and spend no attempt.
///
/// Given by [`Job::breaker`](crate::Job::breaker), or to a function with
/// [`breaker`](crate::handler::FunctionHandler::breaker). Kinds that name the same breaker share it; then all
/// must give it the same options.
///
/// **Closed**, each node counts how the calls end: errors, panics and time limits are failures; what was
/// cancelled, snoozed, buried by decision, released or interrupted does not count. Each job of a batch is a
/// call. When the [minimum of calls](Self::minimum_calls) is reached and the share of failed or of slow calls
/// is at or above its rate, the breaker **opens**, on all nodes: its kinds are claimed no more, and what was
/// claimed and has not begun is returned, free of charge. What runs is left alone. After
/// [`open_for`](Self::open_for) it is **half open**, as soon as there is a job to try: a few jobs run as
/// probes, [so many](Self::probes) over all nodes. The first that fails opens it again, for twice as long;
/// when all have succeeded, it closes. For the time of the [ramp](Self::ramp) the jobs that waited are let
/// go by and by.
///
/// How it stands is in the database: a restart changes nothing, and people can look and
/// [act](crate::Client::breaker).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use callboard::Breaker;
///
/// let smtp = Breaker::named("smtp")
///     .failure_rate(0.5)
///     .slow_calls(Duration::from_secs(10), 0.8)
///     .minimum_calls(20)
///     .open_for(Duration::from_secs(30));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Breaker {
    pub(crate) name: Option<Cow<'static, str>>,
    pub(super) failure_rate: f64,
    /// What is slow, and which share of it is too much.
    pub(super) slow_calls: Option<(Duration, f64)>,
    pub(super) minimum_calls: u32,
    pub(super) over: Over,
    pub(crate) open_for: Duration,
    pub(crate) longest_open: Duration,
    pub(crate) probes: u32,
    pub(crate) ramp: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new()
    }
}

impl Breaker {
    /// A breaker of one kind alone, with the kind's name.
    pub fn new() -> Self {
        Self {
            name: None,
            failure_rate: DEFAULT_FAILURE_RATE,
            slow_calls: None,
            minimum_calls: DEFAULT_MINIMUM_CALLS,
            over: Over::Calls(DEFAULT_WINDOW_CALLS),
            open_for: DEFAULT_OPEN_FOR,
            longest_open: DEFAULT_LONGEST_OPEN,
            probes: DEFAULT_PROBES,
            ramp: DEFAULT_RAMP,
        }
    }

    /// A breaker with a name of its own, which kinds can share: at most 200 bytes, no white space.
    pub fn named(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: Some(name.into()),
            ..Self::new()
        }
    }

    /// Opens when this share of the calls in the window has failed (default [`DEFAULT_FAILURE_RATE`]; above 0,
    /// at most 1). Too low, and ordinary failures open it; 1, and one call that succeeds now and then keeps it
    /// closed.
    pub fn failure_rate(mut self, rate: f64) -> Self {
        self.failure_rate = rate;
        self
    }

    /// Opens too when this share of the calls in the window (above 0, at most 1) took longer than `over`,
    /// whether they failed or not (default: never). A probe that is slow has failed then. `over` at or above
    /// the time limit of a kind counts its time-outs alone.
    pub fn slow_calls(mut self, over: Duration, rate: f64) -> Self {
        self.slow_calls = Some((over, rate));
        self
    }

    /// Judges only when so many calls are in the window of a node (default [`DEFAULT_MINIMUM_CALLS`], 1 to
    /// 100,000). So many attempts are spent at least before it opens; too few, and chance opens it.
    pub fn minimum_calls(mut self, calls: u32) -> Self {
        self.minimum_calls = calls;
        self
    }

    /// Looks back at the last so many calls on a node (default: [`DEFAULT_WINDOW_CALLS`] calls; from
    /// [`minimum_calls`](Self::minimum_calls) to 100,000), however long ago they were. A longer window takes
    /// longer to notice an outage.
    pub fn over_calls(mut self, calls: u32) -> Self {
        self.over = Over::Calls(calls);
        self
    }

    /// Looks back at the calls on a node that ended within this time (100 ms to a day), in steps of a
    /// twentieth. Where fewer than [`minimum_calls`](Self::minimum_calls) end in that time, it never opens.
    pub fn over_time(mut self, time: Duration) -> Self {
        self.over = Over::Time(time);
        self
    }

    /// Lets probes through when it has been open for so long (default [`DEFAULT_OPEN_FOR`], 10 ms to a hundred
    /// years). It doubles with each opening, until it has been closed for [`longest_open`](Self::longest_open).
    /// Each round of probes may spend an attempt.
    pub fn open_for(mut self, time: Duration) -> Self {
        self.open_for = time;
        self
    }

    /// Lets probes through at the latest when it has been open for so long (default [`DEFAULT_LONGEST_OPEN`], at
    /// least [`open_for`](Self::open_for)): how long jobs may wait after an outage is over.
    pub fn longest_open(mut self, time: Duration) -> Self {
        self.longest_open = time;
        self
    }

    /// Closes when so many probes have succeeded, and lets no more than that run while it is half open, over
    /// all nodes (default [`DEFAULT_PROBES`], 1 to 1,000). Many of them are a load on what is just coming
    /// back; one can be luck.
    pub fn probes(mut self, probes: u32) -> Self {
        self.probes = probes;
        self
    }

    /// Holds the jobs that waited back for so long after it has closed, so that they do not start in one moment
    /// (default [`DEFAULT_RAMP`], at most a day; zero: not at all).
    ///
    /// In that time a growing share of a queue's workers may run its kinds: one worker on each node at first,
    /// all of them at the end. Retries need no spreading of their own: each wait has
    /// [jitter](crate::Backoff) already, and those that come due meanwhile are held back with the others.
    pub fn ramp(mut self, time: Duration) -> Self {
        self.ramp = time;
        self
    }

    /// Checks what the type system does not; `kind` is who gives it.
    pub(crate) fn check(&self, kind: &str) -> Result<(), InvalidKind> {
        let refuse = |option: &str, value: String, expected: &str| {
            Err(InvalidKind::new(format!(
                "the kind {kind:?} has Breaker::{option} {value}; expected {expected}"
            )))
        };
        if let Some(name) = &self.name {
            check_name(NameOf::Breaker, name)?;
        }
        let is_rate = |rate: f64| rate > 0.0 && rate <= 1.0;
        if !is_rate(self.failure_rate) {
            let rate = self.failure_rate.to_string();
            return refuse("failure_rate", rate, "above 0, at most 1");
        }
        if let Some((over, rate)) = self.slow_calls
            && (!is_rate(rate) || over.is_zero() || over > MAX_WAIT)
        {
            let expected = "a time above zero, and a rate above 0 and at most 1";
            return refuse("slow_calls", format!("({over:?}, {rate})"), expected);
        }
        if self.minimum_calls == 0 || self.minimum_calls > MAX_CALLS {
            let calls = self.minimum_calls.to_string();
            return refuse("minimum_calls", calls, "1 to 100000");
        }
        match self.over {
            Over::Calls(calls) if calls < self.minimum_calls || calls > MAX_CALLS => {
                let expected = format!("minimum_calls ({}) to 100000", self.minimum_calls);
                return refuse("over_calls", calls.to_string(), &expected);
            }
            Over::Time(time)
                if time < Duration::from_millis(100) || time > Duration::from_secs(86_400) =>
            {
                return refuse("over_time", format!("{time:?}"), "100ms to a day");
            }
            _ => {}
        }
        self.check_times(refuse)
    }

    fn check_times(
        &self,
        refuse: impl Fn(&str, String, &str) -> Result<(), InvalidKind>,
    ) -> Result<(), InvalidKind> {
        if self.open_for < Duration::from_millis(10) || self.open_for > MAX_WAIT {
            let expected = "10ms to a hundred years";
            return refuse("open_for", format!("{:?}", self.open_for), expected);
        }
        if self.longest_open < self.open_for || self.longest_open > MAX_WAIT {
            let expected = format!("open_for ({:?}) to a hundred years", self.open_for);
            return refuse(
                "longest_open",
                format!("{:?}", self.longest_open),
                &expected,
            );
        }
        if self.probes == 0 || self.probes > MAX_PROBES {
            return refuse("probes", self.probes.to_string(), "1 to 1000");
        }
        if self.ramp > Duration::from_secs(86_400) {
            return refuse("ramp", format!("{:?}", self.ramp), "at most a day");
        }
        Ok(())
    }
}
