//! Processes that die or freeze with jobs in hand, and those that take the jobs back.

use std::time::{Duration, Instant};

use callboard::job::BuryReason;
use callboard::queue::MAX_EXPRESS_BOUND;
use callboard::{Board, Client, JobId, JobState, call};
use rustix::process::Signal;

use crate::support::acts::{hold, open_gate, stage, until_ran};
use crate::support::child::{Node, Plan};
use crate::support::{database_at, eventually, sql::number, until_state};

/// Longer than any test waits, so that nobody can have waited for its end.
const LONG_LEASE: Duration = Duration::from_secs(60);

/// How the jobs of a test are claimed.
#[derive(Debug, Clone, Copy)]
enum Way {
    Ordinary,
    /// In the express lane, where no job of a test comes to its bound.
    Express,
}

impl Way {
    fn plan(self, url: &str) -> Plan {
        Plan {
            express: match self {
                Self::Ordinary => None,
                Self::Express => Some(MAX_EXPRESS_BOUND),
            },
            ..Plan::new(url)
        }
    }

    /// So many jobs run so.
    async fn is_taken(self, rows: &tokio_postgres::Client, jobs: i64) {
        let held = match self {
            Self::Ordinary => "select count(*) from callboard.jobs where state = 'executing'",
            Self::Express => {
                "select coalesce(sum(cardinality(ids)), 0)::bigint from callboard.express_batches \
                 where not exists (select from callboard.jobs where state = 'executing')"
            }
        };
        assert_eq!(number(rows, held).await, jobs);
    }
}

/// A node with a long lease that is killed with three jobs in hand.
async fn dying(way: Way, url: &str, rows: &tokio_postgres::Client) -> (Node, Client, Vec<JobId>) {
    let node = Plan {
        workers: 3,
        lease: LONG_LEASE,
        ..way.plan(url)
    };
    let node = node.spawn().await;
    let client = Client::connect(database_at(url)).await.unwrap();
    let calls = (0..3).map(|_| call!(hold()));
    let ids = client.enqueue_many(calls).await.unwrap();
    until_ran(rows, 3).await;
    way.is_taken(rows, 3).await;
    (node, client, ids)
}

/// Every job was taken back and charged with one death, long before the lease ran out, and ends in
/// its second attempt.
async fn were_rescued(
    client: &Client,
    rows: &tokio_postgres::Client,
    ids: &[JobId],
    since: Instant,
) {
    for id in ids {
        let job = eventually("the job is taken back", || async {
            let job = client.job(*id).await.unwrap()?;
            (job.deaths == Some(1)).then_some(job)
        })
        .await;
        assert_eq!(job.failures, Some(0), "a death is no failure of the job");
    }
    assert!(since.elapsed() < LONG_LEASE / 4, "{:?}", since.elapsed());
    open_gate(rows, 2).await;
    for id in ids {
        let job = until_state(client, *id, JobState::Completed).await;
        assert_eq!(job.attempt.as_i32(), 2);
        assert_eq!(job.errors.len(), 1, "{:?}", job.errors);
        assert_eq!(job.errors[0]["kind"], "process_died");
        assert_eq!(job.errors[0]["attempt"], 1);
    }
}

async fn counted_as_rescued(board: &Board) {
    eventually("three are counted", || async {
        (board.counts().rescued == 3).then_some(())
    })
    .await;
}

