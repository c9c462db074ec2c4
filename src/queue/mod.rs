//! One queue: its fetcher (a producer of leases), its workers (consumers), and the custody of what
//! they hold.

mod arrivals;
mod autoscale;
mod autoscaler;
mod batch;
mod breakers;
mod burials;
mod calls;
mod claim_hint;
mod claimer;
mod config;
mod custody;
mod desk;
mod executor;
mod express;
mod facts;
mod fetcher;
mod fuse;
mod guard;
mod host;
mod in_hand;
mod lease;
mod lease_in_stage;
mod look_ahead;
mod looks;
mod office;
mod outbox;
mod patience;
mod performing;
mod rationing;
mod recent_errors;
mod seat;
mod span;
mod staff;
mod staffing;
mod through;
mod tree;
mod vitals;
mod worker;
mod written;

pub use crate::client::Condition;
pub use crate::event::Attempted;
#[cfg(feature = "testing")]
pub(crate) use autoscale::Steps;
pub use autoscale::{
    Autoscale, DEFAULT_AUTOSCALE_EVERY, DEFAULT_AUTOSCALE_STEP_DOWN, DEFAULT_AUTOSCALE_STEP_UP,
    DEFAULT_START_WITHIN, MAX_WAITING, Policy, Reading, ScaleByDemand,
};
pub(crate) use breakers::{Breakers, Obeyed};
pub(crate) use burials::Burials;
pub use burials::Buried;
pub(crate) use calls::Call;
pub use config::{
    AtBirth, DEFAULT_CANCEL_GRACE, DEFAULT_LOOK_AHEAD, DEFAULT_MAX_DEMAND, DEFAULT_POLL_EVERY,
    DEFAULT_WORKERS, Queue,
};
pub(crate) use custody::{Custody, Stands};
pub(crate) use desk::{Desk, Desks};
pub(crate) use express::{Contest, LANES};
pub use express::{DEFAULT_EXPRESS_BOUND, Express, MAX_EXPRESS_BOUND};
pub(crate) use facts::{Facts, Story};
#[cfg(test)]
pub(crate) use fuse::fuse_of;
pub(crate) use fuse::{Fuse, Order, PROBES_LAST, Rule};
pub use lease::Lease;
pub(crate) use looks::Looks;
pub(crate) use office::{Counters, Office};
pub(crate) use outbox::{Answer, BATCH, Outbox, Unwritten};
pub(crate) use patience::Patience;
#[cfg(feature = "testing")]
pub(crate) use performing::Performing;
pub(crate) use recent_errors::RecentErrors;
pub(crate) use seat::Seat;
pub(crate) use staff::staff;
pub use through::Through;
pub(crate) use tree::{is_killed, queue_child};
pub(crate) use vitals::Vitals;
