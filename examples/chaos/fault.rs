//! What can befall a node or the server.

use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Fault {
    /// A node's process is killed, and started again a little later.
    Kill,
    /// It is stopped for about its lease or longer, and goes on.
    Stop,
    /// It is asked to shut down.
    Terminate,
    /// Its connections are reset.
    Cut,
    /// They are half open for about its lease or longer.
    Freeze,
    /// They are reset, and new ones refused for a while.
    Refuse,
    /// Statements run, and their answers are lost.
    LoseAnswers,
    /// Actors of its board are killed.
    KillActors,
    /// A job blocks every thread of its runtime for longer than its lease.
    Hog,
    /// Every session of the server is terminated.
    TerminateSessions,
    /// The server is restarted at once, as after a crash.
    Restart,
    /// A session of the server is killed, whereupon it recovers.
    Crash,
    /// Somebody locks every running job, one after the other, in the order of their ids.
    Walk,
}

impl Fault {
    /// Whether a node may look dead for it.
    pub(crate) fn may_look_like_death(self) -> bool {
        !matches!(
            self,
            Self::LoseAnswers | Self::KillActors | Self::Hog | Self::Walk
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kill => "SIGKILL of a node",
            Self::Stop => "SIGSTOP, SIGCONT",
            Self::Terminate => "SIGTERM of a node",
            Self::Cut => "connections reset",
            Self::Freeze => "connections half open",
            Self::Refuse => "connections refused",
            Self::LoseAnswers => "answers lost",
            Self::KillActors => "actors killed",
            Self::Hog => "runtime blocked by a job",
            Self::TerminateSessions => "all sessions terminated",
            Self::Restart => "server restarted at once",
            Self::Crash => "server crashed",
            Self::Walk => "rows locked in id order",
        })
    }
}
