//! What limits cost: a drain of a queue with limits that hold nothing back, beside one without any, each time
//! right after the other. So the ratios hold on a machine whose load changes.

use std::time::Duration;

use callboard::job::Limits;

use crate::drain::Drain;
use crate::figure::{Figure, System};
use crate::jobs::Does;
use crate::support::Failed;
use crate::usage::Cost;

/// More than ever run at once, or start in a second: what is measured is the counting.
const PLENTY: u32 = 1_000_000;
/// Of all drains here.
const WORKERS: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);

/// Limits of a queue, and its jobs.
#[derive(Debug)]
struct Limited {
    name: String,
    limits: Limits,
    does: Does,
}

fn all() -> [Limited; 5] {
    let of_queue = |name: &str, limits| Limited {
        name: name.to_owned(),
        limits,
        does: Does::Nothing,
    };
    let per_key = |keys| Limited {
        name: format!("running per key, {keys} key(s)"),
        limits: Limits::new().running_per_key(PLENTY),
        does: Does::Keyed(keys),
    };
    let (running, starts) = (
        Limits::new().running(PLENTY),
        Limits::new().starts(PLENTY, SECOND),
    );
    [
        of_queue("running", running),
        of_queue("starts a second", starts),
        per_key(1),
        per_key(100),
        per_key(10_000),
    ]
}

/// How fast a drain with limits is, and what it costs the server, as shares of one without.
pub(crate) async fn cost(server: &str, jobs: usize, runs: usize) -> Result<Vec<Figure>, Failed> {
    let mut figures = Vec::new();
    for limited in all() {
        let with = Drain {
            limits: Some(limited.limits),
            does: limited.does,
            ..Drain::of(jobs, WORKERS)
        };
        // Keys cost their enqueue something, limits or not; that is no matter here.
        let without = Drain {
            limits: None,
            ..with.clone()
        };
        let (mut rates, mut server_costs) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            let free = without.once(server).await?.cost;
            let held = with.once(server).await?.cost;
            rates.push(free.seconds / held.seconds);
            server_costs.extend(times(&held, &free));
        }
        let setting = format!("{WORKERS} workers ask for 1, limited: {}", limited.name);
        let of = |name, samples| Figure::new(System::Callboard, name, &*setting, jobs, samples);
        figures.push(of(("drain, of one unlimited", "share"), rates));
        if !server_costs.is_empty() {
            figures.push(of(("server CPU, of unlimited", "times"), server_costs));
        }
    }
    Ok(figures)
}

/// `None` where the server runs elsewhere, or took too little to be measured.
fn times(held: &Cost, free: &Cost) -> Option<f64> {
    let times = held.server_seconds? / free.server_seconds?;
    times.is_finite().then_some(times)
}
