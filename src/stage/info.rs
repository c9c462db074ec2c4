//! What can be known of a stage at an instant: [`StageInfo`], as it stands in the snapshot of a tree.

use std::fmt;
use std::sync::Arc;

use super::SubscriptionId;
use crate::supervision::ChildInfo;

/// A stage at an instant, read without asking it.
///
/// The bottleneck is where demand turns: the stages before it have no outstanding demand (they are
/// saturated), those behind it have all of theirs (they starve).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StageInfo {
    /// Its name.
    pub name: Arc<str>,
    /// Events that it has made and nobody has asked for yet.
    pub buffered: u64,
    /// Events that it has received and not handled yet, with those in its hands.
    pub waiting: u64,
    /// Events that its buffer had no room for, since the specification was made.
    pub dropped: u64,
    /// Its subscriptions as a consumer.
    pub upstream: Vec<SubscriptionInfo>,
    /// Its subscriptions as a producer.
    pub downstream: Vec<SubscriptionInfo>,
    /// The load of each partition, if its dispatcher has partitions.
    pub partitions: Vec<PartitionLoad>,
}

/// One subscription at an instant, since it began.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionInfo {
    /// Who produces.
    pub producer: Arc<str>,
    /// Who consumes.
    pub consumer: Arc<str>,
    /// Events asked for.
    pub asked: u64,
    /// Events delivered.
    pub delivered: u64,
    /// Events that passed by because the consumer was behind; only with
    /// [`WhenBehind::Miss`](super::WhenBehind::Miss).
    pub missed: u64,
}

/// One partition at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionLoad {
    /// Its number, from 0.
    pub partition: u32,
    /// Who consumes it; nobody at present if `None`.
    pub consumer: Option<SubscriptionId>,
    /// What its consumer has asked for and not been given.
    pub demand: u64,
    /// Events that wait for its consumer.
    pub queued: u64,
}

impl StageInfo {
    /// The stage that this child of a supervisor is, if it is one.
    #[must_use]
    pub fn of(child: &ChildInfo) -> Option<&Self> {
        child.detail_as()
    }
}

impl SubscriptionInfo {
    /// Demand that is not met: much of it says that the consumer starves, none that it is saturated.
    #[must_use]
    pub fn outstanding(&self) -> u64 {
        self.asked.saturating_sub(self.delivered)
    }
}

impl fmt::Display for StageInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: buffered {}", self.name, self.buffered)?;
        if self.waiting > 0 {
            write!(f, ", waiting {}", self.waiting)?;
        }
        if self.dropped > 0 {
            write!(f, ", dropped {}", self.dropped)?;
        }
        for subscription in &self.downstream {
            write!(f, "; {subscription}")?;
        }
        Ok(())
    }
}

impl fmt::Display for SubscriptionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (producer, consumer) = (&self.producer, &self.consumer);
        let (delivered, outstanding) = (self.delivered, self.outstanding());
        write!(
            f,
            "{producer} → {consumer}: {delivered} delivered, {outstanding} outstanding"
        )?;
        if self.missed > 0 {
            write!(f, ", {} missed", self.missed)?;
        }
        Ok(())
    }
}
