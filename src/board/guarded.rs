//! One breaker as the breakers' actor keeps it: what the board said last, what this node has to do about it, and
//! what it found and has not written yet. No I/O.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::job::{BreakerState, Judge, NodeId, Verdict, Watch};
use crate::queue::{Call, Fuse, Order, Rule};
use crate::store::BreakerRow;

/// In how many steps more jobs are let go after a breaker has closed.
const RAMP_STEPS: u32 = 20;
/// The shortest and the longest of these steps.
const SHORTEST_STEP: Duration = Duration::from_millis(50);
const LONGEST_STEP: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Guarded {
    pub(super) fuse: Arc<Fuse>,
    pub(super) finding: Option<Finding>,
    node: NodeId,
    judge: Judge,
    said: Option<Said>,
    /// Until when no probes are asked for.
    rests_until: Option<Instant>,
}

/// What the board said last, by this process's clock.
#[derive(Debug, Clone, Copy)]
struct Said {
    epoch: u64,
    state: BreakerState,
    changed_at: Option<Instant>,
    probe_at: Option<Instant>,
    prober: Option<NodeId>,
    probing_until: Instant,
    succeeded: u32,
}

/// What this node found, in which epoch, and the error that made it so.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) epoch: u64,
    pub(super) verdict: Verdict,
    pub(super) error: Option<Box<str>>,
}

/// What is to be done about probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing now.
    Wait,
    /// Make them this node's, or keep them.
    Probe,
}

impl Guarded {
    pub(super) fn new(fuse: &Arc<Fuse>, node: NodeId) -> Self {
        Self {
            judge: Judge::new(fuse.options.clone()),
            fuse: Arc::clone(fuse),
            finding: None,
            node,
            said: None,
            rests_until: None,
        }
    }

    /// Which change of the breaker this node knows.
    pub(super) fn epoch(&self) -> Option<u64> {
        self.said.map(|said| said.epoch)
    }

    /// Takes in how a call has ended, and says what to obey if that opens the breaker.
    pub(super) fn record(&mut self, now: Duration, call: Call) -> Option<Order> {
        let verdict = self.judge.record(now, call.epoch, call.called)?;
        let is_open = matches!(verdict, Verdict::Open(_));
        self.finding = Some(Finding {
            epoch: call.epoch,
            verdict,
            error: call.error,
        });
        is_open.then_some(Order {
            epoch: call.epoch,
            rule: Rule::Nothing,
        })
    }

    /// Takes in what the board said when it was asked at `asked_at`, and says what to obey.
    pub(super) fn adopt(&mut self, row: &BreakerRow, asked_at: Instant) -> Order {
        let said = Said {
            epoch: row.epoch,
            state: row.info.state,
            // It may be longer ago than this machine is up.
            changed_at: asked_at.checked_sub(row.changed_ago),
            probe_at: row.probe_in.and_then(|wait| asked_at.checked_add(wait)),
            prober: row.info.prober,
            probing_until: asked_at + row.probing_for,
            succeeded: row.info.succeeded_probes,
        };
        if self.epoch() != Some(row.epoch) {
            self.judge.begin(row.epoch, self.watch(&said));
            self.finding.take_if(|finding| finding.epoch != row.epoch);
        }
        self.said = Some(said);
        Order {
            epoch: row.epoch,
            rule: self.rule(&said, asked_at),
        }
    }

    fn watch(&self, said: &Said) -> Watch {
        match said.state {
            BreakerState::Closed => Watch::Rates,
            BreakerState::HalfOpen if said.prober == Some(self.node) => Watch::Probes {
                succeeded: said.succeeded,
            },
            _ => Watch::Nothing,
        }
    }

    fn rule(&self, said: &Said, now: Instant) -> Rule {
        let obeyed = self.fuse.order();
        let earlier = (obeyed.epoch == said.epoch).then_some(obeyed.rule);
        match said.state {
            BreakerState::Closed | BreakerState::HeldClosed => match said.changed_at {
                Some(since) if said.epoch > 0 && now < since + self.fuse.options.ramp => {
                    match earlier {
                        // Every answer takes a little longer or shorter; time goes on evenly.
                        Some(ramp @ Rule::Ramp { .. }) => ramp,
                        _ => Rule::Ramp { since },
                    }
                }
                _ => Rule::All,
            },
            BreakerState::HalfOpen
                if said.prober == Some(self.node) && now < said.probing_until =>
            {
                let left = match earlier {
                    // Those that have succeeded since are counted already.
                    Some(Rule::Probes { left, .. }) => left,
                    _ => self.fuse.options.probes.saturating_sub(said.succeeded),
                };
                Rule::Probes {
                    left,
                    until: said.probing_until,
                }
            }
            _ => Rule::Nothing,
        }
    }

    /// What is to be done about probes now.
    pub(super) fn step(&self, now: Instant) -> Step {
        let Some(said) = self
            .said
            .filter(|_| self.rests_until.is_none_or(|until| until <= now))
        else {
            return Step::Wait;
        };
        let is_due = match said.state {
            BreakerState::Open => said.probe_at.is_some_and(|at| at <= now),
            // While a probe runs here, they stay this node's; while it has none, they may go where jobs are.
            BreakerState::HalfOpen
                if said.prober == Some(self.node) && now < said.probing_until =>
            {
                self.fuse.is_running()
            }
            BreakerState::HalfOpen => now >= said.probing_until,
            _ => false,
        };
        if is_due { Step::Probe } else { Step::Wait }
    }

