//! Metrics, as a recorder of Prometheus hears them; their list, their page, and the dashboard.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use callboard::board::Builder;
use callboard::event::{METRICS, Metric, MetricKind, SECONDS, SIZES};
use callboard::testing::{Role, TestBoard};
use callboard::{BoxError, Client, Event, Job, Outcome, Queue, call, functions};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::sync::Semaphore;

use crate::support::{board, database, eventually, sharing};

const SECOND: Duration = Duration::from_secs(1);

/// What the recorder of this process has heard so far, of all tests here.
pub fn heard() -> &'static PrometheusHandle {
    static HEARD: OnceLock<PrometheusHandle> = OnceLock::new();
    HEARD.get_or_init(|| {
        let builder = METRICS
            .iter()
            .fold(PrometheusBuilder::new(), |all, metric| {
                let bounds: &[f64] = match metric.kind {
                    MetricKind::Seconds => &SECONDS,
                    MetricKind::Sizes => &SIZES,
                    _ => return all,
                };
                let name = Matcher::Full(metric.name.to_owned());
                all.set_buckets_for_metric(name, bounds)
                    .expect("there are bounds")
            });
        let installed = builder.install_recorder();
        installed.expect("nobody else installs a recorder here")
    })
}

/// The value of a series, given as the exposition writes it.
fn value(series: &str) -> Option<f64> {
    let text = heard().render();
    let line = text.lines().find(|line| {
        let rest = line.strip_prefix(series);
        rest.is_some_and(|rest| rest.starts_with(' '))
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Waits until a series has this value.
pub async fn until(series: &str, wanted: f64) {
    let what = format!("{series} is {wanted}");
    eventually(&what, || async {
        (value(series) == Some(wanted)).then_some(())
    })
    .await;
}

/// Ends as it is told to.
#[derive(serde::Serialize, serde::Deserialize)]
struct Counted(String);

impl Job for Counted {
    const KIND: &'static str = "metrics.counted";
    const MAX_ATTEMPTS: u16 = 1;

    async fn perform(self, _: &mut callboard::Context) -> Result<Outcome, BoxError> {
        match &*self.0 {
            "completed" => Ok(Outcome::Done),
            "cancelled" => Ok(Outcome::Cancel("as planned".into())),
            "snoozed" => Ok(Outcome::Snooze(Duration::from_secs(3600))),
            other => Err(other.into()),
        }
    }
}

fn counted(queue: &'static str) -> impl FnOnce(Builder) -> Builder {
    move |board| {
        board
            .queue(Queue::new(queue).workers(2))
            .job::<Counted>()
            .metrics()
            .sample_every(SECOND)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_counted_by_outcome_and_timed_by_queue_and_kind() {
    heard();
    let board = board(counted("timed")).await;
    let calls = ["completed", "completed", "cancelled", "snoozed", "buried"];
    let calls = calls.map(|end| Counted(end.into()).call().queue("timed"));
    board.client().enqueue_many(calls).await.unwrap();
    let labels = "queue=\"timed\",kind=\"metrics.counted\"";
    for (outcome, times) in [
        ("completed", 2.0),
        ("cancelled", 1.0),
        ("snoozed", 1.0),
        ("buried", 1.0),
        ("retried", 0.0),
        ("released", 0.0),
        ("refused", 0.0),
    ] {
        let series = format!("callboard_attempts_finished_total{{{labels},outcome=\"{outcome}\"}}");
        until(&series, times).await;
    }
    for name in [
        "callboard_jobs_enqueued_total",
        "callboard_attempts_started_total",
        "callboard_attempt_duration_seconds_count",
        "callboard_queue_latency_seconds_count",
    ] {
        assert_eq!(value(&format!("{name}{{{labels}}}")), Some(5.0), "{name}");
    }
    let claimed = value("callboard_claim_jobs_sum{queue=\"timed\"}");
    assert_eq!(claimed, Some(5.0));
    assert!(value("callboard_settle_answers_sum") >= Some(5.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn latency_counts_from_when_a_job_was_due() {
    heard();
    let board = TestBoard::start(counted("overdue")).await;
    let call = Counted("completed".into()).call().queue("overdue");
    let hour = Duration::from_secs(3600);
    let job = board.client().enqueue(call.run_in(hour)).await.unwrap();
    board.advance(hour + 100 * SECOND).await;
    board.settled(job).await;
    let labels = "queue=\"overdue\",kind=\"metrics.counted\"";
    let sum = format!("callboard_queue_latency_seconds_sum{{{labels}}}");
    let waited = value(&sum).expect("it was timed");
    assert!((100.0..3600.0).contains(&waited), "waited {waited} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn gauges_show_what_waits_and_what_works() {
    heard();
    // Nobody serves this kind, so that its jobs wait.
    let board = board(|board| {
        board
            .queue(Queue::new("gauged").workers(3))
            .metrics()
            .sample_every(SECOND)
    })
    .await;
    let calls = (0..7).map(|_| Counted("completed".into()).call().queue("gauged"));
    board.client().enqueue_many(calls).await.unwrap();
    until("callboard_queue_available_jobs{queue=\"gauged\"}", 7.0).await;
    until("callboard_queue_demand{queue=\"gauged\"}", 3.0).await;
    until("callboard_queue_workers{queue=\"gauged\"}", 3.0).await;
    until("callboard_attempts_in_hand{queue=\"gauged\"}", 0.0).await;
    until("callboard_jobs_requeued_total{queue=\"gauged\"}", 0.0).await;
    until("callboard_part_working{part=\"notifier\"}", 1.0).await;
    until("callboard_part_working{part=\"fetcher of gauged\"}", 1.0).await;
    let oldest = "callboard_queue_oldest_job_age_seconds{queue=\"gauged\"}";
    assert!(value(oldest) > Some(0.0));
    assert!(value("callboard_pool_connections_max{lane=\"claim\"}") >= Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_executes_is_shown_while_it_does() {
    async fn held(cx: &mut callboard::Context) -> Result<(), BoxError> {
        let gate = cx.state::<Arc<Semaphore>>()?.clone();
        gate.acquire().await?.forget();
        Ok(())
    }
    heard();
    let gate = Arc::new(Semaphore::new(0));
    let queue = sharing(Queue::new("busy").workers(2), &gate);
    let board = board(|board| {
        let board = board.queue(queue).functions(functions![held]);
        board.metrics().sample_every(SECOND)
    })
    .await;
    let calls = (0..3).map(|_| call!(held()).queue("busy"));
    board.client().enqueue_many(calls).await.unwrap();
    until("callboard_attempts_executing{queue=\"busy\"}", 2.0).await;
    gate.add_permits(3);
    until("callboard_attempts_executing{queue=\"busy\"}", 0.0).await;
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_that_holds_vacuum_back_is_shown() {
    let board = TestBoard::start(|board| {
        board
            .queue(Queue::new("held").workers(1))
            .sample_every(SECOND)
    })
    .await;
    let rows = crate::support::sql::connect(board.url()).await;
    rows.batch_execute("begin isolation level repeatable read; select 1")
        .await
        .unwrap();
    let mut events = callboard::Board::events(&board);
    let waiting = async {
        loop {
            let Some(Ok(Event::Sampled(sample))) = events.next().await else {
                continue;
            };
            if sample.vitality.oldest_transaction > Some(SECOND / 2) {
                return;
            }
        }
    };
    let waited = tokio::time::timeout(20 * SECOND, waiting).await;
    waited.expect("its age is shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_are_counted_by_role() {
    heard();
    let board = TestBoard::start(counted("restarted")).await;
    let series = "callboard_actor_restarts_total{role=\"fetcher\"}";
    // Otherwise nobody would see that there is one more when the first is counted.
    let before = value(series).expect("it is there from the start");
    board.kill(Role::fetcher_of("restarted")).await;
    eventually("it is counted", || async {
        (value(series) > Some(before)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_board_counts_what_it_enqueues() {
    heard();
    let client = Client::connect(database().await).await.unwrap().metrics();
    let call = Counted("completed".into()).call().queue("from-afar");
    client.enqueue(call).await.unwrap();
    let labels = "queue=\"from-afar\",kind=\"metrics.counted\"";
    let series = format!("callboard_jobs_enqueued_total{{{labels}}}");
    assert_eq!(value(&series), Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exposed_is_on_the_list_with_its_type_and_its_labels() {
    async fn nothing() {}
    heard();
    let board = board(|board| {
        board
            .queue(Queue::new("listed"))
            .functions(functions![nothing])
            .metrics()
            .sample_every(SECOND)
    })
    .await;
    let call = call!(nothing()).queue("listed");
    board.client().enqueue(call).await.unwrap();
    until("callboard_attempts_in_hand{queue=\"listed\"}", 0.0).await;
    let text = heard().render();
    let mut exposed = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let words: Vec<&str> = line.split(' ').collect();
        let metric = METRICS.iter().find(|metric| metric.name == words[2]);
        let metric = metric.unwrap_or_else(|| panic!("{} is on no list", words[2]));
        assert_eq!(metric.kind.as_str(), words[3], "{}", metric.name);
        exposed.insert(metric.name);
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, rest)) = line.split_once('{') else {
            continue;
        };
        let labels = rest.split('}').next().unwrap().split("\",");
        let labels: BTreeSet<&str> = labels.map(|l| l.split('=').next().unwrap()).collect();
        let metric = of_series(name).unwrap_or_else(|| panic!("{name} is on no list"));
        let known = metric.labels.iter().copied().chain(["le"]).collect();
        assert!(labels.is_subset(&known), "{line}");
    }
    // What only happens in trouble has not happened here.
    assert!(exposed.len() >= 20, "only {exposed:?}");
}

/// The metric that a series belongs to.
fn of_series(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| {
        let rest = name.strip_prefix(metric.name);
        match metric.kind {
            MetricKind::Seconds | MetricKind::Sizes => {
                matches!(rest, Some("_bucket" | "_sum" | "_count"))
            }
            _ => rest == Some(""),
        }
    })
}

/// The page that lists all metrics, as it should be.
fn page() -> String {
    let mut page = "# Metrics\n\n\
        With the feature `metrics`, `Builder::metrics` reports these to the recorder of the\n\
        [metrics](https://crates.io/crates/metrics) crate that is installed when the board starts; `Client::metrics`\n\
        does it for a process without a board. `examples/metrics.rs` shows them in the format of Prometheus,\n\
        `dashboards/callboard.json` in Grafana ([a picture](../dashboards/README.md)). No label is ever the id of a job,\n\
        and beyond a thousand pairs of queue and kind the others go by the name `other`. Gauges are sampled\n\
        (`Builder::sample_every`, every 15 s by default); take the maximum over the nodes where it says \"the same on\n\
        all nodes\", and the sum elsewhere. Histograms of seconds have their bounds in `event::SECONDS`, those of sizes\n\
        in `event::SIZES`.\n\n\
        | metric | type | unit | labels | what it tells |\n|---|---|---|---|---|\n"
        .to_owned();
    for metric in METRICS {
        let unit = match metric.name {
            name if name.ends_with("_seconds") => "seconds",
            name if name.ends_with("_working") || name.ends_with("_state") => "0 or 1",
            _ => "count",
        };
        let Metric { name, help, .. } = metric;
        let (kind, labels) = (metric.kind.as_str(), metric.labels.join(", "));
        writeln!(page, "| `{name}` | {kind} | {unit} | {labels} | {help} |").unwrap();
    }
    page
}

#[test]
fn the_page_lists_every_metric() {
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    if std::env::var_os("CALLBOARD_WRITE_DOCS").is_some() {
        std::fs::write(place, page()).unwrap();
    }
    let found = std::fs::read_to_string(place).unwrap_or_default();
    assert!(
        found == page(),
        "docs/metrics.md is not up to date; run this test with CALLBOARD_WRITE_DOCS=1"
    );
}

/// All strings under this key.
fn strings<'a>(json: &'a serde_json::Value, key: &str, found: &mut Vec<&'a str>) {
    match json {
        serde_json::Value::Object(fields) => fields.iter().for_each(|(name, value)| match value {
            serde_json::Value::String(text) if name == key => found.push(text),
            value => strings(value, key, found),
        }),
        serde_json::Value::Array(items) => {
            items.iter().for_each(|item| strings(item, key, found));
        }
        _ => {}
    }
}

/// The words in a query that may be names.
fn words(query: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    query.split(move |c| !is_name(c)).filter(|w| !w.is_empty())
}

#[test]
fn the_dashboard_asks_for_metrics_and_labels_that_exist_and_for_all_of_them() {
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/dashboards/callboard.json");
    let text = std::fs::read_to_string(place).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut queries = Vec::new();
    strings(&dashboard, "expr", &mut queries);
    strings(&dashboard, "definition", &mut queries);
    assert!(queries.len() > 20, "only {} queries", queries.len());
    let mut asked = BTreeSet::new();
    for query in queries {
        let names = words(query).filter(|word| word.starts_with("callboard_"));
        let mut labels = BTreeSet::from(["le"]);
        for name in names {
            let metric = of_series(name);
            let metric = metric.unwrap_or_else(|| panic!("{name} does not exist: {query}"));
            asked.insert(metric.name);
            labels.extend(metric.labels);
        }
        let groups = query.split("by (").skip(1);
        let groups = groups.map(|rest| rest.split(')').next().unwrap());
        let selectors = query.split('{').skip(1);
        let selectors = selectors.map(|rest| rest.split('}').next().unwrap());
        let selected = selectors.flat_map(|of| of.split(", ").map(|s| words(s).next().unwrap()));
        for label in groups.flat_map(words).chain(selected) {
            assert!(labels.contains(label), "no label {label}: {query}");
        }
    }
    for metric in METRICS {
        assert!(asked.contains(metric.name), "{} is not shown", metric.name);
    }
}
