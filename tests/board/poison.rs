//! A job that takes its process down, again and again, whoever runs it.

use callboard::job::BuryReason;
use callboard::{Call, Client, JobState, call};

use crate::support::acts::{abort, exit, overflow, stage, work};
use crate::support::child::Plan;
use crate::support::{database_at, eventually, sql::number, until_state};

const NEIGHBOURS: usize = 49;
/// After so many processes it is known which job is to blame.
const DEATHS: u32 = 3;

/// Nodes run a poisonous job beside others, and die of it, until one finds it buried.
async fn is_quarantined_and_its_neighbours_complete(poison: Call) {
    let (url, rows) = stage().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let mut calls: Vec<Call> = (0..NEIGHBOURS).map(|_| call!(work())).collect();
    calls.insert(NEIGHBOURS / 2, poison);
    let mut neighbours = client.enqueue_many(calls).await.unwrap();
    let poison = neighbours.remove(NEIGHBOURS / 2);
    let plan = Plan {
        workers: 50,
        ..Plan::new(&url)
    };
    let mut died = 0;
    while client.job(poison).await.unwrap().unwrap().state != JobState::Dead {
        assert!(died <= DEATHS, "the job is not quarantined");
        let mut node = plan.spawn_unready();
        let has_died = eventually("the process dies of the job, or buries it", || {
            let ended = node.exit_status();
            let job = client.job(poison);
            async move {
                let is_dead = job.await.unwrap()?.state == JobState::Dead;
                (ended.is_some() || is_dead).then_some(ended.is_some())
            }
        })
        .await;
        died += u32::from(has_died);
    }
    assert_eq!(died, DEATHS);
    let beside = "select count(distinct job) from ran where pid = (select pid from ran limit 1)";
    let beside = number(&rows, beside).await;
    assert!(beside > 1, "it ran beside others");

    let board = plan.start().await;
    for id in neighbours {
        until_state(&client, id, JobState::Completed).await;
    }
    let buried = client.job(poison).await.unwrap().unwrap();
    assert_eq!(buried.reason, Some(BuryReason::Quarantined));
    assert_eq!(buried.deaths, Some(DEATHS));
    let kinds: Vec<_> = buried.errors.iter().map(|e| &e["kind"]).collect();
    assert_eq!(kinds, ["process_died"; DEATHS as usize]);
    let dead = number(&rows, "select count(*) from callboard.dead_letters").await;
    assert_eq!(dead, 1, "only the job that is to blame");
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_aborts_its_process_is_quarantined_and_its_neighbours_complete() {
    is_quarantined_and_its_neighbours_complete(call!(abort())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_overflows_the_stack_is_quarantined_and_its_neighbours_complete() {
    is_quarantined_and_its_neighbours_complete(call!(overflow())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_exits_its_process_is_quarantined_and_its_neighbours_complete() {
    is_quarantined_and_its_neighbours_complete(call!(exit())).await;
}
