//! The kit for tests, as an application's tests use it.
#![allow(unreachable_pub, reason = "a test binary has no outside")]

mod assertions;
mod batches;
mod connections;
mod drains;
mod faults;
mod jobs;
mod lifetime;
mod load;
mod mishaps;
mod performing;
mod reports;
mod trees;
