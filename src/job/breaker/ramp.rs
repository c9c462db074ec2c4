//! How the jobs that waited are let go after a breaker has closed.

use std::time::Duration;

/// How many of `workers` may run the breaker's kinds when it has been closed for `elapsed`:
/// `⌈workers × elapsed ÷ ramp⌉`, at least one. The linear slow start of Envoy
/// (<https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/slow_start>), with
/// one worker for its smallest weight.
#[must_use]
pub(crate) fn ramp_share(elapsed: Duration, ramp: Duration, workers: u32) -> u32 {
    if elapsed >= ramp {
        return workers.max(1);
    }
    let share = elapsed.as_secs_f64() / ramp.as_secs_f64();
    let allowed = (f64::from(workers) * share).ceil() as u32;
    allowed.clamp(1, workers.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_grows_evenly_from_one_worker_to_all() {
        let ramp = Duration::from_secs(10);
        let at = |seconds| ramp_share(Duration::from_secs(seconds), ramp, 20);
        assert_eq!([0, 1, 5, 9, 10, 99].map(at), [1, 2, 10, 18, 20, 20]);
        assert_eq!(ramp_share(Duration::ZERO, ramp, 0), 1);
        assert_eq!(ramp_share(Duration::ZERO, Duration::ZERO, 7), 7);
    }
}
