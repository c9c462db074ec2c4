//! The circuit breaker of a kind, or of several kinds that share what they call: when it opens, when it
//! closes. Pure; who claims and who writes it down is told elsewhere.
//!
//! The words and formulas are those of resilience4j (<https://resilience4j.readme.io/docs/circuitbreaker>)
//! where it has them; what differs is said where it differs.

mod called;
mod judge;
mod options;
#[cfg(test)]
mod properties;
mod ramp;
mod window;

pub(crate) use called::Called;
#[cfg(test)]
use judge::Reason;
pub(crate) use judge::{Judge, Verdict, Watch};
pub use options::{
    Breaker, DEFAULT_FAILURE_RATE, DEFAULT_LONGEST_OPEN, DEFAULT_MINIMUM_CALLS, DEFAULT_OPEN_FOR,
    DEFAULT_PROBES, DEFAULT_RAMP, DEFAULT_WINDOW_CALLS,
};
pub(crate) use ramp::ramp_share;
use window::{Tally, Window};
