//! The list of all that can happen: [`Event`].

use std::sync::Arc;
use std::time::Duration;

use super::{Attempted, Sample, Started, Swapped};
use crate::job::{JobId, NodeId, OpenReason};
use crate::store::{BreakerInfo, Cancelled, Fate};
use crate::supervision;

/// Something that happened on this node, or that this node did.
///
/// Those that tell of single jobs or calls are made only while somebody listens. None holds arguments
/// of a job; a failure's text is in [`Attempted`], and its beginning in the reason of a breaker.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// Jobs were enqueued by this process.
    Enqueued {
        /// Their queue.
        queue: Arc<str>,
        /// Their kind.
        kind: Arc<str>,
        /// How many.
        jobs: u32,
        /// They were written in a transaction of the caller's own, which may roll back yet.
        is_in_transaction: bool,
    },
    /// Somebody in this process asked for a job's cancellation.
    Cancelled {
        /// The job.
        job: JobId,
        /// What came of it.
        found: Cancelled,
    },
    /// Dead jobs were brought back by this process.
    Requeued {
        /// The queue they went to.
        queue: String,
        /// How many.
        jobs: u32,
    },
    /// Jobs that were due were moved to available by this node.
    Promoted {
        /// Their queue.
        queue: String,
        /// How many.
        jobs: u32,
    },
    /// A claim came back.
    Claimed {
        /// The queue.
        queue: Arc<str>,
        /// How many jobs it brought.
        jobs: u32,
        /// How many were wanted.
        wanted: u32,
        /// How long it took.
        took: Duration,
    },
    /// A handler began.
    Started(Started),
    /// An attempt ended, and the answer was written or refused.
    Attempted(Attempted),
    /// The ledger wrote what had gathered.
    Written {
        /// How many answers.
        answers: u32,
        /// How many of them the fence refused: they came from stale attempts.
        refused: u32,
        /// How long the write took.
        took: Duration,
    },
    /// An answer could not be written as it was, and was written without the texts from outside.
    WrittenPlainly {
        /// The job.
        job: JobId,
        /// Why the database refused it.
        reason: String,
    },
    /// This node took a job back from a node that is gone.
    Rescued {
        /// The job.
        job: JobId,
        /// Its queue.
        queue: String,
        /// What became of it.
        fate: Fate,
    },
    /// This node found another one dead.
    NodeCondemned {
        /// The dead one.
        node: NodeId,
    },
    /// This node's lease had run out, or it had been condemned: its jobs may be others' by now.
    LeaseLapsed {
        /// This node.
        node: NodeId,
    },
    /// A part of the board cannot do its work at present, and tries again by itself.
    Degraded {
        /// Which: a key of [`Health::parts`](crate::board::Health::parts).
        part: String,
        /// What failed.
        reason: String,
    },
    /// A part of the board works again.
    Recovered {
        /// Which.
        part: String,
        /// For how long it did not.
        after: Duration,
    },
    /// Something happened to an actor of the board's tree.
    Supervised(supervision::Event),
    /// This node serves another queue from now on.
    QueueAdded {
        /// The queue.
        queue: String,
    },
    /// This node does not serve a queue any more.
    QueueRemoved {
        /// The queue.
        queue: String,
    },
    /// This node serves a queue otherwise from now on: paused, resumed, with another number of workers.
    QueueSteered {
        /// The queue.
        queue: Arc<str>,
        /// How, for people.
        steering: String,
    },
    /// This node runs other handlers from now on.
    HandlersSwapped(Swapped),
    /// How things stand, taken every
    /// [`sample_every`](crate::board::Builder::sample_every) and never unless that is asked for.
    Sampled(Sample),
    /// The board is up.
    Up {
        /// This node.
        node: NodeId,
        /// Host and process id.
        name: String,
        /// How many queues it serves.
        queues: usize,
    },
    /// A shutdown began: nothing is claimed any more.
    Closing {
        /// How many attempts are in hand.
        in_hand: usize,
        /// How long handlers may take.
        grace: Duration,
    },
    /// The grace of a shutdown is over: handlers are told to stop.
    GraceOver {
        /// How many attempts are in hand.
        in_hand: usize,
    },
    /// Handlers did not stop when they were told to, and are cut off.
    CutOff {
        /// How many attempts are in hand.
        in_hand: usize,
    },
    /// The ledger stopped with answers that it could not write. Their jobs will run again.
    Unwritten {
        /// How many.
        answers: usize,
    },
    /// Followers of attempts that were to get them all do not keep up with a shutdown.
    FollowersBehind {
        /// How many attempts wait for them.
        held_up: usize,
    },
    /// This process opened a breaker: its node found a reason, or somebody here did it by hand.
    BreakerOpened {
        /// The breaker.
        breaker: Arc<str>,
        /// Why.
        reason: OpenReason,
    },
    /// A breaker of this node stands otherwise than this node knew, whoever changed it. Said at a start for
    /// those that are not closed.
    BreakerChanged(BreakerInfo),
    /// Old history was dropped: partitions, and rows that were in none.
    Pruned {
        /// How many.
        pruned: u64,
    },
}
