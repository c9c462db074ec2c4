//! The span of an attempt is the attempt's own, tells who enqueued it, and holds none of its arguments.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use callboard::job::Attempt;
use callboard::{
    Backoff, Batch, BatchContext, BatchJob, Board, BoxError, Context, Job, JobId, JobState,
    Outcome, Queue, call, functions,
};
use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::set_global_default;
use tracing::{Event, Metadata};
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt};

use crate::support::{board, eventually, until_confirmed, until_state};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OTHER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// What an argument must never be seen as, in any field of any span or event.
const SECRET: &str = "canary-71c9e5";

type Fields = BTreeMap<&'static str, String>;

/// The fields of the spans of this file's attempts, in the order of their beginning; and every text that has
/// told a secret.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    spans: Vec<Fields>,
    /// Where in `spans`; an id is used again when its span is closed.
    places: HashMap<Id, usize>,
    leaks: Vec<String>,
}

impl Heard {
    fn look(&self, fields: &Fields) {
        let told = |text: &&String| text.contains(SECRET);
        let leaks = fields.values().filter(told).cloned();
        self.0.lock().unwrap().leaks.extend(leaks);
    }

    /// The span of this attempt.
    fn attempt(&self, board: &Board, job: JobId, attempt: i32) -> Option<Fields> {
        let (node, job) = (board.node().to_string(), job.to_string());
        let attempt = attempt.to_string();
        let inner = self.0.lock().unwrap();
        let is_its_own = |fields: &&Fields| {
            fields["messaging.client.id"] == node
                && fields.get("messaging.message.id") == Some(&job)
                && fields["attempt"] == attempt
        };
        inner.spans.iter().rfind(is_its_own).cloned()
    }
}

impl<S: tracing::Subscriber> Layer<S> for Heard {
    fn enabled(&self, metadata: &Metadata<'_>, _cx: LayerContext<'_, S>) -> bool {
        metadata.target().starts_with("callboard")
    }

