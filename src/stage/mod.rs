//! How work flows: demand-driven stages, after Elixir's
//! [GenStage](https://hexdocs.pm/gen_stage/GenStage.html).
//!
//! A consumer *asks*; a producer delivers at most what was asked for. Nothing is pushed, so a slow
//! consumer slows its producer down and no mailbox grows. The pieces:
//!
//! - the protocol: [`ProducerMessage`] (subscribe, ask, cancel) and [`ConsumerMessage`] (events,
//!   cancelled), spoken by any ractor actor that wraps them in its own message type;
//! - [`Subscription`], the consumer's end: dropped, it cancels, so a consumer that was killed takes
//!   its demand along;
//! - [`Demand`], when a consumer asks again, and [`DemandDispatcher`], who gets which event: pure
//!   state machines;
//! - [`ProducerAddress`], where a producer is to be found, now and after its restart.
//!
//! Generic, of use without jobs.

mod address;
mod demand;
mod dispatcher;
mod protocol;

pub use address::{Following, ProducerAddress};
pub use demand::{Chunk, Demand};
pub use dispatcher::DemandDispatcher;
pub use protocol::{
    ConsumerMessage, ConsumerRef, ProducerMessage, ProducerRef, Subscription, SubscriptionId,
};
