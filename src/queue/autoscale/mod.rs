//! How many workers a queue has, by what there is to do.
//!
//! Three pure parts: a [`Reading`] says how things stand, a [policy](Policy) says how many workers that asks
//! for, and [`Steps`] makes a calm change of it: bounds, hysteresis, step limits. Only the actor that takes the
//! readings knows of time and of the database.

mod options;
mod policy;
mod reading;
mod steps;

pub use options::{
    Autoscale, DEFAULT_AUTOSCALE_EVERY, DEFAULT_AUTOSCALE_STEP_DOWN, DEFAULT_AUTOSCALE_STEP_UP,
    DEFAULT_START_WITHIN,
};
pub use policy::{Policy, ScaleByDemand};
pub use reading::{MAX_WAITING, Reading};
pub(crate) use steps::Steps;
