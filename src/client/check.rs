//! What a call must be to be enqueued.

use std::borrow::Cow;
use std::time::Duration;

use super::{Client, TraceContext};
use crate::Error;
use crate::job::{
    Call, DEFAULT_PRIORITY, DEFAULT_QUEUE, Due, MAX_MAX_ATTEMPTS, MAX_WAIT, NameOf, bounded_text,
    check_name, is_traceparent,
};
use crate::store::CallRow;

impl Client {
    /// Checks a call and fills in its kind's queue and priority.
    pub(super) fn check(&self, call: Call) -> Result<CallRow, Error> {
        let refuse = |text: String| {
            let shown = bounded_text(&call.kind, 60);
            Error::call(format!("cannot enqueue {shown:?}: {text}"))
        };
        check_name(NameOf::Kind, &call.kind)
            .map_err(|why| Error::call("cannot enqueue").because(why))?;
        let kind = self.kind(&call.kind);
        let defaults = kind.as_ref().map(|kind| &kind.defaults);
        let queue = call.queue.or_else(|| defaults.map(|d| d.queue.clone()));
        let queue = queue.unwrap_or(DEFAULT_QUEUE.into());
        check_name(NameOf::Queue, &queue).map_err(|why| refuse(why.to_string()))?;
        let payload = call.payload.map_err(|why| refuse(why.to_string()))?;
        if payload.len() > self.0.payload_limit {
            return Err(refuse(format!(
                "its arguments take {} bytes, the limit is {}; store them elsewhere and pass a \
                 reference, or raise the payload limit",
                payload.len(),
                self.0.payload_limit
            )));
        }
        Ok(CallRow {
            queue,
            priority: call
                .priority
                .or(defaults.map(|d| d.priority))
                .unwrap_or(DEFAULT_PRIORITY),
            max_attempts: call
                .max_attempts
                .map(checked_attempts)
                .transpose()
                .map_err(&refuse)?,
            time_limit_ms: call
                .time_limit
                .map(checked_limit)
                .transpose()
                .map_err(&refuse)?,
            backoff: call.backoff,
            version: call.version,
            fingerprint: call.fingerprint,
            due: checked_due(call.due).map_err(&refuse)?,
            ordering_key: checked_key(NameOf::OrderingKey, call.ordering_key).map_err(&refuse)?,
            limit_key: checked_key(NameOf::LimitKey, call.limit_key).map_err(&refuse)?,
            traceparent: match call.traceparent {
                Some(given) => Some(checked_trace(given).map_err(&refuse)?),
                None => self.0.trace_context.get().and_then(TraceContext::current),
            },
            payload,
            kind: call.kind,
        })
    }
}

fn checked_attempts(max_attempts: u16) -> Result<i16, String> {
    match i16::try_from(max_attempts) {
        Ok(attempts) if attempts > 0 && max_attempts <= MAX_MAX_ATTEMPTS => Ok(attempts),
        _ => Err(format!(
            "max_attempts is {max_attempts}; expected 1 to {MAX_MAX_ATTEMPTS}"
        )),
    }
}

fn checked_limit(limit: Duration) -> Result<i64, String> {
    match i64::try_from(limit.as_millis()) {
        Ok(ms) if ms > 0 && limit <= MAX_WAIT => Ok(ms),
        _ => Err(format!(
            "the time limit is {limit:?}; expected 1ms to a hundred years"
        )),
    }
}

fn checked_key(of: NameOf, key: Option<Cow<'static, str>>) -> Result<Option<String>, String> {
    let Some(key) = key else {
        return Ok(None);
    };
    check_name(of, &key).map_err(|why| why.to_string())?;
    Ok(Some(key.into_owned()))
}

fn checked_trace(given: Cow<'static, str>) -> Result<String, String> {
    if is_traceparent(&given) {
        return Ok(given.into_owned());
    }
    let shown = bounded_text(&given, 60);
    Err(format!(
        "its traceparent is {shown:?}; expected one of W3C, such as \
         00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    ))
}

fn checked_due(due: Due) -> Result<Due, String> {
    let max_seconds = MAX_WAIT.as_secs().cast_signed();
    match due {
        Due::After(delay) if delay > MAX_WAIT => Err(format!(
            "the delay is {delay:?}; expected at most a hundred years"
        )),
        Due::At(at)
            if at
                .timestamp()
                .saturating_sub(chrono::Utc::now().timestamp())
                > max_seconds =>
        {
            Err(format!("the time {at} is more than a hundred years away"))
        }
        due => Ok(due),
    }
}
