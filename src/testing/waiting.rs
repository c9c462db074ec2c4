//! Waiting for facts, never for a while.

use std::time::Duration;

use super::{Role, TestBoard};
use crate::board::Health;
use crate::job::{Attempt, JobId};
use crate::store::JobInfo;
use crate::supervision::ChildStatus;

/// How often a wait looks at the database; what happens on this node wakes it at once.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl TestBoard {
    /// Waits until the job has ended: completed, cancelled or dead.
    ///
    /// # Panics
    ///
    /// When it does not in time, or there is no such job; the text tells how it stands.
    pub async fn settled(&self, job: JobId) -> JobInfo {
        let standing = || async {
            let found = self.rows.job(job).await;
            match found {
                Ok(Some(info)) => Ok(info),
                Ok(None) => panic!("waited for job {job}, but there is none with this id"),
                Err(error) => Err(format!("it cannot be read: {error}")),
            }
        };
        self.until(&format!("job {job} has ended"), || async {
            match standing().await {
                Ok(info) if info.state.is_ended() => Ok(info),
                Ok(info) => Err(self.standing(&info)),
                Err(text) => Err(text),
            }
        })
        .await
    }

    /// How an unfinished job stands, and what keeps it here if anything does.
    fn standing(&self, job: &JobInfo) -> String {
        let kept = if self.is_running(&job.queue).is_none() {
            format!("; this board does not serve its queue {:?}", job.queue)
        } else if !self.client().knows(&job.kind) {
            format!("; this board has no handler for its kind {:?}", job.kind)
        } else {
            String::new()
        };
        format!(
            "it is {} at attempt {}, with the errors {:?}{kept}",
            job.state, job.attempt, job.errors
        )
    }

    /// Waits until an attempt of the job runs on this board, and tells which.
    ///
    /// # Panics
    ///
    /// When none begins in time.
    pub async fn running(&self, job: JobId) -> Attempt {
        let mut running = self.attempts.running();
        let waiting = running.wait_for(|all| all.contains_key(&job));
        let waited = tokio::time::timeout(self.tree.patience, waiting).await;
        let begun = waited.ok().and_then(Result::ok);
        let begun = begun.and_then(|all| all.get(&job).map(|running| running.attempt));
        begun.unwrap_or_else(|| {
            panic!(
                "waited {:?} in vain until job {job} runs",
                self.tree.patience
            )
        })
    }

    /// Waits until nothing on the board could run now, nothing does, and every answer is written.
    /// Jobs that wait for their time are left alone.
    ///
    /// # Panics
    ///
    /// When work is still there in the end.
    pub async fn idle(&self) {
        self.idle_in(None).await;
    }

    pub(super) async fn idle_in(&self, queue: Option<&str>) {
        self.until("the board is idle", || async {
            let due = self.rows.store().count_due(queue).await;
            let due = due.map_err(|error| format!("it cannot be read: {error}"))?;
            let in_hand = self.in_hand(queue);
            if due == 0 && in_hand == 0 {
                return Ok(());
            }
            Err(format!(
                "{due} jobs are due or executing, {in_hand} attempts are in hand"
            ))
        })
        .await;
    }

    /// Waits until an actor was restarted after it was last waited for (or after the start), and
    /// runs.
    ///
    /// # Panics
    ///
    /// When it was not in time.
    pub async fn restarted(&self, role: Role) {
        self.tree.restarted(role).await;
    }

    /// Waits until the board's health is as wanted.
    ///
    /// # Panics
    ///
    /// When it is not in time; the text tells what it is instead.
    pub async fn healthy(&self, is_wanted: impl Fn(&Health) -> bool) -> Health {
        self.until("the health is as wanted", || async {
            let health = self.health();
            if is_wanted(&health) {
                return Ok(health);
            }
            Err(format!("it is: {health}"))
        })
        .await
    }

    /// Waits until `fact` gives a value; for facts of the test's own. `Err` says how things stand
    /// instead.
    ///
    /// # Panics
    ///
    /// When it does not in time, with the last `Err`.
    pub async fn until<T, F, Fut>(&self, what: &str, mut fact: F) -> T
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, String>>,
    {
        let mut standing = String::new();
        let waiting = async {
            let (mut ended, mut happened) = (self.ended.growth(), self.tree.growth());
            loop {
                match fact().await {
                    Ok(value) => return value,
                    Err(text) => standing = text,
                }
                tokio::select! {
                    _ = ended.changed() => {}
                    _ = happened.changed() => {}
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
            }
        };
        let waited = tokio::time::timeout(self.tree.patience, waiting).await;
        waited.unwrap_or_else(|_| {
            panic!(
                "waited {:?} in vain until {what}: {standing}; the board is {}",
                self.tree.patience,
                self.health()
            )
        })
    }

    /// The names of the queues.
    pub(super) fn queues(&self) -> Vec<String> {
        let snapshot = self.supervisor().snapshot();
        let queues = snapshot.find(&["queues"]);
        let children = queues.into_iter().flat_map(|queues| &queues.children);
        children.map(|queue| queue.info.id.to_string()).collect()
    }

    /// Whether a queue is running.
    pub(super) fn is_running(&self, queue: &str) -> Option<bool> {
        let snapshot = self.supervisor().snapshot();
        let found = snapshot.find(&["queues", queue])?;
        Some(found.info.status == ChildStatus::Running)
    }
}
