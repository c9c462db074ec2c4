//! A queue under load, simulated: what an autoscaler does, without jobs, actors, a database or a clock.
//!
//! Time goes in steps of 10 ms. Jobs come at random (a Poisson process from a fixed seed), wait in one line,
//! and keep a worker for as long as they take; a worker that has to go finishes its job first, as the real
//! ones do. So a policy can be tried against a load in milliseconds, and the same load gives the same result.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::queue::{Autoscale, MAX_WAITING, Reading, Steps};

const TICK: f64 = 0.01;
const SEED: u64 = 7;

type Over<T> = Arc<dyn Fn(f64) -> T + Send + Sync>;

/// A load on a queue, for trying out an [`Autoscale`] or a [`Policy`](crate::queue::Policy) of one's own.
///
/// All that varies is given as a function of the seconds since the beginning.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callboard::queue::Autoscale;
/// use callboard::testing::Load;
///
/// let step = Load::lasting(Duration::from_secs(300))
///     .jobs_per_second(|at| if at < 100.0 { 5.0 } else { 50.0 })
///     .seconds_per_job(|_| 0.2);
/// let scaled = step.run(&Autoscale::between(1, 50));
/// let last = scaled.samples().last().unwrap();
/// // 50 × 0.2 s are 10 busy workers, which is four fifths of 12.5.
/// assert!((11..=15).contains(&last.workers));
/// ```
#[derive(Clone)]
#[must_use]
pub struct Load {
    lasts: Duration,
    jobs_per_second: Over<f64>,
    seconds_per_job: Over<f64>,
    supply: Option<f64>,
}

/// How a simulated queue stood, each second.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// Seconds since the beginning.
    pub at: f64,
    /// Jobs that came, a second, as the load was given.
    pub jobs_per_second: f64,
    /// Workers, with those that finish a last job.
    pub workers: u32,
    /// Jobs that wait.
    pub waiting: u32,
}

/// What became of a simulated load.
#[derive(Debug, Clone)]
pub struct Simulated {
    samples: Vec<Sample>,
    /// Of the jobs that began, in seconds, in ascending order.
    waits: Vec<f64>,
    worker_seconds: f64,
    reversals: u32,
}

impl Load {
    /// A load that lasts so long: unless told otherwise, one job a second that takes a second.
    pub fn lasting(lasts: Duration) -> Self {
        Self {
            lasts,
            jobs_per_second: Arc::new(|_| 1.0),
            seconds_per_job: Arc::new(|_| 1.0),
            supply: None,
        }
    }

    /// How many jobs come, a second, on average.
    pub fn jobs_per_second(mut self, rate: impl Fn(f64) -> f64 + Send + Sync + 'static) -> Self {
        self.jobs_per_second = Arc::new(rate);
        self
    }

    /// How long a job takes that begins then.
    pub fn seconds_per_job(mut self, time: impl Fn(f64) -> f64 + Send + Sync + 'static) -> Self {
        self.seconds_per_job = Arc::new(time);
        self
    }

    /// Lets the database give out no more than so many jobs a second (default: any number).
    pub fn supply(mut self, jobs_per_second: f64) -> Self {
        self.supply = Some(jobs_per_second);
        self
    }

    /// What comes of it with these workers.
    #[must_use]
    pub fn run(&self, autoscale: &Autoscale) -> Simulated {
        Simulation::new(self, autoscale.clone()).run()
    }

    /// What comes of it with a fixed number of workers.
    #[must_use]
    pub fn run_fixed(&self, workers: u32) -> Simulated {
        self.run(&Autoscale::between(workers, workers))
    }
}

impl Simulated {
    /// How things stood, each second.
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The time that so large a share of the jobs waited at most, before they began: 0.5 is the median.
    #[must_use]
    pub fn wait(&self, share: f64) -> Duration {
        let last = self.waits.len().saturating_sub(1);
        let index = (last as f64 * share.clamp(0.0, 1.0)).round() as usize;
        Duration::from_secs_f64(self.waits.get(index).copied().unwrap_or_default())
    }

    /// How many jobs began.
    #[must_use]
    pub fn begun(&self) -> usize {
        self.waits.len()
    }

    /// How many workers there were, on average.
    #[must_use]
    pub fn mean_workers(&self) -> f64 {
        let seconds = self.samples.last().map_or(1.0, |last| last.at);
        self.worker_seconds / seconds.max(TICK)
    }

    /// How often the number of workers turned from growing to shrinking or back.
    #[must_use]
    pub fn reversals(&self) -> u32 {
        self.reversals
    }
}

