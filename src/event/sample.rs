//! How things stand at an instant: [`Sample`].

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::job::BreakerState;
use crate::store::{PoolInfo, QueueDepth, Vitality};

/// How a node and its database stand, taken every
/// [`sample_every`](crate::board::Builder::sample_every).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// The queues that this node serves.
    pub queues: Vec<QueueSample>,
    /// How well the database can clean up; the same on all nodes.
    pub vitality: Vitality,
    /// This node's connections.
    pub pools: Vec<PoolInfo>,
    /// Answers of this node that are not written yet.
    pub unconfirmed: usize,
    /// Whether each part of this node works, by the names of
    /// [`Health::parts`](crate::board::Health::parts).
    pub parts: BTreeMap<String, bool>,
    /// How the breakers of this node stand, as it knows; without those that it has not read yet.
    pub breakers: BTreeMap<Arc<str>, BreakerState>,
}

/// How a queue stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueSample {
    /// What waits there; the same on all nodes.
    pub depth: QueueDepth,
    /// How many workers this node has for it.
    pub workers: usize,
    /// Attempts whose handlers run on this node.
    pub executing: u64,
    /// Attempts in this node's hands, until their answers are written.
    pub in_hand: usize,
    /// Jobs that this node's workers have asked for and not got: idle hands.
    pub demand: u64,
}