    /// Nothing was found to probe with; looks again after this time.
    pub(super) fn rest(&mut self, wait: Duration) {
        self.rests_until = Instant::now().checked_add(wait);
    }

    /// Whether the jobs that waited are let go by and by.
    pub(super) fn is_ramping(&self) -> bool {
        matches!(self.fuse.order().rule, Rule::Ramp { .. })
    }

    /// How soon it is to be looked at again, if not only as a matter of routine.
    pub(super) fn next_at(&self, now: Instant) -> Option<Duration> {
        if let Rule::Ramp { since } = self.fuse.order().rule {
            let step = (self.fuse.options.ramp / RAMP_STEPS).clamp(SHORTEST_STEP, LONGEST_STEP);
            let end = (since + self.fuse.options.ramp).saturating_duration_since(now);
            return Some(step.min(end));
        }
        let probe_at = self
            .said
            .filter(|said| said.state == BreakerState::Open)?
            .probe_at?;
        // When it is overdue, no job has come yet that it could be tried with.
        Some(probe_at.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;
    use crate::job::{Breaker, Called};
    use crate::queue::fuse_of;
    use crate::store::BreakerInfo;

    const NODE: NodeId = NodeId::from_i64(1);
    const SECOND: Duration = Duration::from_secs(1);

    fn guarded() -> Guarded {
        let breaker = Breaker::named("smtp").probes(3).ramp(10 * SECOND);
        Guarded::new(&fuse_of(breaker), NODE)
    }

    fn row(epoch: u64, state: BreakerState) -> BreakerRow {
        let is_half_open = state == BreakerState::HalfOpen;
        BreakerRow {
            info: BreakerInfo {
                name: "smtp".into(),
                kinds: Vec::new(),
                state,
                since: Utc::now(),
                reason: None,
                changed_by: "somebody".into(),
                next_probe_at: None,
                prober: is_half_open.then_some(NODE),
                succeeded_probes: 1,
                openings: 1,
            },
            epoch,
            changed_ago: SECOND,
            probe_in: (state == BreakerState::Open).then_some(SECOND),
            probing_for: 5 * SECOND,
        }
    }

    fn call(epoch: u64) -> Call {
        Call {
            breaker: "smtp".into(),
            epoch,
            called: Called {
                is_failed: true,
                is_slow: false,
            },
            error: None,
        }
    }

    #[test]
    fn a_breaker_that_was_never_open_lets_everything_through_and_one_that_has_just_closed_does_not()
    {
        let (mut guarded, now) = (guarded(), Instant::now());
        let rule = |order: Order| order.rule;
        assert_eq!(
            rule(guarded.adopt(&row(0, BreakerState::Closed), now)),
            Rule::All
        );
        let since = now - SECOND;
        assert_eq!(
            rule(guarded.adopt(&row(3, BreakerState::Closed), now)),
            Rule::Ramp { since }
        );
        let long_ago = BreakerRow {
            changed_ago: 10 * SECOND,
            ..row(3, BreakerState::Closed)
        };
        assert_eq!(rule(guarded.adopt(&long_ago, now)), Rule::All);
        for state in [BreakerState::Open, BreakerState::HeldOpen] {
            assert_eq!(rule(guarded.adopt(&row(4, state), now)), Rule::Nothing);
        }
    }

    #[test]
    fn probes_are_taken_when_it_is_time_and_kept_only_while_one_runs() {
        let (mut guarded, now) = (guarded(), Instant::now());
        assert_eq!(guarded.step(now), Step::Wait);
        guarded.adopt(&row(4, BreakerState::Open), now);
        assert_eq!(guarded.step(now), Step::Wait);
        assert_eq!(guarded.next_at(now), Some(SECOND));
        assert_eq!(guarded.step(now + SECOND), Step::Probe);
        guarded.rest(2 * SECOND);
        assert_eq!(guarded.step(now + SECOND), Step::Wait);
        let order = guarded.adopt(&row(5, BreakerState::HalfOpen), now);
        let until = now + 5 * SECOND;
        assert_eq!(order.rule, Rule::Probes { left: 2, until });
        assert_eq!(guarded.step(now + 4 * SECOND), Step::Wait);
        assert_eq!(guarded.step(until), Step::Probe);
    }

    #[test]
    fn the_probes_of_another_node_are_not_touched_while_they_are_its_own() {
        let (mut guarded, now) = (guarded(), Instant::now());
        let mut other = row(5, BreakerState::HalfOpen);
        other.info.prober = Some(NodeId::from_i64(2));
        assert_eq!(guarded.adopt(&other, now).rule, Rule::Nothing);
        assert_eq!(guarded.step(now + 4 * SECOND), Step::Wait);
        assert_eq!(guarded.step(now + 5 * SECOND), Step::Probe);
        assert_eq!(guarded.record(Duration::ZERO, call(5)), None);
    }

    #[test]
    fn a_verdict_is_obeyed_at_once_and_forgotten_when_somebody_else_was_first() {
        let (mut guarded, now) = (guarded(), Instant::now());
        guarded.adopt(&row(3, BreakerState::Closed), now);
        let orders: Vec<_> = (0..20)
            .filter_map(|_| guarded.record(Duration::ZERO, call(3)))
            .collect();
        let rule = Rule::Nothing;
        assert_eq!(orders, [Order { epoch: 3, rule }]);
        assert!(guarded.finding.is_some());
        guarded.adopt(&row(3, BreakerState::Closed), now);
        assert!(guarded.finding.is_some());
        guarded.adopt(&row(4, BreakerState::Open), now);
        assert!(guarded.finding.is_none());
    }
}
