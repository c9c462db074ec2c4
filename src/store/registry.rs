//! Who works where: what nodes say of themselves, and what is asked of all of them.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Integer, Jsonb, Text, Timestamptz};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::statement::typed;
use super::{NodeCard, Store};
use crate::Error;
use crate::job::{Attempt, JobId, NodeId};

/// A node: one process with a board.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeInfo {
    /// Its identity, fresh at every start.
    pub id: NodeId,
    /// Its host and process id.
    pub name: String,
    /// The version of this crate that it was built with.
    pub version: String,
    /// When it came on the list, by the database's clock.
    pub started_at: DateTime<Utc>,
    /// Until when it has proven itself alive, by the database's clock.
    pub lease_until: DateTime<Utc>,
    /// Whether it is: its lease runs, and no other node found it dead.
    pub is_live: bool,
    /// The queues that it serves, paused ones among them.
    pub queues: Vec<String>,
    /// The kinds that it can run, in order.
    pub kinds: Vec<String>,
    /// Of each of these kinds, the newest version of its arguments that it reads; newer ones it leaves to others.
    pub args_versions: Vec<i32>,
    /// Of each of these kinds, how its application calls the code that runs it; see
    /// [`Handler::code_version`](crate::Handler::code_version).
    pub code_versions: Vec<String>,
    /// How many jobs are in its hands.
    pub executing: u64,
}

/// A worker: who runs the jobs of a queue on a node, one (or one batch) at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// The node that it works on.
    pub node: NodeId,
    /// That node's host and process id.
    pub node_name: String,
    /// The queue that it works for.
    pub queue: String,
    /// Its name, unique in its queue on its node.
    pub name: String,
    /// When the actor that runs now was started, by the node's clock; `None` while it is away.
    pub started_at: Option<DateTime<Utc>>,
    /// How often it was restarted since the workers of its queue were started together.
    pub restarts: u32,
    /// How many attempts have ended in its place, however they ended, by whichever actor.
    pub done: u64,
    /// What it runs; `None` if it waits for work.
    pub current: Option<CurrentAttempt>,
    /// The job that it ran last.
    pub last_job: Option<JobId>,
    /// Whether it is one too many, and leaves when it runs nothing any more.
    pub is_leaving: bool,
    /// When this was so, by the database's clock; `None`: now, as the node itself sees it.
    pub reported_at: Option<DateTime<Utc>>,
}

/// What a worker runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CurrentAttempt {
    /// The job; of a batch, its first.
    pub job: JobId,
    /// Which of the job's attempts.
    pub attempt: Attempt,
    /// Its kind.
    pub kind: String,
    /// Since when its handler runs, by the node's clock.
    pub since: DateTime<Utc>,
    /// How many jobs there are: more than one in a batch.
    pub jobs: u32,
}

/// What a node says of one of its workers, as it lies in its report.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WorkerReport {
    pub(crate) queue: String,
    pub(crate) name: String,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) restarts: u32,
    pub(crate) done: u64,
    pub(crate) current: Option<CurrentAttempt>,
    pub(crate) last_job: Option<JobId>,
    pub(crate) is_leaving: bool,
}

impl CurrentAttempt {
    pub(crate) fn new(
        (job, attempt): (JobId, Attempt),
        kind: &str,
        since: DateTime<Utc>,
        jobs: u32,
    ) -> Self {
        Self {
            job,
            attempt,
            kind: kind.to_owned(),
            since,
            jobs,
        }
    }
}

impl WorkerReport {
    /// Whether it says the same, times aside, which are measured anew each time.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        let told = |report: &Self| {
            let current = report.current.as_ref().map(|now| (now.job, now.attempt));
            let (counts, is_there) = ((report.restarts, report.done), report.started_at.is_some());
            (counts, current, report.is_leaving, is_there)
        };
        (&self.queue, &self.name) == (&other.queue, &other.name) && told(self) == told(other)
    }

    pub(crate) fn info(
        self,
        (node, node_name): (NodeId, &str),
        reported_at: Option<DateTime<Utc>>,
    ) -> WorkerInfo {
        WorkerInfo {
            node,
            node_name: node_name.to_owned(),
            queue: self.queue,
            name: self.name,
            started_at: self.started_at,
            restarts: self.restarts,
            done: self.done,
            current: self.current,
            last_job: self.last_job,
            is_leaving: self.is_leaving,
            reported_at,
        }
    }
}

type NodeSql = (
    (BigInt, Text, Text, Timestamptz, Timestamptz),
    (Bool, Array<Text>, Array<Text>, Array<Integer>, Array<Text>),
    BigInt,
);
type NodeTuple = (
    (i64, String, String, DateTime<Utc>, DateTime<Utc>),
    (bool, Vec<String>, Vec<String>, Vec<i32>, Vec<String>),
    i64,
);

