//! Supervisors through their front door: probes that fail on order, and the events that follow.
//!
//! The clock is paused, so that back-offs and shutdown timeouts take no time and come in order.

#![allow(unreachable_pub, reason = "everything in a test binary is its own")]

#[path = "support/alone.rs"]
mod alone;
#[path = "supervision/fixture.rs"]
mod fixture;

#[path = "supervision/chaos.rs"]
mod chaos;
#[path = "supervision/crashes.rs"]
mod crashes;
#[path = "supervision/dynamic.rs"]
mod dynamic;
#[path = "supervision/nesting.rs"]
mod nesting;
#[path = "supervision/requests.rs"]
mod requests;
#[path = "supervision/restarts.rs"]
mod restarts;
#[path = "supervision/starts.rs"]
mod starts;
#[path = "supervision/stopping.rs"]
mod stopping;
#[path = "supervision/strategies.rs"]
mod strategies;
