//! How work flows: demand-driven stages, after Elixir's
//! [GenStage](https://hexdocs.pm/gen_stage/GenStage.html).
//!
//! A consumer *asks*; a producer delivers at most what was asked for. Nothing is pushed, so a slow
//! consumer slows its producer down and no mailbox grows. There are three kinds of stages, each a
//! small trait run by a supervised actor: [`Producer`], [`ProducerConsumer`], [`Consumer`]. They are
//! put together by [`StageSpec`]s: any number of consumers on a producer, of producers on a
//! consumer, and of stages in a row.
//!
//! - [`SubscribeOptions`] says how much a consumer asks for, who asks, and what becomes of it when
//!   its producer is lost: it ends, lives on, or [follows](Cancel::Resubscribe) the successor.
//! - A [`Dispatcher`] says who gets which event: [`DemandDispatcher`], [`BroadcastDispatcher`],
//!   [`PartitionDispatcher`], or one of your own.
//! - What is emitted and not asked for waits in a [buffer](BufferOptions) with a bound.
//! - [`StageRef::send_after_buffered`] and [`StageRef::finish`] come after what is there already.
//! - [`StageInfo`] tells who has asked for how much, and so where the bottleneck is.
//! - Ready made: [`IterProducer`], [`StreamProducer`], [`RateLimit`], [`Batcher`], [`ForEach`], and
//!   [`Source::stream`].
//!
//! # Failure
//!
//! A stage that panics, fails or is killed drops what it holds, as values: an event that carries some
//! custody can act on that at once. Both ends of its subscriptions are owned values too, so its
//! producers and consumers are told by their `Drop`. There is no redelivery.
//!
//! # Different from GenStage
//!
//! - Unmet demand is remembered by the runtime: [`Producer::produce`] is told all of it each time.
//! - [`DemandDispatcher`] is fair and not greedy. [`PartitionDispatcher`] bounds its queues, hands
//!   over those of lost consumers, and tells the demand of each partition.
//! - A subscription to a producer that is not there yet waits for it.
//! - [`Cancel::Resubscribe`] and [`Asks::Forwarded`].
//! - What a stage is told overtakes events that it has received and not handled; use
//!   [`StageRef::send_after_buffered`] for what must not.
//!
//! # Others in the protocol
//!
//! Stages speak [`ProducerMessage`] and [`ConsumerMessage`] through [`Mailbox`]es, so anybody can
//! take part: an actor with messages of its own, a channel, a test. [`Demand`] is GenStage's automatic
//! demand as a pure state machine.
//!
//! Generic, of use without jobs.

mod actor;
mod adapters;
mod batcher;
mod behaviour;
mod buffer;
mod demand;
mod dispatcher;
mod error;
mod for_each;
mod info;
mod inlet;
mod inlets;
mod iter;
mod mailbox;
mod message;
mod meter;
mod options;
mod outlet;
mod pace;
mod protocol;
mod rate_limit;
mod shelf;
mod source;
mod spec;
mod stage_ref;
mod stream;
mod stream_producer;

pub use adapters::{Consumes, Produces};
pub use batcher::Batcher;
pub use behaviour::{Consumer, Flow, Producer, ProducerConsumer, StageKind};
pub use buffer::{BufferOptions, DEFAULT_BUFFER_SIZE, Keep, Overflow};
pub use demand::{Chunk, Demand};
pub use dispatcher::{
    BroadcastDispatcher, DEFAULT_PARTITION_QUEUE, Delivery, DemandDispatcher, Dispatcher,
    PartitionDispatcher, Refusal,
};
pub use error::{StageError, StageResult};
pub use for_each::ForEach;
pub use info::{PartitionLoad, StageInfo, SubscriptionInfo};
pub use inlet::InletId;
pub use inlets::Inlets;
pub use iter::IterProducer;
pub use mailbox::{Mailbox, Undelivered};
pub use options::{
    Asks, Cancel, DEFAULT_MAX_DEMAND, MAX_DEMAND, Selector, SubscribeOptions, WhenBehind, Wishes,
};
pub use outlet::Outlet;
pub use protocol::{
    CancelReason, ConsumerLink, ConsumerMessage, ConsumerRef, ProducerMessage, ProducerRef,
    Subscription, SubscriptionId,
};
pub use rate_limit::RateLimit;
pub use source::Source;
pub use spec::{StageSpec, consumer, producer, producer_consumer};
pub use stage_ref::StageRef;
pub use stream::SourceStream;
pub use stream_producer::StreamProducer;
