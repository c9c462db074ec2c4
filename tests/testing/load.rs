//! Autoscaling on simulated loads: it converges, does not oscillate, and beats a fixed pool.

use std::ops::RangeInclusive;
use std::time::Duration;

use callboard::queue::{Autoscale, Policy};
use callboard::testing::{Load, Simulated};

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// Jobs of a tenth of a second.
fn quick(lasts: Duration, rate: impl Fn(f64) -> f64 + Send + Sync + 'static) -> Load {
    Load::lasting(lasts)
        .jobs_per_second(rate)
        .seconds_per_job(|_| 0.1)
}

/// Throughout this time there were so many workers.
fn stays(run: &Simulated, from: f64, until: f64, workers: RangeInclusive<u32>) {
    let mut seen = run.samples().iter();
    let outside = seen
        .find(|sample| (from..until).contains(&sample.at) && !workers.contains(&sample.workers));
    assert_eq!(
        outside, None,
        "between {from} and {until} s there are {workers:?}"
    );
}

#[test]
fn it_follows_a_step_up_and_down_and_stays_there() {
    // A tenth of a second each: 1 busy worker, then 10, then 1.
    let step = quick(minutes(15), |at| match at {
        300.0..600.0 => 100.0,
        _ => 10.0,
    });
    let run = step.run(&Autoscale::between(1, 100));
    stays(&run, 60.0, 300.0, 1..=3);
    stays(&run, 360.0, 600.0, 12..=16);
    stays(&run, 700.0, 900.0, 1..=3);
}

#[test]
fn a_steady_load_leaves_it_alone() {
    let run = quick(minutes(60), |_| 300.0).run(&Autoscale::between(1, 200));
    stays(&run, 120.0, 3600.0, 36..=46);
    assert!(run.reversals() <= 6, "{} in an hour", run.reversals());
}

#[test]
fn it_adds_workers_when_jobs_get_slow() {
    let slow = Load::lasting(minutes(10))
        .jobs_per_second(|_| 20.0)
        .seconds_per_job(|at| if at < 200.0 { 0.1 } else { 1.0 });
    let run = slow.run(&Autoscale::between(1, 100));
    stays(&run, 60.0, 200.0, 2..=4);
    stays(&run, 280.0, 600.0, 23..=36);
}

#[test]
fn it_adds_none_in_vain_when_the_database_is_saturated() {
    // 200 jobs a second come, and the database gives out 50: 5 busy workers, however many there are.
    let run = quick(minutes(10), |_| 200.0)
        .supply(50.0)
        .run(&Autoscale::between(1, 100));
    stays(&run, 60.0, 600.0, 5..=8);
    assert!(run.reversals() <= 3, "{}", run.reversals());
}

#[test]
fn it_starts_bursts_sooner_than_a_fixed_pool_that_costs_as_much() {
    // 5 jobs a second, and for a minute out of ten 100.
    let bursts = quick(
        minutes(60),
        |at| if at % 600.0 < 60.0 { 100.0 } else { 5.0 },
    );
    let scaled = bursts.run(&Autoscale::between(1, 100));
    let fixed = bursts.run_fixed(scaled.mean_workers().ceil() as u32);
    assert!(fixed.mean_workers() >= scaled.mean_workers());
    for share in [0.5, 0.95] {
        let (late, later) = (scaled.wait(share), fixed.wait(share));
        assert!(late * 3 < later * 2, "{share}: {late:?} beside {later:?}");
    }
}

#[test]
fn a_policy_of_ones_own_decides_within_the_steps_and_bounds() {
    let load = quick(minutes(5), |_| 10.0);
    let always = Autoscale::between(2, 16).policy(Policy::new(|_| 1_000));
    let run = load.run(&always);
    let first: Vec<u32> = run.samples().iter().map(|sample| sample.workers).collect();
    assert_eq!(first[..9], [2, 2, 4, 4, 8, 8, 16, 16, 16]);
    stays(&run, 10.0, 300.0, 16..=16);
}