async fn another_node_takes_them_back(way: Way) {
    let (url, rows) = stage().await;
    let (mut node, client, ids) = dying(way, &url, &rows).await;
    let board = way.plan(&url).start().await;
    let killed_at = Instant::now();
    node.kill().await;
    were_rescued(&client, &rows, &ids, killed_at).await;
    counted_as_rescued(&board).await;
    eventually("the dead node is forgotten", || async {
        let nodes = number(&rows, "select count(*) from callboard.nodes").await;
        (nodes == 1).then_some(())
    })
    .await;
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_killed_process_are_taken_back_by_another_node() {
    another_node_takes_them_back(Way::Ordinary).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_process_that_was_killed_in_the_express_lane_are_taken_back_by_another_node() {
    another_node_takes_them_back(Way::Express).await;
}

async fn the_next_start_takes_them_back(way: Way) {
    let (url, rows) = stage().await;
    let (mut node, client, ids) = dying(way, &url, &rows).await;
    node.kill().await;
    let started_at = Instant::now();
    let board = way.plan(&url).start().await;
    were_rescued(&client, &rows, &ids, started_at).await;
    counted_as_rescued(&board).await;
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_killed_process_are_taken_back_at_the_next_start() {
    the_next_start_takes_them_back(Way::Ordinary).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_process_that_was_killed_in_the_express_lane_are_taken_back_at_the_next_start() {
    the_next_start_takes_them_back(Way::Express).await;
}

/// Nobody sweeps here, so it is the claims that find what the dead one had foretold.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_comes_upon_jobs_of_a_dead_process_in_the_express_lane_has_them_charged() {
    let (url, rows) = stage().await;
    let (mut node, client, ids) = dying(Way::Express, &url, &rows).await;
    let seldom = Plan {
        lease: 4 * LONG_LEASE,
        sweep_every: LONG_LEASE,
        ..Way::Express.plan(&url)
    };
    let board = seldom.start().await;
    eventually("it has swept once", || async {
        let health = board.health();
        health.parts.contains_key("rescuer").then_some(())
    })
    .await;
    let killed_at = Instant::now();
    node.kill().await;
    were_rescued(&client, &rows, &ids, killed_at).await;
    counted_as_rescued(&board).await;
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_may_not_survive_a_death_is_quarantined_when_its_process_dies_in_the_express_lane()
 {
    let (url, rows) = stage().await;
    let (mut node, client, ids) = dying(Way::Express, &url, &rows).await;
    let builder = Way::Express.plan(&url).builder().max_deaths(1);
    let board = builder.start().await.unwrap();
    node.kill().await;
    for id in ids {
        let job = until_state(&client, id, JobState::Dead).await;
        assert_eq!(job.reason, Some(BuryReason::Quarantined));
        assert_eq!((job.deaths, job.attempt.as_i32()), (Some(1), 1));
        assert_eq!(job.errors[0]["kind"], "process_died");
    }
    let left = "select count(*) from callboard.jobs";
    assert_eq!(number(&rows, left).await, 0);
    board.shutdown().await.unwrap();
}

async fn a_frozen_process_is_told(way: Way) {
    let (url, rows) = stage().await;
    let plan = Plan {
        lease: Duration::from_millis(1_500),
        ..way.plan(&url)
    };
    let mut frozen = plan.spawn().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let calls = [call!(hold()), call!(hold())];
    let ids = client.enqueue_many(calls).await.unwrap();
    until_ran(&rows, 2).await;
    way.is_taken(&rows, 2).await;
    let board = plan.start().await;
    frozen.signal(Signal::STOP);
    open_gate(&rows, 2).await;
    if let Way::Express = way {
        // It takes the server a while to lose patience with its transaction.
        eventually("its transaction is ended", || async {
            let open = "select count(*) from pg_stat_activity \
                        where datname = current_database() and state = 'idle in transaction'";
            (number(&rows, open).await == 0).then_some(())
        })
        .await;
    }
    for id in &ids {
        let job = until_state(&client, *id, JobState::Completed).await;
        assert_eq!((job.attempt.as_i32(), job.node), (2, Some(board.node())));
    }
    frozen.signal(Signal::CONT);
    eventually("both handlers are told", || async {
        let told = "select count(*) from told where attempt = 1 and reason = 'Some(LeaseLost)'";
        (number(&rows, told).await == 2).then_some(())
    })
    .await;
    frozen.signal(Signal::TERM);
    assert_eq!(frozen.word("REFUSED").await, "2");
    assert!(frozen.ended().await.success());
    let ended = "select count(*) from callboard.finished_jobs where attempt = 2";
    assert_eq!(number(&rows, ended).await, 2);
    assert_eq!(
        number(&rows, "select count(*) from callboard.finished_jobs").await,
        2
    );
    assert_eq!(
        number(&rows, "select count(*) from callboard.jobs").await,
        0
    );
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_froze_beyond_its_lease_is_told_and_its_answers_are_refused() {
    a_frozen_process_is_told(Way::Ordinary).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_froze_in_the_express_lane_is_told_and_its_answers_are_refused() {
    a_frozen_process_is_told(Way::Express).await;
}
