//! Which actor of a board's tree is meant: [`Role`].

use std::fmt;

use crate::supervision::ChildPath;

/// An actor of a board's tree, by what it is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Role {
    path: Vec<String>,
    /// Any child at the path instead of the one there: `worker of "mail"`.
    is_any_child: bool,
}

impl Role {
    /// The root supervisor.
    #[must_use]
    pub fn board() -> Self {
        Self::at([])
    }

    /// Any worker of a queue: where one is wanted, one that runs a job if there is such a one.
    #[must_use]
    pub fn worker_of(queue: &str) -> Self {
        Self {
            is_any_child: true,
            ..Self::workers_of(queue)
        }
    }

    /// The supervisor of a queue's workers.
    #[must_use]
    pub fn workers_of(queue: &str) -> Self {
        Self::at(["queues", queue, "workers"])
    }

    /// The fetcher of a queue.
    #[must_use]
    pub fn fetcher_of(queue: &str) -> Self {
        Self::at(["queues", queue, "fetcher"])
    }

    /// A stage between the fetcher and the workers of a queue, by its name.
    #[must_use]
    pub fn stage_of(queue: &str, stage: &str) -> Self {
        Self::at(["queues", queue, stage])
    }

    /// The supervisor of a queue.
    #[must_use]
    pub fn queue(queue: &str) -> Self {
        Self::at(["queues", queue])
    }

    /// The supervisor of all queues.
    #[must_use]
    pub fn queues() -> Self {
        Self::at(["queues"])
    }

    /// The ledger, which writes what became of jobs.
    #[must_use]
    pub fn ledger() -> Self {
        Self::at(["ledger"])
    }

    /// The notifier, which hears of jobs that other processes enqueue.
    #[must_use]
    pub fn notifier() -> Self {
        Self::at(["notifier"])
    }

    /// The scheduler, which makes due jobs available.
    #[must_use]
    pub fn scheduler() -> Self {
        Self::at(["scheduler"])
    }

    /// The rescuer, which takes jobs back from dead nodes.
    #[must_use]
    pub fn rescuer() -> Self {
        Self::at(["rescuer"])
    }

    /// The pruner, which drops old history.
    #[must_use]
    pub fn pruner() -> Self {
        Self::at(["pruner"])
    }

    /// The actor that proves the node alive.
    #[must_use]
    pub fn liveness() -> Self {
        Self::at(["liveness"])
    }

    /// The actor at these ids below the root, as snapshots and events name them: one of the
    /// application's own, say.
    #[must_use]
    pub fn at<'a>(path: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            path: path.into_iter().map(str::to_owned).collect(),
            is_any_child: false,
        }
    }

    /// The actor that an event or a snapshot speaks of.
    #[must_use]
    pub fn of(path: &ChildPath) -> Self {
        Self::at(path.ids())
    }

    /// The ids below the root; of the supervisor, if any of its children is meant.
    pub(super) fn path(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    pub(super) fn is_any_child(&self) -> bool {
        self.is_any_child
    }

    /// Whether this is what stands at the path.
    pub(super) fn is_at(&self, path: &ChildPath) -> bool {
        let ids: Vec<&str> = path.ids().collect();
        match ids.split_last() {
            Some((_, above)) if self.is_any_child => above == self.path(),
            _ => ids == self.path(),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.path().as_slice(), self.is_any_child) {
            ([], _) => f.write_str("root"),
            (["queues", queue, "workers"], true) => write!(f, "worker of {queue:?}"),
            (["queues", queue, "workers"], false) => write!(f, "workers of {queue:?}"),
            (["queues", queue, "workers", worker], _) => write!(f, "{worker} of {queue:?}"),
            (["queues", queue, "fetcher"], _) => write!(f, "fetcher of {queue:?}"),
            (["queues", queue], _) => write!(f, "queue {queue:?}"),
            (path, _) => f.write_str(&path.join("/")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_reads_as_people_say_it() {
        let roles = [
            Role::worker_of("mail"),
            Role::at(["queues", "mail", "workers", "worker-3"]),
            Role::fetcher_of("mail"),
            Role::queue("mail"),
            Role::ledger(),
            Role::at(["application", "cache"]),
            Role::board(),
        ];
        let read = roles.map(|role| role.to_string());
        let expected = [
            "worker of \"mail\"",
            "worker-3 of \"mail\"",
            "fetcher of \"mail\"",
            "queue \"mail\"",
            "ledger",
            "application/cache",
            "root",
        ];
        assert_eq!(read, expected);
    }
}
