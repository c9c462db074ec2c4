//! The way in: bulk, one by one, by many callers at once, in transactions of the caller's own.

use std::time::Instant;

use callboard::Client;

use crate::bare;
use crate::figure::{Figure, System};
use crate::jobs::{self, Does};
use crate::place::{Place, connect};
use crate::support::Failed;
use crate::usage::Cost;

/// Many calls in each `enqueue_many`.
async fn bulk_once(server: &str, jobs: usize, batch: usize) -> Result<Cost, Failed> {
    let place = Place::take(server).await?;
    let client = place.client().await?;
    // The first statement connects and prepares.
    client.enqueue_many([jobs::call_of(Does::Nothing)]).await?;
    let usage = place.usage().await?;
    for _ in 0..jobs / batch {
        let calls = (0..batch).map(|_| jobs::call_of(Does::Nothing));
        client.enqueue_many(calls).await?;
    }
    let cost = place.cost(&usage).await?;
    place.leave().await?;
    Ok(cost)
}

/// Its rate as a share of the bare statement's, each time one right after the other.
pub(crate) async fn bulk_of_bare(
    server: &str,
    jobs: usize,
    batch: usize,
    pairs: usize,
) -> Result<Figure, Failed> {
    let mut shares = Vec::with_capacity(pairs);
    for _ in 0..pairs {
        let bare = bare::enqueue_once(server, jobs, batch, 1).await?;
        let cost = bulk_once(server, jobs, batch).await?;
        shares.push(jobs as f64 / cost.seconds / bare);
    }
    let name = ("bulk enqueue, of the bare one's", "share");
    let setting = setting(batch);
    Ok(Figure::new(System::Callboard, name, setting, jobs, shares))
}

fn setting(batch: usize) -> String {
    format!("enqueue_many of {batch}, 1 caller")
}

/// How many jobs a second, and what they cost.
pub(crate) async fn bulk(
    server: &str,
    jobs: usize,
    batch: usize,
    runs: usize,
) -> Result<Vec<Figure>, Failed> {
    let mut costs = Vec::with_capacity(runs);
    for _ in 0..runs {
        costs.push(bulk_once(server, jobs, batch).await?);
    }
    let names = [
        "bulk enqueue",
        "bulk enqueue, client CPU",
        "bulk enqueue, server CPU",
    ];
    let setting = setting(batch);
    Ok(Figure::of_costs(
        System::Callboard,
        names,
        &setting,
        jobs,
        &costs,
    ))
}

/// One call in each `enqueue`, by many callers at once. Each call is durable when it returns.
pub(crate) async fn single(
    server: &str,
    jobs: usize,
    callers: usize,
    runs: usize,
) -> Result<Figure, Failed> {
    let place = Place::take(server).await?;
    let client = place.client().await?;
    client.enqueue(jobs::call_of(Does::Nothing)).await?;
    let mut rates = Vec::with_capacity(runs);
    for _ in 0..runs {
        let began = Instant::now();
        let all = (0..callers).map(|_| tokio::spawn(call(client.clone(), jobs / callers)));
        for caller in Vec::from_iter(all) {
            caller.await??;
        }
        rates.push((jobs / callers * callers) as f64 / began.elapsed().as_secs_f64());
    }
    place.leave().await?;
    let setting = format!("{callers} callers, one job each call");
    let name = ("single enqueue", "jobs/s");
    Ok(Figure::new(System::Callboard, name, setting, jobs, rates))
}

async fn call(client: Client, times: usize) -> Result<(), callboard::Error> {
    for _ in 0..times {
        client.enqueue(jobs::call_of(Does::Nothing)).await?;
    }
    Ok(())
}

/// So many calls in each transaction of the caller's own, against the statements alone, in turns.
pub(crate) async fn in_transaction(
    server: &str,
    jobs: usize,
    batch: usize,
    runs: usize,
) -> Result<[Figure; 2], Failed> {
    let place = Place::take(server).await?;
    let (client, connection) = (place.client().await?, connect(&place.url).await?);
    let inserts = bare::Inserts::of(batch, connect(&place.url).await?).await?;
    let transactions = jobs / batch;
    let rate = |began: Instant| (transactions * batch) as f64 / began.elapsed().as_secs_f64();
    let (mut rates, mut of_bare) = (Vec::with_capacity(runs), Vec::with_capacity(runs));
    for _ in 0..runs {
        let began = Instant::now();
        inserts.run_in_transactions(transactions).await?;
        of_bare.push(rate(began));
        let began = Instant::now();
        for _ in 0..transactions {
            connection.batch_execute("begin").await?;
            let calls = (0..batch).map(|_| jobs::call_of(Does::Nothing));
            client.enqueue_many_in(&connection, calls).await?;
            connection.batch_execute("commit").await?;
        }
        rates.push(rate(began));
    }
    place.leave().await?;
    let figure = |system, samples| {
        let name = ("enqueue in a transaction", "jobs/s");
        let setting = format!("1 caller, {batch} job(s) in each of its transactions");
        Figure::new(system, name, setting, jobs, samples)
    };
    Ok([
        figure(System::Callboard, rates),
        figure(System::Bare, of_bare),
    ])
}