    fn on_new_span(&self, span: &Attributes<'_>, id: &Id, _cx: LayerContext<'_, S>) {
        let fields = Visited::of(|visit| span.record(visit));
        self.look(&fields);
        if fields
            .get("kind")
            .is_some_and(|kind| kind.contains("trace"))
        {
            let inner = &mut *self.0.lock().unwrap();
            inner.places.insert(id.clone(), inner.spans.len());
            inner.spans.push(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _cx: LayerContext<'_, S>) {
        let fields = Visited::of(|visit| values.record(visit));
        self.look(&fields);
        let inner = &mut *self.0.lock().unwrap();
        if let Some(place) = inner.places.get(id) {
            inner.spans[*place].extend(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, _cx: LayerContext<'_, S>) {
        self.look(&Visited::of(|visit| event.record(visit)));
    }

    fn on_close(&self, id: Id, _cx: LayerContext<'_, S>) {
        self.0.lock().unwrap().places.remove(&id);
    }
}

#[derive(Default)]
struct Visited(Fields);

impl Visited {
    fn of(record: impl FnOnce(&mut Self)) -> Fields {
        let mut visited = Self::default();
        record(&mut visited);
        visited.0
    }
}

impl Visit for Visited {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

/// Listens to the whole process: spans that a thread finds disabled once may stay so for all.
fn listen() -> Heard {
    static HEARD: OnceLock<Heard> = OnceLock::new();
    let heard = HEARD.get_or_init(|| {
        let heard = Heard::default();
        let subscriber = tracing_subscriber::registry().with(heard.clone());
        set_global_default(subscriber).expect("no other test listens");
        heard
    });
    heard.clone()
}

/// Says in its output which trace it was given.
async fn traced(cx: &mut Context) -> Result<Outcome, BoxError> {
    assert_eq!(tracing::Span::current().id(), cx.span().id());
    tokio::task::yield_now().await;
    assert_eq!(tracing::Span::current().id(), cx.span().id());
    Outcome::done_with(&cx.traceparent())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_runs_in_a_span_with_the_names_of_opentelemetry() {
    let heard = listen();
    let board = board(|b| {
        b.queue(Queue::new("default").workers(2))
            .functions(functions![traced])
    })
    .await;
    let calls = [call!(traced()), call!(traced()).traceparent(TRACE)];
    let ids = board.client().enqueue_many(calls).await.unwrap();
    for (id, traceparent) in ids.into_iter().zip([None, Some(TRACE)]) {
        let job = until_state(board.client(), id, JobState::Completed).await;
        let span = heard.attempt(&board, id, 1).expect("it ran in a span");
        let field = |name: &str| span.get(name).map(String::as_str);
        for (name, value) in [
            ("otel.name", "process default"),
            ("otel.kind", "consumer"),
            ("messaging.system", "callboard"),
            ("messaging.operation.type", "process"),
            ("messaging.destination.name", "default"),
            ("messaging.client.id", &board.node().to_string()),
            ("kind", &job.kind),
            ("outcome", "done"),
        ] {
            assert_eq!(field(name), Some(value), "{name}");
        }
        assert!(field("worker").unwrap().starts_with("worker-"));
        assert_eq!(field("traceparent"), traceparent);
        assert_eq!(field("error.type"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_tells_how_a_failed_attempt_ended() {
    async fn fails_traced() -> Result<(), BoxError> {
        Err("as planned".into())
    }
    async fn panics_traced() {
        panic!("as planned");
    }
    let heard = listen();
    let board = board(|b| {
        b.queue(Queue::new("default").workers(2))
            .functions(functions![fails_traced, panics_traced])
    })
    .await;
    let calls = [call!(fails_traced()), call!(panics_traced())];
    let calls = calls.map(|call| call.max_attempts(1));
    let ids = board.client().enqueue_many(calls).await.unwrap();
    for (id, error) in ids.into_iter().zip(["error", "panic"]) {
        until_state(board.client(), id, JobState::Dead).await;
        let span = heard.attempt(&board, id, 1).expect("it ran in a span");
        assert_eq!(span["error.type"], error);
        assert_eq!(span["otel.status_code"], "ERROR");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hook_s_context_goes_with_the_job_unless_the_call_has_one_or_it_is_none() {
    tokio::task_local! { static CURRENT: String; }
    let board = board(|b| {
        b.queue(Queue::new("default").workers(2))
            .functions(functions![traced])
            .trace_context(|| CURRENT.try_with(Clone::clone).ok())
    })
    .await;
    let client = board.client();
    let hooked = CURRENT.scope(TRACE.into(), client.enqueue(call!(traced())));
    let hooked = hooked.await.unwrap();
    let given = call!(traced()).traceparent(OTHER);
    let given = CURRENT.scope(TRACE.into(), client.enqueue(given));
    let given = given.await.unwrap();
    let nonsense = CURRENT.scope("nonsense".into(), client.enqueue(call!(traced())));
    let nonsense = nonsense.await.unwrap();
    let alone = client.enqueue(call!(traced())).await.unwrap();
    for (id, expected) in [
        (hooked, Some(TRACE)),
        (given, Some(OTHER)),
        (nonsense, None),
        (alone, None),
    ] {
        let job = until_state(client, id, JobState::Completed).await;
        assert_eq!(job.output, Some(serde_json::json!(expected)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_traceparent_that_is_none_is_refused_with_its_text() {
    let board = board(|b| b.queue(Queue::new("default")).functions(functions![traced])).await;
    let call = call!(traced()).traceparent("my trace");
    let refused = board.client().enqueue(call).await.unwrap_err();
    assert!(refused.is_refused_call());
    let text = refused.to_string();
    assert!(text.contains("\"my trace\"; expected one of W3C"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_context_stays_with_a_job_that_is_retried_dies_and_is_brought_back() {
    async fn traced_at_last(cx: &mut Context) -> Result<Outcome, BoxError> {
        match cx.attempt() {
            attempt if attempt < Attempt::from_i32(3) => Err("not yet".into()),
            _ => Outcome::done_with(&cx.traceparent()),
        }
    }
    let heard = listen();
    let board = board(|b| {
        b.queue(Queue::new("default").workers(1))
            .functions(functions![traced_at_last])
    })
    .await;
    let soon = Backoff::constant(Duration::from_millis(10));
    let call = call!(traced_at_last()).traceparent(TRACE);
    let call = call.max_attempts(2).backoff(soon);
    let id = board.client().enqueue(call).await.unwrap();
    until_state(board.client(), id, JobState::Dead).await;
    assert!(board.client().requeue(id).await.unwrap());
    let job = until_state(board.client(), id, JobState::Completed).await;
    assert_eq!(job.output, Some(serde_json::json!(TRACE)));
    for attempt in 1..=3 {
        let span = heard.attempt(&board, id, attempt);
        assert_eq!(span.expect("each has its own")["traceparent"], TRACE);
    }
}

/// Says in its output which trace it was given.
#[derive(Serialize, Deserialize)]
struct Together;

impl BatchJob for Together {
    const KIND: &'static str = "trace.together";

    async fn perform_batch(
        batch: &mut Batch<Self>,
        _: &mut BatchContext<'_>,
    ) -> Result<Outcome, BoxError> {
        for job in batch.iter_mut() {
            let traceparent = serde_json::json!(job.traceparent());
            job.answer(Outcome::DoneWith(traceparent));
        }
        Ok(Outcome::Done)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_job_of_a_batch_has_its_own_context_in_a_span_of_them_all() {
    let heard = listen();
    let board = board(|b| {
        b.queue(Queue::new("together").workers(1).max_demand(10))
            .job::<Together>()
    })
    .await;
    let calls = [None, Some(TRACE), Some(OTHER)].map(|traceparent| {
        let call = Together.call().queue("together");
        match traceparent {
            Some(traceparent) => call.traceparent(traceparent),
            None => call,
        }
    });
    let ids = board.client().enqueue_many(calls).await.unwrap();
    for (id, traceparent) in ids.iter().zip([None, Some(TRACE), Some(OTHER)]) {
        let job = until_state(board.client(), *id, JobState::Completed).await;
        assert_eq!(job.output, Some(serde_json::json!(traceparent)));
        assert_eq!(
            heard.attempt(&board, *id, 1),
            None,
            "it has no span of its own"
        );
    }
    let inner = heard.0.lock().unwrap();
    let of_batches = inner
        .spans
        .iter()
        .filter(|s| s["kind"] == <Together as BatchJob>::KIND);
    let jobs = of_batches.map(|span| span["messaging.batch.message_count"].parse::<usize>());
    assert_eq!(jobs.map(Result::unwrap).sum::<usize>(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_in_arguments_are_in_no_span_and_in_no_line_of_the_log() {
    #[derive(Serialize, Deserialize)]
    struct Login {
        password: String,
    }
    impl Job for Login {
        const KIND: &'static str = "trace.login";
        const MAX_ATTEMPTS: u16 = 1;

        async fn perform(self, cx: &mut Context) -> Result<Outcome, BoxError> {
            match cx.job_id().as_i64() % 3 {
                0 => Ok(Outcome::Done),
                1 => Err("cannot log in".into()),
                _ => panic!("cannot log in"),
            }
        }
    }
    let heard = listen();
    let board = board(|b| b.queue(Queue::new("default").workers(2)).job::<Login>()).await;
    // Somebody listens, so that all is told.
    let _events = board.events();
    let logins = (0..6).map(|n| Login {
        password: format!("{SECRET}-{n}"),
    });
    let ids = board.client().enqueue_many(logins).await.unwrap();
    eventually("all have ended", || async {
        let counts = board.counts();
        (counts.completed + counts.buried == ids.len() as u64).then_some(())
    })
    .await;
    until_confirmed(&board).await;
    board.shutdown().await.unwrap();
    let told = heard.0.lock().unwrap().spans.len();
    assert!(told >= ids.len(), "the listener hears");
    assert_eq!(heard.0.lock().unwrap().leaks, Vec::<String>::new());
}
