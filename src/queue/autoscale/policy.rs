//! From a reading to a number of workers.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::Reading;
use super::reading::UTILISATION;

/// While nothing waits, this much of the workers' time in use is good enough.
const GOOD: RangeInclusive<f64> = 0.6..=0.9;
/// Beyond this share of the processors or of the memory no worker is added.
const FULL: f64 = 0.9;
/// Beyond this share of the memory workers are taken away.
const OVERFULL: f64 = 0.95;

/// Says how many workers a reading asks for; bounds, hysteresis and step limits are applied to its answer.
///
/// A pure function: the same reading, the same answer. It is called once per period, and must not block.
#[derive(Clone)]
pub struct Policy(Arc<dyn Fn(&Reading) -> u32 + Send + Sync>);

impl Policy {
    /// A policy of one's own.
    pub fn new(policy: impl Fn(&Reading) -> u32 + Send + Sync + 'static) -> Self {
        Self(Arc::new(policy))
    }

    /// How many workers it wants.
    #[must_use]
    pub fn wants(&self, reading: &Reading) -> u32 {
        (self.0)(reading)
    }
}

impl From<ScaleByDemand> for Policy {
    fn from(policy: ScaleByDemand) -> Self {
        Self::new(move |reading| policy.wants(reading))
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy").finish_non_exhaustive()
    }
}

/// The policy unless another is given: enough workers for the work that is there.
///
/// By Little's law (J. D. C. Little, *A proof for the queuing formula L = λW*, 1961) the workers that are busy
/// on average are the jobs a second times the seconds a job takes. Those, at a utilisation of 80 %, keep up;
/// this node's share of what waits already, times the seconds a job takes, divided by
/// [`start_within`](Self::start_within), catches up:
///
/// ```text
/// wants = busy_lately / 0.8 + share × seconds_per_job / start_within
/// ```
///
/// While nothing waits and 60 to 90 % of the workers' time is in use, it leaves well alone.
///
/// If the oldest job has waited for longer than that, at least one worker more is wanted, whatever the counts
/// say. No worker is added while the supply of jobs is the bottleneck
/// ([`Reading::is_supply_short`]; then those go that idle beyond the 80 %), nor while 90 % of the processors or
/// of the memory are in use; at 95 % of the memory a quarter goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScaleByDemand {
    start_within: Duration,
}

impl ScaleByDemand {
    /// Aims at starting what is waiting within this time. Shorter reacts harder to a burst; below a few
    /// periods of the autoscaler it cannot be kept.
    #[must_use]
    pub fn start_within(start_within: Duration) -> Self {
        Self { start_within }
    }

    /// How many workers it wants.
    #[must_use]
    pub fn wants(&self, reading: &Reading) -> u32 {
        let wanted = self.by_demand(reading);
        let is_above = |share: Option<f64>, limit| share.is_some_and(|share| share >= limit);
        if is_above(reading.memory, OVERFULL) {
            return wanted.min(reading.workers - reading.workers.div_ceil(4));
        }
        if is_above(reading.memory, FULL) || is_above(reading.cpu, FULL) {
            return wanted.min(reading.workers);
        }
        wanted
    }

    fn by_demand(&self, reading: &Reading) -> u32 {
        let busy = match reading.waiting {
            0 => reading.busy_lately,
            _ => reading.busy_lately.max(reading.busy),
        };
        let keeps_up = busy / UTILISATION;
        if reading.is_supply_short() {
            return workers(reading.busy / UTILISATION).min(reading.workers);
        }
        let in_use = reading.busy_lately / f64::from(reading.workers.max(1));
        if reading.waiting == 0 && GOOD.contains(&in_use) {
            return reading.workers;
        }
        let is_late = reading.oldest > self.start_within;
        let Some(seconds_per_job) = reading.seconds_per_job else {
            // Nothing has ended yet.
            let more = u32::from(reading.waiting > 0);
            return reading.workers.max(1) + more;
        };
        let catches_up =
            reading.share() * seconds_per_job / self.start_within.as_secs_f64().max(0.001);
        let wanted = workers(keeps_up + catches_up);
        if is_late {
            wanted.max(reading.workers.saturating_add(1))
        } else {
            wanted
        }
    }
}