impl Store {
    /// Says which queues and kinds this node serves.
    pub(crate) async fn serve(&self, card: &NodeCard) -> Result<(), Error> {
        let mut session = self.upkeep().await?;
        session
            .change(
                "say what the node serves",
                &self.sql().serve,
                &[
                    &typed::<BigInt, _>(&card.id.as_i64()),
                    &typed::<Array<Text>, _>(&card.queues),
                    &typed::<Array<Text>, _>(card.kinds.kinds()),
                    &typed::<Array<Integer>, _>(card.kinds.versions()),
                    &typed::<Array<Text>, _>(&card.code_versions),
                ],
            )
            .await
            .map(drop)
    }

    /// Tells who works for this node.
    pub(crate) async fn report(&self, node: NodeId, workers: &[WorkerReport]) -> Result<(), Error> {
        let workers = serde_json::to_value(workers)
            .map_err(|cause| Error::database("cannot tell of the workers").because(cause))?;
        let mut session = self.upkeep().await?;
        session
            .change(
                "tell of the workers",
                &self.sql().report,
                &[
                    &typed::<BigInt, _>(&node.as_i64()),
                    &typed::<Jsonb, _>(&workers),
                ],
            )
            .await
            .map(drop)
    }

    /// Forgets what belonged to nodes that are gone.
    pub(crate) async fn forget(&self) -> Result<(), Error> {
        let mut session = self.upkeep().await?;
        let forgotten = session.change("forget nodes", &self.sql().forget, &[]);
        forgotten.await.map(drop)
    }

    /// Every node on the list.
    pub(crate) async fn nodes(&self) -> Result<Vec<NodeInfo>, Error> {
        let mut session = self.clients().await?;
        let rows = session.fetch::<NodeSql, NodeTuple>("list nodes", &self.sql().nodes, &[]);
        Ok(rows.await?.into_iter().map(node).collect())
    }

    /// What the live nodes have told last of their workers.
    pub(crate) async fn workers(&self) -> Result<Vec<WorkerInfo>, Error> {
        let mut session = self.clients().await?;
        let rows = session.fetch::<(BigInt, Text, Timestamptz, Jsonb), Reported>(
            "list workers",
            &self.sql().workers,
            &[],
        );
        let rows = rows.await?;
        Ok(rows.into_iter().flat_map(reported).collect())
    }
}

type Reported = (i64, String, DateTime<Utc>, Value);

fn node((identity, serves, executing): NodeTuple) -> NodeInfo {
    let (id, name, version, started_at, lease_until) = identity;
    let (is_live, queues, kinds, args_versions, code_versions) = serves;
    NodeInfo {
        id: NodeId::from_i64(id),
        name,
        version,
        started_at,
        lease_until,
        is_live,
        queues,
        kinds,
        args_versions,
        code_versions,
        executing: executing.unsigned_abs(),
    }
}

/// What another build says in words that this one does not know is left out.
fn reported((node, name, at, workers): Reported) -> Vec<WorkerInfo> {
    let node = NodeId::from_i64(node);
    let Value::Array(workers) = workers else {
        return Vec::new();
    };
    let read = workers
        .into_iter()
        .filter_map(|worker| serde_json::from_value::<WorkerReport>(worker).ok());
    read.map(|worker| worker.info((node, &name), Some(at)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> WorkerReport {
        WorkerReport {
            queue: "mail".into(),
            name: "worker-1".into(),
            started_at: Some(Utc::now()),
            restarts: 0,
            done: 7,
            current: None,
            last_job: None,
            is_leaving: false,
        }
    }

    fn at_work(attempt: i32) -> Option<CurrentAttempt> {
        let attempt = (JobId::from_i64(1), Attempt::from_i32(attempt));
        Some(CurrentAttempt::new(attempt, "mail.send", Utc::now(), 1))
    }

    #[test]
    fn a_report_that_says_the_same_is_no_news() {
        assert!(report().is_as(&report()));
        let busy = |attempt| WorkerReport {
            current: at_work(attempt),
            ..report()
        };
        assert!(busy(1).is_as(&busy(1)), "though it was measured anew");
        assert!(!busy(1).is_as(&busy(2)));
        assert!(!busy(1).is_as(&report()));
        let more = WorkerReport {
            done: 8,
            ..report()
        };
        assert!(!more.is_as(&report()));
        let away = WorkerReport {
            started_at: None,
            ..report()
        };
        assert!(!away.is_as(&report()));
    }

    #[test]
    fn what_another_build_says_is_read_as_far_as_it_is_understood() {
        let known = serde_json::to_value(report()).unwrap();
        let workers = serde_json::json!([{ "from": "the future" }, known]);
        let row = (3, "host:1".to_owned(), Utc::now(), workers);
        let read = reported(row);
        assert_eq!(read.len(), 1);
        assert_eq!((read[0].done, &*read[0].node_name), (7, "host:1"));
        assert!(reported((3, String::new(), Utc::now(), Value::Null)).is_empty());
    }
}
