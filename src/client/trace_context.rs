//! How a client learns the trace context of who enqueues.

use std::fmt;
use std::sync::Arc;

use crate::job::is_traceparent;

/// Asks the application's tracing for the context of the caller.
#[derive(Clone)]
pub(crate) struct TraceContext(Arc<dyn Fn() -> Option<String> + Send + Sync>);

impl TraceContext {
    pub(crate) fn new(ask: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    /// The caller's context. What is none is left out: an enqueue does not fail for its trace.
    pub(super) fn current(&self) -> Option<String> {
        (self.0)().filter(|context| is_traceparent(context))
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TraceContext")
    }
}
