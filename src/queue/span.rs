//! The spans of attempts and batches, with the field names of OpenTelemetry's conventions for messaging
//! where there are such. No argument of a job is among them.
//!
//! A span begins a trace of its own, since a job may run long after its enqueue, and often. Who enqueued it
//! stands in the field `traceparent`, for a layer that links the two.

use tracing::Span;
use tracing::field::Empty;

use super::executor::Workplace;
use crate::job::{Ending, FailureKind, Outcome};
use crate::store::ClaimedJob;

impl Workplace {
    /// The span of one attempt.
    pub(super) fn attempt_span(&self, job: &ClaimedJob) -> Span {
        tracing::info_span!(
            parent: None,
            "attempt",
            otel.name = %format_args!("process {}", self.queue),
            otel.kind = "consumer",
            otel.status_code = Empty,
            error.type = Empty,
            messaging.system = "callboard",
            messaging.operation.name = "process",
            messaging.operation.type = "process",
            messaging.destination.name = &*self.queue,
            messaging.message.id = %job.id,
            messaging.client.id = %self.office.node,
            attempt = job.attempt.as_i32(),
            kind = &*job.kind,
            worker = &*self.seat.name,
            traceparent = job.rare().traceparent.as_deref(),
            outcome = Empty,
        )
    }

    /// The span of a batch.
    pub(super) fn batch_span(&self, kind: &str, jobs: usize) -> Span {
        tracing::info_span!(
            parent: None,
            "batch",
            otel.name = %format_args!("process {}", self.queue),
            otel.kind = "consumer",
            otel.status_code = Empty,
            error.type = Empty,
            messaging.system = "callboard",
            messaging.operation.name = "process",
            messaging.operation.type = "process",
            messaging.destination.name = &*self.queue,
            messaging.batch.message_count = jobs,
            messaging.client.id = %self.office.node,
            kind,
            worker = &*self.seat.name,
        )
    }
}

/// Writes into its span how an attempt ended.
pub(super) fn ended(span: &Span, ending: &Ending) {
    let outcome = match ending {
        Ending::Decided(outcome) => match outcome {
            Outcome::Done | Outcome::DoneWith(_) => "done",
            Outcome::Snooze(_) => "snooze",
            Outcome::Cancel(_) => "cancel",
            Outcome::Bury(_) => "bury",
        },
        Ending::Failed(failure) | Ending::Undecodable(failure) => {
            failed(span, failure.kind);
            "failed"
        }
        Ending::Cancelled(_) => "cancelled",
        Ending::Interrupted(_) => "interrupted",
        Ending::Released => "released",
    };
    span.record("outcome", outcome);
}

/// Writes into its span that an attempt or a batch failed.
pub(super) fn failed(span: &Span, kind: FailureKind) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", kind.as_str());
}
