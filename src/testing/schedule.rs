//! Faults one after the other, from a seed: [`Schedule`].

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use super::{Fault, TestBoard};

/// Faults one after the other with pauses between them, drawn from a seed: the same seed draws the
/// same faults and pauses. When they strike depends on the machine.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
/// use callboard::testing::{Fault, Role, Schedule, TestBoard};
///
/// # async fn example(board: TestBoard, jobs: Vec<callboard::JobId>) {
/// let faults = Schedule::seeded(42)
///     .fault(Fault::Crash(Role::worker_of("mail")))
///     .fault(Fault::Kill(Role::fetcher_of("mail")))
///     .fault(Fault::CutConnections);
/// let ((), injected) = board.under(faults, async {
///     for job in jobs {
///         board.settled(job).await;
///     }
/// })
/// .await;
/// println!("{} faults\n{}", injected.len(), board.report());
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a schedule breaks nothing until a board is under it"]
pub struct Schedule {
    random: Rng,
    faults: Vec<Fault>,
    pauses: Range<Duration>,
}

/// A fault of a schedule that struck, or found nothing to break.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Injected {
    /// The fault.
    pub fault: Fault,
    /// How long after the schedule began.
    pub after: Duration,
    /// Why it broke nothing, if it did not.
    pub missed: Option<String>,
}

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {:?}: {}", self.after, self.fault)?;
        match &self.missed {
            Some(why) => write!(f, " (missed: {why})"),
            None => Ok(()),
        }
    }
}

impl Schedule {
    /// A schedule without faults yet, with pauses of 10 to 100 ms.
    pub fn seeded(seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed),
            faults: Vec::new(),
            pauses: Duration::from_millis(10)..Duration::from_millis(100),
        }
    }

    /// Adds a fault to draw from; add it twice to draw it twice as often.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Sets how long the pauses between faults are, evenly spread.
    pub fn pauses(mut self, pauses: Range<Duration>) -> Self {
        self.pauses = pauses;
        self
    }

    /// The next pause and fault; `None` if there is nothing to draw from.
    fn draw(&mut self) -> Option<(Duration, Fault)> {
        let spread = self.pauses.end.saturating_sub(self.pauses.start);
        let pause = self.pauses.start + spread.mul_f64(self.random.f64());
        self.random
            .choice(&self.faults)
            .map(|fault| (pause, fault.clone()))
    }
}

impl TestBoard {
    /// Runs `work` while the schedule's faults strike one after the other. Returns what `work` does,
    /// and the faults; by then connections are accepted and not delayed.
    pub async fn under<T>(
        &self,
        mut schedule: Schedule,
        work: impl Future<Output = T>,
    ) -> (T, Vec<Injected>) {
        let began = Instant::now();
        let mut injected = Vec::new();
        let breaking = async {
            while let Some((pause, fault)) = schedule.draw() {
                tokio::time::sleep(pause).await;
                let after = began.elapsed();
                let missed = self.inject(&fault).await.err();
                injected.push(Injected {
                    fault,
                    after,
                    missed: missed.map(|error| error.to_string()),
                });
            }
            std::future::pending().await
        };
        let done = tokio::select! {
            done = work => done,
            never = breaking => never,
        };
        // The last fault may have been cut off in the middle.
        self.proxy.accept();
        self.proxy.thaw();
        self.proxy.delay(Duration::ZERO);
        (done, injected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_faults() {
        let draws = |seed| {
            let mut schedule = Schedule::seeded(seed)
                .fault(Fault::CutConnections)
                .fault(Fault::RefuseConnections(Duration::from_secs(1)));
            (0..20).map(|_| schedule.draw()).collect::<Vec<_>>()
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        assert!(draws(1).iter().all(|draw| {
            let (pause, _) = draw.as_ref().expect("there are faults to draw from");
            (Duration::from_millis(10)..Duration::from_millis(100)).contains(pause)
        }));
        assert_eq!(Schedule::seeded(1).draw(), None);
    }
}
