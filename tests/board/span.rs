//! The tracing span of an attempt is the attempt's own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use callboard::{BoxError, Context, JobState, Queue, call, functions};
use tracing::Metadata;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::subscriber::set_global_default;
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt};

use crate::support::{board, until_state};

/// The fields of the spans of this file's attempts.
#[derive(Clone, Default)]
struct Attempts(Arc<Mutex<Vec<BTreeMap<String, String>>>>);

impl<S: tracing::Subscriber> Layer<S> for Attempts {
    fn enabled(&self, metadata: &Metadata<'_>, _cx: LayerContext<'_, S>) -> bool {
        metadata.name() == "attempt"
    }

    fn on_new_span(&self, span: &Attributes<'_>, _id: &Id, _cx: LayerContext<'_, S>) {
        let mut fields = Fields::default();
        span.record(&mut fields);
        if fields.0["kind"].contains("span::") {
            self.0.lock().unwrap().push(fields.0);
        }
    }
}

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

/// Listens to the whole process: spans that a thread finds disabled once may stay so for all.
fn listen() -> Attempts {
    let attempts = Attempts::default();
    let subscriber = tracing_subscriber::registry().with(attempts.clone());
    set_global_default(subscriber).expect("no other test listens");
    attempts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_runs_in_a_span_that_tells_job_attempt_kind_and_queue() {
    async fn traced(cx: &mut Context) -> Result<(), BoxError> {
        assert_eq!(tracing::Span::current().id(), cx.span().id());
        assert!(cx.span().id().is_some());
        tokio::task::yield_now().await;
        assert_eq!(tracing::Span::current().id(), cx.span().id());
        Ok(())
    }
    let attempts = listen();
    let board = board(|b| {
        b.queue(Queue::new("default").workers(2))
            .functions(functions![traced])
    })
    .await;
    let ids = board
        .client()
        .enqueue_many([call!(traced()), call!(traced())])
        .await
        .unwrap();
    let mut kinds = Vec::new();
    for id in &ids {
        let job = until_state(board.client(), *id, JobState::Completed).await;
        kinds.push(job.kind);
    }
    let seen = attempts.0.lock().unwrap().clone();
    assert_eq!(seen.len(), 2, "{seen:?}");
    for (id, kind) in ids.iter().zip(kinds) {
        let span = seen
            .iter()
            .find(|span| span["job"] == id.to_string())
            .unwrap();
        assert_eq!(
            (span["attempt"].as_str(), span["queue"].as_str()),
            ("1", "\"default\"")
        );
        assert_eq!(span["kind"], format!("{kind:?}"));
        assert!(span["worker"].contains("worker-"), "{span:?}");
    }
}
