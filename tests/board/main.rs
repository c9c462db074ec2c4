//! The board through its front door, on a real PostgreSQL.
//!
//! One server for the whole run, a database for every test, made from a migrated template. Tests wait
//! for facts and never sleep for luck.

#![allow(unreachable_pub, reason = "everything in a test binary is its own")]

mod support;

mod custody;
mod enqueue;
mod outage;
mod processes;
mod refusal;
mod schedule;
mod sharing;
mod signals;
mod starting;
mod transaction;
mod upkeep;
