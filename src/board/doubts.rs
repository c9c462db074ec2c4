//! Batches of the express lane that name jobs which nobody holds: whether their processes died, or their
//! connections.
//!
//! Pure: it is told which nodes look dead. A node that does in two looks on end, a moment apart, has died; one that
//! does in neither lives, and has lost a connection. In between it may be that its sessions go one after
//! the other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::job::NodeId;
use crate::store::{BatchId, Contested, Troubled};

/// How far two looks are apart.
pub(super) const LOOKS_APART: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct Doubts(HashMap<BatchId, Doubt>);

#[derive(Debug)]
struct Doubt {
    contested: Contested,
    queue: Arc<str>,
    /// How its node looked, and since when.
    looked: Option<(Looks, Instant)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looks {
    Alive,
    Dead,
}

/// What is known for certain.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Their processes have died.
    pub(super) dead: Vec<BatchId>,
    /// Their processes live.
    pub(super) alive: Vec<BatchId>,
}

impl Doubts {
    pub(super) fn add(&mut self, found: Vec<(Contested, Arc<str>)>) {
        for (contested, queue) in found {
            self.0.entry(contested.batch).or_insert(Doubt {
                contested,
                queue,
                looked: None,
            });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Looks at all of them.
    pub(super) fn judge(&mut self, troubled: &[Troubled], own: NodeId, now: Instant) -> Verdict {
        let mut verdict = Verdict::default();
        for (batch, doubt) in &mut self.0 {
            let node = doubt.contested.node;
            let is_certain = node == own
                || !doubt.contested.is_listed
                || troubled.contains(&Troubled::Dead(node));
            let is_troubled = is_certain || troubled.contains(&Troubled::Silent(node));
            let looks = match is_troubled && node != own {
                true => Looks::Dead,
                false => Looks::Alive,
            };
            let since = doubt.looked.filter(|(before, _)| *before == looks);
            let is_long_ago = |(_, since)| now.duration_since(since) >= LOOKS_APART;
            if is_certain || since.is_some_and(is_long_ago) {
                match looks {
                    Looks::Dead => verdict.dead.push(*batch),
                    Looks::Alive => verdict.alive.push(*batch),
                }
            } else {
                doubt.looked = since.or(Some((looks, now)));
            }
        }
        verdict
    }

    /// Takes all of them for alive.
    pub(super) fn acquit_all(&self) -> Verdict {
        Verdict {
            dead: Vec::new(),
            alive: self.0.keys().copied().collect(),
        }
    }

    /// The verdict is carried out. Returns the queues whose jobs are free by it.
    pub(super) fn settle(&mut self, verdict: &Verdict) -> HashSet<Arc<str>> {
        let settled = verdict.dead.iter().chain(&verdict.alive);
        let settled = settled.filter_map(|batch| self.0.remove(batch));
        settled.map(|doubt| doubt.queue).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: NodeId = NodeId::from_i64(1);
    const OTHER: NodeId = NodeId::from_i64(2);
    const BATCH: BatchId = BatchId(7);

    fn doubts(node: NodeId, is_listed: bool) -> Doubts {
        let mut doubts = Doubts::default();
        let contested = Contested {
            batch: BATCH,
            node,
            is_listed,
        };
        doubts.add(vec![(contested, Arc::from("mail"))]);
        doubts
    }

    fn dead() -> Verdict {
        Verdict {
            dead: vec![BATCH],
            alive: Vec::new(),
        }
    }

    fn alive() -> Verdict {
        Verdict {
            dead: Vec::new(),
            alive: vec![BATCH],
        }
    }

    #[test]
    fn who_looks_the_same_twice_is_judged() {
        let now = Instant::now();
        for (troubled, expected) in [(vec![], alive()), (vec![Troubled::Silent(OTHER)], dead())] {
            let mut doubts = doubts(OTHER, true);
            assert_eq!(doubts.judge(&troubled, OWN, now), Verdict::default());
            let soon = now + LOOKS_APART / 2;
            assert_eq!(doubts.judge(&troubled, OWN, soon), Verdict::default());
            let later = now + LOOKS_APART;
            assert_eq!(doubts.judge(&troubled, OWN, later), expected);
        }
    }

    #[test]
    fn who_looks_otherwise_the_second_time_is_looked_at_again() {
        let (mut doubts, now) = (doubts(OTHER, true), Instant::now());
        let silent = [Troubled::Silent(OTHER)];
        for look in 0..4 {
            let troubled = if look % 2 == 0 { &silent[..] } else { &[] };
            let at = now + look * LOOKS_APART;
            assert_eq!(doubts.judge(troubled, OWN, at), Verdict::default());
        }
        let at = now + 4 * LOOKS_APART;
        assert_eq!(doubts.judge(&[], OWN, at), alive());
    }

    #[test]
    fn what_is_certain_needs_no_second_look() {
        let now = Instant::now();
        let certain = [Troubled::Dead(OTHER)];
        assert_eq!(doubts(OTHER, true).judge(&certain, OWN, now), dead());
        assert_eq!(doubts(OTHER, false).judge(&[], OWN, now), dead());
        let own = [Troubled::Silent(OWN)];
        assert_eq!(doubts(OWN, true).judge(&own, OWN, now), alive());
    }

    #[test]
    fn what_is_settled_is_in_doubt_no_more() {
        let mut doubts = doubts(OTHER, true);
        assert_eq!(doubts.acquit_all(), alive());
        assert_eq!(doubts.settle(&alive()), HashSet::from([Arc::from("mail")]));
        assert!(doubts.is_empty());
    }
}
