//! What a job is: its identity, its call, its payload, its states, and what becomes of an attempt.
//!
//! Pure values and pure functions: no I/O, no clock, no actors, no SQL. Instants and randomness
//! arrive as arguments, so every decision made here is tested by exact equality.

mod backoff;
mod breaker;
mod by_id;
mod call;
mod defaults;
mod error_fingerprint;
mod failure;
mod fingerprint;
mod id;
mod kind;
mod limits;
mod name;
mod normal_message;
mod outcome;
mod output;
mod payload;
mod repertoire;
mod state;
mod text;
mod traceparent;
mod transition;

pub use backoff::Backoff;
pub use breaker::{
    Breaker, DEFAULT_FAILURE_RATE, DEFAULT_LONGEST_OPEN, DEFAULT_MINIMUM_CALLS, DEFAULT_OPEN_FOR,
    DEFAULT_PROBES, DEFAULT_RAMP, DEFAULT_WINDOW_CALLS,
};
pub(crate) use breaker::{Called, Judge, Verdict, Watch, ramp_share};
pub(crate) use by_id::{ById, Ids};
pub use call::{Call, Due};
pub use defaults::{
    DEFAULT_MAX_ATTEMPTS, DEFAULT_PRIORITY, DEFAULT_QUEUE, DEFAULT_TIME_LIMIT, Defaults,
    MAX_MAX_ATTEMPTS, MAX_WAIT,
};
pub use error_fingerprint::ErrorFingerprint;
pub use failure::{Failure, FailureKind};
pub use fingerprint::{Fingerprint, Traced, describe, fingerprint_of, trace};
pub use id::{Attempt, JobId, NodeId};
pub use kind::{InvalidKind, Kind};
pub(crate) use limits::Starts;
pub use limits::{Limits, MAX_WEIGHT, MAX_WEIGHTS};
pub use name::{
    InvalidName, MAX_BREAKER_BYTES, MAX_CODE_VERSION_BYTES, MAX_KIND_BYTES, MAX_LIMIT_KEY_BYTES,
    MAX_ORDERING_KEY_BYTES, MAX_QUEUE_BYTES, NameOf, check_name,
};
pub use normal_message::normal_message;
pub use outcome::{IntoOutcome, MIN_SNOOZE, Outcome};
pub(crate) use output::bounded_output;
pub use output::{MAX_OUTPUT_BYTES, MAX_OUTPUT_DEPTH};
pub use payload::{
    Codec, DEFAULT_PAYLOAD_LIMIT, DecodeError, EncodeError, MAX_PAYLOAD_LIMIT, Stored, Upcaster,
    encode,
};
pub(crate) use repertoire::Repertoire;
pub use state::{BreakerState, BuryReason, JobState, OpenReason};
pub(crate) use text::shown_instant;
pub use text::{MAX_TEXT_BYTES, bounded_text};
pub use traceparent::{TRACEPARENT_BYTES, is_traceparent};
pub use transition::{Budget, Ending, Transition, transition};