/// Rounded up, less what a sum of fractions adds.
fn workers(wanted: f64) -> u32 {
    (wanted - 1e-9).ceil() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: ScaleByDemand = ScaleByDemand {
        start_within: Duration::from_secs(10),
    };

    fn busy(workers: u32) -> Reading {
        Reading {
            workers,
            busy: workers.into(),
            busy_lately: workers.into(),
            seconds_per_job: Some(1.0),
            ..Reading::default()
        }
    }

    #[test]
    fn what_keeps_up_is_four_fifths_busy() {
        let of_ten = |busy_lately| {
            POLICY.wants(&Reading {
                busy_lately,
                ..busy(10)
            })
        };
        assert_eq!([6.0, 8.0, 9.0].map(of_ten), [10; 3]);
        assert_eq!([5.0, 9.5].map(of_ten), [7, 12]);
        assert_eq!(POLICY.wants(&busy(8)), 10);
        assert_eq!(
            POLICY.wants(&Reading {
                busy_lately: 0.0,
                ..busy(8)
            }),
            0
        );
    }

    #[test]
    fn what_waits_is_to_start_in_time() {
        // 100 jobs of a second within 10 s: ten workers more than those that keep up.
        let waiting = Reading {
            waiting: 100,
            ..busy(8)
        };
        assert_eq!(POLICY.wants(&waiting), 20);
        let shared = Reading {
            nodes: 2,
            ..waiting
        };
        assert_eq!(POLICY.wants(&shared), 15);
    }

    #[test]
    fn what_is_late_asks_for_one_more_whatever_the_counts_say() {
        let late = Reading {
            waiting: 1,
            oldest: Duration::from_secs(11),
            seconds_per_job: Some(0.001),
            ..busy(20)
        };
        assert_eq!(POLICY.wants(&late), 26);
        let one_of_few = Reading {
            busy: 17.0,
            busy_lately: 17.0,
            ..late
        };
        assert_eq!(POLICY.wants(&one_of_few), 22);
    }

    #[test]
    fn without_knowledge_of_the_jobs_it_goes_up_one_by_one() {
        let unknown = Reading {
            seconds_per_job: None,
            waiting: 5_000,
            ..busy(3)
        };
        assert_eq!(POLICY.wants(&unknown), 4);
        assert_eq!(
            POLICY.wants(&Reading {
                waiting: 0,
                ..unknown
            }),
            3
        );
    }

    #[test]
    fn a_short_supply_wants_no_more_and_sends_the_idle_away() {
        let short = Reading {
            waiting: 10_000,
            oldest: Duration::from_secs(600),
            ..Reading {
                busy: 4.0,
                ..busy(20)
            }
        };
        assert!(short.is_supply_short());
        assert_eq!(POLICY.wants(&short), 5);
        let settled = Reading {
            workers: 5,
            ..short
        };
        assert_eq!(POLICY.wants(&settled), 5);
    }

    #[test]
    fn a_full_machine_gets_no_more_and_one_that_runs_out_of_memory_less() {
        let waiting = Reading {
            waiting: 1_000,
            ..busy(20)
        };
        assert_eq!(POLICY.wants(&waiting), 125);
        for full in [
            Reading {
                cpu: Some(0.9),
                ..waiting
            },
            Reading {
                memory: Some(0.9),
                ..waiting
            },
        ] {
            assert_eq!(POLICY.wants(&full), 20);
        }
        let overfull = Reading {
            memory: Some(0.95),
            ..waiting
        };
        assert_eq!(POLICY.wants(&overfull), 15);
    }
}