struct Simulation<'a> {
    load: &'a Load,
    options: Autoscale,
    steps: Steps,
    random: fastrand::Rng,
    target: u32,
    /// When each that runs ends.
    running: Vec<f64>,
    /// When each that waits came.
    waiting: VecDeque<f64>,
    may_claim: f64,
    period: Period,
    busy_lately: f64,
    seconds_per_job: Option<f64>,
    grows: Option<bool>,
    result: Simulated,
}

/// What happened since the last reading.
#[derive(Default)]
struct Period {
    busy_seconds: f64,
    finished: u32,
}

impl<'a> Simulation<'a> {
    fn new(load: &'a Load, options: Autoscale) -> Self {
        Self {
            load,
            steps: Steps::default(),
            random: fastrand::Rng::with_seed(SEED),
            target: options.min,
            options,
            running: Vec::new(),
            waiting: VecDeque::new(),
            may_claim: 0.0,
            period: Period::default(),
            busy_lately: 0.0,
            seconds_per_job: None,
            grows: None,
            result: Simulated {
                samples: Vec::new(),
                waits: Vec::new(),
                worker_seconds: 0.0,
                reversals: 0,
            },
        }
    }

    fn run(mut self) -> Simulated {
        let ticks = (self.load.lasts.as_secs_f64() / TICK) as u64;
        let ticks_per_reading = ((self.options.every.as_secs_f64() / TICK) as u64).max(1);
        let ticks_per_sample = (1.0 / TICK) as u64;
        for tick in 0..=ticks {
            let now = tick as f64 * TICK;
            self.tick(now);
            if tick > 0 && tick % ticks_per_reading == 0 {
                self.scale(now);
            }
            if tick % ticks_per_sample == 0 {
                self.sample(now);
            }
        }
        self.result.waits.sort_unstable_by(f64::total_cmp);
        self.result
    }

    fn tick(&mut self, now: f64) {
        let before = self.running.len();
        self.running.retain(|ends_at| *ends_at > now);
        self.period.finished += (before - self.running.len()) as u32;
        for _ in 0..self.comes((self.load.jobs_per_second)(now) * TICK) {
            self.waiting.push_back(now);
        }
        // What is not claimed in a tick cannot be made up for later.
        self.may_claim = match self.load.supply {
            Some(rate) => (self.may_claim + rate * TICK).min(rate.mul_add(TICK, 1.0)),
            None => f64::INFINITY,
        };
        while (self.running.len() as u32) < self.target && self.may_claim >= 1.0 {
            let Some(came_at) = self.waiting.pop_front() else {
                break;
            };
            self.may_claim -= 1.0;
            self.result.waits.push(now - came_at);
            self.running.push(now + (self.load.seconds_per_job)(now));
        }
        self.period.busy_seconds += self.running.len() as f64 * TICK;
        self.result.worker_seconds += f64::from(self.workers()) * TICK;
    }

    /// How many come when so many are expected: Knuth's product of uniform numbers, The Art of Computer
    /// Programming, volume 2, 3.4.1.
    fn comes(&mut self, expected: f64) -> u32 {
        let (limit, mut product) = ((-expected).exp(), self.random.f64());
        let mut count = 0;
        while product > limit {
            product *= self.random.f64();
            count += 1;
        }
        count
    }

    fn workers(&self) -> u32 {
        self.target.max(self.running.len() as u32)
    }

    fn scale(&mut self, now: f64) {
        let reading = self.reading(now);
        let wanted = self.options.policy.wants(&reading);
        let next = self.steps.next(self.target, wanted, &self.options);
        if next != self.target {
            let grows = next > self.target;
            self.result.reversals += u32::from(self.grows.is_some_and(|before| before != grows));
            self.grows = Some(grows);
        }
        self.target = next;
    }

    fn reading(&mut self, now: f64) -> Reading {
        let seconds = self.options.every.as_secs_f64();
        let Period {
            busy_seconds,
            finished,
        } = std::mem::take(&mut self.period);
        if finished > 0 {
            self.seconds_per_job = Some((self.load.seconds_per_job)(now));
        }
        let busy = busy_seconds / seconds;
        self.busy_lately = Reading::smoothed(self.busy_lately, busy);
        Reading {
            workers: self.workers(),
            busy,
            busy_lately: self.busy_lately,
            waiting: (self.waiting.len() as u32).min(MAX_WAITING),
            oldest: Duration::from_secs_f64(self.waiting.front().map_or(0.0, |came| now - came)),
            finished_per_second: f64::from(finished) / seconds,
            seconds_per_job: self.seconds_per_job,
            ..Reading::default()
        }
    }

    fn sample(&mut self, now: f64) {
        self.result.samples.push(Sample {
            at: now,
            jobs_per_second: (self.load.jobs_per_second)(now),
            workers: self.workers(),
            waiting: self.waiting.len() as u32,
        });
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load")
            .field("lasts", &self.lasts)
            .field("supply", &self.supply)
            .finish_non_exhaustive()
    }
}
