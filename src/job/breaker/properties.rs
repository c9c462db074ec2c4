//! What must hold of a breaker whatever the sequence of calls, against a model that keeps them all.

use std::time::Duration;

use super::options::Over;
use super::{Breaker, Called, Judge, Reason, Tally, Verdict, Watch, Window};

const RUNS: u64 = 200;
const CALLS: usize = 300;

fn any_call(random: &mut fastrand::Rng) -> Called {
    Called {
        is_failed: random.u8(..10) < 4,
        is_slow: random.u8(..10) < 3,
    }
}

fn tally(calls: impl Iterator<Item = Called>) -> Tally {
    let mut tally = Tally::default();
    for called in calls {
        tally.calls += 1;
        tally.failures += u32::from(called.is_failed);
        tally.slow += u32::from(called.is_slow);
    }
    tally
}

#[test]
fn a_window_of_calls_is_the_tally_of_the_last_ones() {
    for seed in 0..RUNS {
        let mut random = fastrand::Rng::with_seed(seed);
        let most = random.u32(1..50);
        let (mut window, mut all) = (Window::new(Over::Calls(most)), Vec::new());
        for _ in 0..CALLS {
            let called = any_call(&mut random);
            all.push(called);
            let expected = tally(all.iter().rev().take(most as usize).copied());
            assert_eq!(
                window.record(Duration::ZERO, called),
                expected,
                "seed {seed}"
            );
        }
    }
}

#[test]
fn a_window_of_time_has_every_call_of_its_time_but_those_of_its_oldest_step() {
    for seed in 0..RUNS {
        let mut random = fastrand::Rng::with_seed(seed);
        let step = Duration::from_millis(random.u64(5..500));
        let (mut window, mut all) = (Window::new(Over::Time(step * 20)), Vec::new());
        let mut now = Duration::from_millis(random.u64(..10_000));
        for _ in 0..CALLS {
            now += step.mul_f64(2.0 * random.f64() * random.f64());
            let called = any_call(&mut random);
            all.push((now, called));
            let within = |age: Duration| {
                let recent = all.iter().filter(move |(at, _)| *at + age > now);
                tally(recent.map(|(_, called)| *called))
            };
            let (least, most) = (within(step * 19), within(step * 20));
            let got = window.record(now, called);
            for (least, got, most) in [
                (least.calls, got.calls, most.calls),
                (least.failures, got.failures, most.failures),
                (least.slow, got.slow, most.slow),
            ] {
                assert!(
                    least <= got && got <= most,
                    "seed {seed}: {least} {got} {most}"
                );
            }
        }
    }
}

#[test]
fn a_breaker_opens_with_the_first_call_that_reaches_a_rate_and_only_then() {
    for seed in 0..RUNS {
        let mut random = fastrand::Rng::with_seed(seed);
        let minimum = random.u32(1..20);
        let most = minimum + random.u32(..30);
        let rates = (0.05 + 0.95 * random.f64(), 0.05 + 0.95 * random.f64());
        let options = Breaker::new()
            .minimum_calls(minimum)
            .over_calls(most)
            .failure_rate(rates.0)
            .slow_calls(Duration::from_secs(1), rates.1);
        assert_eq!(options.check("kind"), Ok(()));
        let (mut judge, mut all) = (Judge::new(options), Vec::new());
        judge.begin(1, Watch::Rates);
        for _ in 0..CALLS {
            let called = any_call(&mut random);
            all.push(called);
            let last = tally(all.iter().rev().take(most as usize).copied());
            let share = |count: u32| f64::from(count) / f64::from(last.calls);
            let is_judged = last.calls >= minimum;
            let fails = is_judged && share(last.failures) >= rates.0;
            let is_slow = is_judged && share(last.slow) >= rates.1;
            let verdict = judge.record(Duration::ZERO, 1, called);
            assert_eq!(
                verdict.is_some(),
                fails || is_slow,
                "seed {seed}: {last:?} {rates:?}"
            );
            if let Some(Verdict::Open(reason)) = verdict {
                let of_failures = matches!(reason, Reason::Failures(tally, _) if tally == last);
                let of_slow = matches!(reason, Reason::SlowCalls(tally, _) if tally == last);
                assert!(
                    if fails { of_failures } else { of_slow },
                    "seed {seed}: {reason:?}"
                );
                break;
            }
        }
    }
}
