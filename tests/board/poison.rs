//! A job that takes its process down, again and again, whoever runs it.

use std::time::Duration;

use callboard::job::BuryReason;
use callboard::queue::MAX_EXPRESS_BOUND;
use callboard::{Call, Client, JobState, call};

use crate::support::acts::{abort, exit, hold, note, open_gate, overflow, stage, until_ran, work};
use crate::support::child::Plan;
use crate::support::{database_at, eventually, server, sql, sql::number, until_state};

const NEIGHBOURS: usize = 49;
/// After so many processes it is known which job is to blame.
const DEATHS: u32 = 3;

/// Nodes run a poisonous job beside others, and die of it, until one finds it buried.
async fn is_quarantined_and_its_neighbours_complete(poison: Call, express: Option<Duration>) {
    let (url, rows) = stage().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let mut calls: Vec<Call> = (0..NEIGHBOURS).map(|_| call!(work())).collect();
    calls.insert(NEIGHBOURS / 2, poison);
    let mut neighbours = client.enqueue_many(calls).await.unwrap();
    let poison = neighbours.remove(NEIGHBOURS / 2);
    let plan = Plan {
        workers: 50,
        express,
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
    is_quarantined_and_its_neighbours_complete(call!(abort()), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_overflows_the_stack_is_quarantined_and_its_neighbours_complete() {
    is_quarantined_and_its_neighbours_complete(call!(overflow()), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_exits_its_process_is_quarantined_and_its_neighbours_complete() {
    is_quarantined_and_its_neighbours_complete(call!(exit()), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_aborts_its_process_in_the_express_lane_is_quarantined_and_its_neighbours_complete()
 {
    is_quarantined_and_its_neighbours_complete(call!(abort()), Some(MAX_EXPRESS_BOUND)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_aborts_its_process_at_the_bound_is_quarantined_and_its_neighbours_complete() {
    // Some of its neighbours have ended then, some run on, and some have not begun.
    let bound = Duration::from_millis(5);
    is_quarantined_and_its_neighbours_complete(call!(abort()), Some(bound)).await;
}

/// Otherwise the death of a process would be charged to a neighbour too, whose row still says that it runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspect_begins_when_the_answer_of_the_one_before_is_written() {
    let (url, rows) = stage().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let suspects = [call!(hold()), call!(note())];
    let suspects = client.enqueue_many(suspects).await.unwrap();
    server::sql(&url, "update callboard.jobs set deaths = 1").await;
    let board = Plan::new(&url).start().await;
    until_ran(&rows, 1).await;

    // Nobody can write what becomes of the first.
    let mut locker = sql::connect(&url).await;
    let lock = locker.transaction().await.unwrap();
    let first = "select id from callboard.jobs where id = $1 for update";
    let first_id = suspects[0].as_i64();
    lock.query_one(first, &[&first_id]).await.unwrap();
    open_gate(&rows, 1).await;
    eventually("the answer waits", || async {
        let waiting = "select count(*) from pg_stat_activity \
                       where datname = current_database() and wait_event_type = 'Lock'";
        (number(&rows, waiting).await > 0).then_some(())
    })
    .await;
    // Whoever claims now would take a suspect along if one might begin.
    client.enqueue(call!(note())).await.unwrap();
    until_ran(&rows, 2).await;
    let second = client.job(suspects[1]).await.unwrap().unwrap();
    assert_eq!(second.state, JobState::Available);

    lock.commit().await.unwrap();
    for id in suspects {
        until_state(&client, id, JobState::Completed).await;
    }
    board.shutdown().await.unwrap();
}
