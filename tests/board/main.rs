//! The board through its front door, on a real PostgreSQL.
//!
//! One server for the whole run, a database for every test, made from a migrated template. Tests wait
//! for facts and never sleep for luck.

#![allow(unreachable_pub, reason = "everything in a test binary is its own")]

mod support;

#[path = "../support/alone.rs"]
mod alone;
mod application;
mod autoscale;
mod batch_checkpoints;
mod batches;
mod birth;
mod breaker;
mod breaker_events;
mod cancel;
mod checkpoints;
mod completion;
mod control;
mod crashes;
mod custody;
mod defaults;
mod dropped;
mod embedded_end;
mod ending;
mod enqueue;
mod events;
mod explain;
mod express;
mod following;
mod functions;
mod health;
mod hot_swap;
mod isolation;
mod kinds;
mod ledger;
mod letters;
mod limited;
mod limits;
mod looks;
mod lost_answers;
mod lost_births;
mod lost_claims;
mod metrics;
mod migrations;
mod network;
mod options;
mod ordering;
mod outage;
mod panic;
mod plans;
mod poison;
mod processes;
mod proxy;
mod queues;
mod refusal;
mod registry;
mod requeue;
mod rows;
mod running;
mod schedule;
mod schema;
mod sharing;
mod signals;
mod starting;
mod starvation;
mod statements;
mod text;
mod through;
mod trace;
mod transaction;
mod turns;
mod upkeep;
mod verify;
mod versions;
mod worker_state;
