//! What is in the database besides the jobs that are drained.

use std::fmt;

use crate::jobs::Does;
use crate::place::Place;
use crate::support::Failed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    Nothing,
    /// So many jobs that wait for their time.
    Scheduled(usize),
    /// So many jobs that were completed today.
    History(usize),
    /// A transaction whose snapshot is older than the drain.
    OldSnapshot,
}

impl Beside {
    /// Puts it there. What is answered is to be kept until the end.
    pub(crate) async fn prepare(
        self,
        place: &Place,
        queues: &[String],
    ) -> Result<Option<tokio_postgres::Client>, Failed> {
        match self {
            Self::Nothing | Self::Scheduled(0) | Self::History(0) => Ok(None),
            Self::OldSnapshot => Ok(Some(place.snapshot().await?)),
            Self::Scheduled(jobs) => {
                place.fill(jobs, Does::Nothing, queues).await?;
                let later = "update callboard.jobs set state = 'scheduled', is_ready = false, \
                             due_at = now() + interval '1 day'";
                place.run(later).await?;
                place.run("vacuum analyze callboard.jobs").await?;
                Ok(None)
            }
            Self::History(jobs) => {
                let filled = format!(
                    "insert into callboard.history \
                            (id, enqueued_at, attempted_at, node, attempt, state, queue, kind) \
                     select -number, now(), now(), 1, 1, 'completed', 'queue-1', 'throughput::jobs::work' \
                     from generate_series(1, {jobs}) as number"
                );
                place.run(&filled).await?;
                place.run("vacuum analyze callboard.history").await?;
                Ok(None)
            }
        }
    }
}

/// As a part of a setting: empty, or with a comma before.
impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Scheduled(jobs) => write!(f, ", {jobs} scheduled beside"),
            Self::History(jobs) => write!(f, ", {jobs} in history"),
            Self::OldSnapshot => f.write_str(", an old snapshot open"),
        }
    }
}
