//! How a board or a client is, for people and probes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::PoisonError;
use std::time::Instant;

use super::Client;

/// How a part of the board is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// It does its work.
    Working,
    /// It cannot at present, and tries again by itself.
    Degraded {
        /// What failed last.
        reason: String,
        /// Since when.
        since: Instant,
    },
    /// It crashed more often than its supervisor allows, and is restarted after a pause.
    Failed {
        /// Its last exit.
        reason: String,
    },
}

impl Condition {
    /// Whether it does its work.
    #[must_use]
    pub fn is_working(&self) -> bool {
        matches!(self, Self::Working)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Working => f.write_str("working"),
            Self::Degraded { reason, since } => {
                write!(f, "degraded for {:.1?}: {reason}", since.elapsed())
            }
            Self::Failed { reason } => write!(f, "failed: {reason}"),
        }
    }
}

/// The part that watches whether handlers block every thread.
const RUNTIME: &str = "runtime";
/// Parts without which jobs run all the same: later, or seen worse.
const DISPENSABLE: [&str; 3] = ["notifier", "pruner", "sampler"];

/// How the parts of a board are, or a client's way to the database.
///
/// Two questions are for probes, and [`reasons`](Self::reasons) is the text to answer them with. Nothing
/// here waits for the database: a board knows how it is.
///
/// # Examples
///
/// ```
/// use callboard::Board;
///
/// /// For `GET /livez`: restart the process if this goes on failing for, say, half a minute.
/// fn live(board: &Board) -> (u16, String) {
///     let health = board.health();
///     (if health.is_live() { 200 } else { 503 }, health.to_string())
/// }
///
/// /// For `GET /readyz`: go on with a deployment when this succeeds.
/// fn ready(board: &Board) -> (u16, String) {
///     let health = board.health();
///     (if health.is_ready() { 200 } else { 503 }, health.reasons().join("\n"))
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Every part that has something to say, by role: `ledger`, `fetcher of mail`, `workers of mail`,
    /// `queue mail`. Of a client without a board: `database`.
    pub parts: BTreeMap<String, Condition>,
    /// Whether the tree runs and nobody is shutting it down.
    pub is_running: bool,
    /// Whether the tree has ended, by a shutdown or because it failed.
    pub is_ended: bool,
}

impl Health {
    /// Whether everything works.
    #[must_use]
    pub fn is_working(&self) -> bool {
        self.is_running && self.parts.values().all(Condition::is_working)
    }

    /// Whether this process is worth keeping: the tree has not ended, and handlers do not block every
    /// thread of its runtime. Trouble with the database is none of that, since a restart is no cure for
    /// it; nor is a shutdown that is under way.
    #[must_use]
    pub fn is_live(&self) -> bool {
        let runtime = self.parts.get(RUNTIME);
        !self.is_ended && runtime.is_none_or(Condition::is_working)
    }

    /// Whether jobs run here: the tree runs, and every part works that jobs need. Those they can do
    /// without are the notifier, the pruner and the sampler.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_running && self.hindrances().next().is_none()
    }

    /// Why it is not ready, or not live: a line each. Empty if it is both.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let state = match (self.is_running, self.is_ended) {
            (true, _) => None,
            (false, true) => Some("the board has ended".to_owned()),
            (false, false) => Some("the board is starting or shutting down".to_owned()),
        };
        let parts = self.hindrances();
        let parts = parts.map(|(part, condition)| format!("{part}: {condition}"));
        state.into_iter().chain(parts).collect()
    }

    /// The parts that do not work.
    pub fn troubled(&self) -> impl Iterator<Item = (&str, &Condition)> {
        let troubled = self
            .parts
            .iter()
            .filter(|(_, condition)| !condition.is_working());
        troubled.map(|(role, condition)| (role.as_str(), condition))
    }

    /// The parts that do not work, and that jobs need.
    fn hindrances(&self) -> impl Iterator<Item = (&str, &Condition)> {
        self.troubled()
            .filter(|(part, _)| !DISPENSABLE.contains(part))
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_working() {
            return f.write_str("working");
        }
        if !self.is_running {
            writeln!(f, "not running")?;
        }
        self.troubled()
            .try_for_each(|(role, condition)| writeln!(f, "{role}: {condition}"))
    }
}

impl Client {
    /// Whether the database answers this client, for the probes of a process without a board. A process
    /// with one asks [`Board::health`](crate::Board::health), which waits for nobody.
    ///
    /// It takes as long as a connection and a statement may take at most.
    pub async fn health(&self) -> Health {
        let asked = self.0.store.ping().await;
        let mut silent_since = self
            .0
            .silent_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let condition = match asked {
            Ok(()) => {
                *silent_since = None;
                Condition::Working
            }
            Err(error) => Condition::Degraded {
                reason: error.to_string(),
                since: *silent_since.get_or_insert_with(Instant::now),
            },
        };
        Health {
            parts: BTreeMap::from([("database".to_owned(), condition)]),
            is_running: true,
            is_ended: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(part: &str, condition: Condition) -> Health {
        Health {
            parts: BTreeMap::from([(part.to_owned(), condition)]),
            is_running: true,
            is_ended: false,
        }
    }

    fn degraded() -> Condition {
        Condition::Degraded {
            reason: "no answer".to_owned(),
            since: Instant::now(),
        }
    }

    #[test]
    fn what_works_is_live_and_ready_without_a_word() {
        let health = with("ledger", Condition::Working);
        assert!(health.is_live() && health.is_ready());
        assert!(health.reasons().is_empty());
    }

    #[test]
    fn trouble_with_the_database_is_no_reason_to_restart() {
        let health = with("ledger", degraded());
        assert!(health.is_live() && !health.is_ready());
        let reasons = health.reasons();
        assert!(reasons[0].starts_with("ledger: degraded"), "{reasons:?}");
    }

    #[test]
    fn a_board_that_hears_no_notifications_is_ready() {
        let health = with("notifier", degraded());
        assert!(health.is_live() && health.is_ready());
        assert!(!health.is_working() && health.reasons().is_empty());
    }

    #[test]
    fn a_blocked_runtime_is_a_reason_to_restart() {
        assert!(!with("runtime", degraded()).is_live());
    }

    #[test]
    fn a_queue_that_failed_is_not_ready() {
        let reason = "no model".to_owned();
        let health = with("queue ml", Condition::Failed { reason });
        assert!(health.is_live() && !health.is_ready());
        assert_eq!(health.reasons(), ["queue ml: failed: no model"]);
    }

    #[test]
    fn a_shutdown_is_live_until_its_end_and_never_ready() {
        let closing = Health {
            is_running: false,
            ..with("ledger", Condition::Working)
        };
        assert!(closing.is_live() && !closing.is_ready());
        assert_eq!(closing.reasons().len(), 1);
        let ended = Health {
            is_ended: true,
            ..closing
        };
        assert!(!ended.is_live() && !ended.is_ready());
        assert_eq!(ended.reasons(), ["the board has ended"]);
    }
}
