//! How many jobs a fetcher claims beyond what is asked for: as many as the workers will finish during
//! three claims.
//!
//! By Little's law they finish, while one claim is in flight, the rate at which they work (workers / time
//! per job) times the time of a claim. The next claim is made when half of what is ahead is left: so there is
//! enough for its flight, and for half as long again, because both times vary. Slow jobs give zero, so nothing
//! is claimed that nobody is about to ask for; quick jobs give enough that no worker waits for a round trip.

use std::time::Duration;

/// How many claims' worth of jobs are ahead.
const CLAIMS: f64 = 3.0;

/// How many bytes of arguments are ahead at most.
const MOST_BYTES: f64 = 16.0 * 1024.0 * 1024.0;

/// The weight of the newest measurement in the running means.
const WEIGHT: f64 = 0.1;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct LookAhead {
    max: u32,
    seconds_per_claim: Option<f64>,
    bytes_per_job: f64,
    is_warm: bool,
}

impl LookAhead {
    /// Looks ahead at most `max` jobs; 0: never.
    pub(super) fn new(max: u32) -> Self {
        Self {
            max,
            seconds_per_claim: None,
            bytes_per_job: 0.0,
            is_warm: false,
        }
    }

    /// A claim took this long. The first one connects and prepares, so it tells nothing of others.
    pub(super) fn claim_took(&mut self, time: Duration) {
        if !std::mem::replace(&mut self.is_warm, true) {
            return;
        }
        self.seconds_per_claim = Some(mean(self.seconds_per_claim, time));
    }

    /// A claim brought so many jobs, with so many bytes of arguments together.
    pub(super) fn claim_brought(&mut self, jobs: usize, bytes: usize) {
        if jobs > 0 {
            self.bytes_per_job = bytes as f64 / jobs as f64;
        }
    }

    /// The other one, as long as this one does not know how long a claim takes.
    pub(super) fn or<'a>(&'a self, other: &'a Self) -> &'a Self {
        match self.seconds_per_claim {
            Some(_) => self,
            None => other,
        }
    }

    /// How many jobs to claim beyond the demand of this many workers, who take so long for one.
    pub(super) fn size(&self, workers: usize, per_job: Option<Duration>) -> u32 {
        let (Some(job), Some(claim)) = (per_job, self.seconds_per_claim) else {
            return 0;
        };
        let finished_meanwhile = workers as f64 * claim / job.as_secs_f64().max(1e-7);
        // Saturates, and rounds down: half a job is not worth a claim.
        let wanted = (CLAIMS * finished_meanwhile).min(MOST_BYTES / self.bytes_per_job.max(1.0));
        (wanted as u32).min(self.max)
    }
}

fn mean(earlier: Option<f64>, newest: Duration) -> f64 {
    let newest = newest.as_secs_f64();
    earlier.map_or(newest, |earlier| earlier + WEIGHT * (newest - earlier))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_ahead(claim: Duration) -> LookAhead {
        let mut look_ahead = LookAhead::new(1_000);
        look_ahead.claim_took(Duration::from_secs(1));
        look_ahead.claim_took(claim);
        look_ahead
    }

    #[test]
    fn slow_jobs_are_never_claimed_ahead() {
        let look_ahead = look_ahead(Duration::from_millis(1));
        assert_eq!(look_ahead.size(100, Some(Duration::from_secs(1))), 0);
        assert_eq!(look_ahead.size(100, None), 0);
        assert_eq!(LookAhead::new(1_000).size(100, Some(Duration::ZERO)), 0);
    }

    #[test]
    fn quick_jobs_are_claimed_ahead_up_to_the_limit() {
        let look_ahead = look_ahead(Duration::from_millis(1));
        assert_eq!(look_ahead.size(10, Some(Duration::from_micros(100))), 300);
        assert_eq!(look_ahead.size(10, Some(Duration::ZERO)), 1_000);
    }

    #[test]
    fn another_one_stands_in_until_two_claims_were_made() {
        let (other, mut unknown) = (look_ahead(Duration::from_millis(1)), LookAhead::new(1_000));
        for _ in 0..2 {
            assert_eq!(unknown.or(&other), &other);
            unknown.claim_took(Duration::from_millis(2));
        }
        assert_eq!(unknown.or(&other), &unknown);
        assert_ne!(unknown, other);
    }

    #[test]
    fn large_jobs_are_claimed_ahead_as_far_as_there_is_room_for_them() {
        let mut look_ahead = look_ahead(Duration::from_millis(1));
        look_ahead.claim_brought(2, 2 * 1024 * 1024);
        assert_eq!(look_ahead.size(10, Some(Duration::ZERO)), 16);
        look_ahead.claim_brought(0, 0);
        assert_eq!(look_ahead.size(10, Some(Duration::ZERO)), 16);
    }
}
