//! Who crashed, and what followed: [`Report`].

use std::fmt;
use std::time::{Duration, SystemTime};

use super::{Role, TestBoard};
use crate::job::{Attempt, FailureKind, JobId, Transition};
use crate::queue::Attempted;
use crate::supervision::{ChildPath, Event, EventKind, Exit};

/// Every crash of a board so far, in the order in which they were noticed. Displays as a table.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Report {
    /// The crashes.
    pub crashes: Vec<Crash>,
}

/// An actor that ended other than by its supervisor's will.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Crash {
    /// Who.
    pub role: Role,
    /// How it ended.
    pub exit: Exit,
    /// When its supervisor noticed.
    pub at: SystemTime,
    /// How long until its successor ran; `None` if none does yet.
    pub back_after: Option<Duration>,
    /// The job that it ran.
    pub job: Option<HeldJob>,
}

/// A job that a worker ran when it crashed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HeldJob {
    /// The job.
    pub id: JobId,
    /// Its kind.
    pub kind: String,
    /// The attempt that crashed.
    pub attempt: Attempt,
    /// What became of the job since, attempt by attempt, the crashed one first.
    pub fate: Vec<(Attempt, Transition)>,
}

impl TestBoard {
    /// Tells who crashed since the start, why, how long until the replacement ran, and what happened
    /// to the job in hand.
    #[must_use]
    pub fn report(&self) -> Report {
        self.ended.read(|attempts| {
            self.tree.read_events(|events| {
                let crash = |(place, event)| crash(event, &events[place + 1..], attempts);
                let crashes = events.iter().enumerate().filter_map(crash).collect();
                Report { crashes }
            })
        })
    }
}

fn crash(event: &Event, later: &[Event], attempts: &[Attempted]) -> Option<Crash> {
    let EventKind::Exited {
        exit, is_brutal, ..
    } = &event.kind
    else {
        return None;
    };
    if exit.is_normal() || *is_brutal {
        return None;
    }
    let is_back = |later: &&Event| {
        later.path == event.path && matches!(later.kind, EventKind::Restarted { .. })
    };
    let back_at = later.iter().find(is_back).map(|back| back.at);
    Some(Crash {
        role: Role::of(&event.path),
        exit: exit.clone(),
        at: event.at,
        back_after: back_at.and_then(|at| at.duration_since(event.at).ok()),
        job: held_by(&event.path, event.at, attempts),
    })
}

/// The job that a worker ran when it crashed: the last crashed attempt that it answered for before
/// its end was noticed, if that was its last act.
fn held_by(path: &ChildPath, at: SystemTime, attempts: &[Attempted]) -> Option<HeldJob> {
    let ids: Vec<&str> = path.ids().collect();
    let ["queues", queue, "workers", worker] = ids[..] else {
        return None;
    };
    let is_its_own = |attempt: &&Attempted| {
        *attempt.queue == *queue
            && attempt.worker.as_deref() == Some(worker)
            && attempt.ended_at <= at
    };
    let last = attempts
        .iter()
        .filter(is_its_own)
        .max_by_key(|a| a.ended_at)?;
    is_crash(&last.transition).then(|| HeldJob {
        id: last.job,
        kind: last.kind.clone(),
        attempt: last.attempt,
        fate: fate(last, attempts),
    })
}

fn is_crash(transition: &Transition) -> bool {
    let (Transition::Retry { failure, .. } | Transition::Bury { failure, .. }) = transition else {
        return false;
    };
    matches!(failure.kind, FailureKind::Panic | FailureKind::Crashed)
}

fn fate(crashed: &Attempted, attempts: &[Attempted]) -> Vec<(Attempt, Transition)> {
    let of_job = attempts.iter().filter(|attempt| {
        attempt.job == crashed.job && attempt.attempt >= crashed.attempt && attempt.is_accepted
    });
    of_job
        .map(|attempt| (attempt.attempt, attempt.transition.clone()))
        .collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.crashes.is_empty() {
            return f.write_str("nobody crashed");
        }
        let [who, back] = ["who", "back after"];
        writeln!(f, "{who:<24} {back:>10}  why; and the job in hand")?;
        self.crashes
            .iter()
            .try_for_each(|crash| writeln!(f, "{crash}"))
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let back = match self.back_after {
            Some(after) => format!("{:.2} ms", after.as_secs_f64() * 1000.0),
            None => "not yet".to_owned(),
        };
        write!(f, "{:<24} {back:>10}  {}", self.role.to_string(), self.exit)?;
        match &self.job {
            Some(job) => write!(f, "; {job}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for HeldJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job {} ({}):", self.id, self.kind)?;
        for (place, (attempt, transition)) in self.fate.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma} attempt {attempt} {}", what_came_of(transition))?;
        }
        Ok(())
    }
}

fn what_came_of(transition: &Transition) -> &'static str {
    match transition {
        Transition::Complete { .. } => "completed",
        Transition::Retry { failure, .. } if failure.kind == FailureKind::Panic => "panicked",
        Transition::Retry { failure, .. } if failure.kind == FailureKind::Crashed => "was cut off",
        Transition::Retry { .. } => "failed",
        Transition::Snooze { .. } => "snoozed",
        Transition::Cancel { .. } => "was cancelled",
        Transition::Bury { .. } => "was buried",
        Transition::Release { .. } => "was released",
    }
}
