//! Every metric, with its unit and its labels: [`METRICS`].
//!
//! The list is what is described to the recorder; `docs/metrics.md` and the dashboard are checked against
//! it.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows, from the start of the process.
    Counter,
    /// It is as it was when it was sampled, or when it changed last.
    Gauge,
    /// Durations in seconds; see [`SECONDS`].
    Seconds,
    /// Sizes; see [`SIZES`].
    Sizes,
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// The names of its labels. None is ever the id of a job.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

/// Bounds for histograms of durations, in seconds: from a millisecond to an hour.
pub const SECONDS: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0, 600.0,
    3600.0,
];

/// Bounds for histograms of sizes.
pub const SIZES: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1_000.0, 5_000.0];

macro_rules! metrics {
    ($($name:ident = $kind:ident $text:literal [$($label:literal),*] $help:literal;)+) => {
        $(pub(super) const $name: &str = $text;)+

        /// Every metric that a board reports.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: $text,
            kind: MetricKind::$kind,
            labels: &[$($label),*],
            help: $help,
        },)+];
    };
}

metrics! {
    ENQUEUED = Counter "callboard_jobs_enqueued_total" ["queue", "kind"]
        "Jobs enqueued by this process, also in transactions of the caller's own that may have rolled back.";
    PROMOTED = Counter "callboard_jobs_promoted_total" ["queue"]
        "Jobs whose time had come and that this node made available.";
    REQUEUED = Counter "callboard_jobs_requeued_total" ["queue"]
        "Dead jobs that this process brought back.";
    RESCUED = Counter "callboard_jobs_rescued_total" ["queue", "fate"]
        "Jobs that this node took back from nodes that were gone, by what became of them: rescued, quarantined, cancelled.";
    STARTED = Counter "callboard_attempts_started_total" ["queue", "kind"]
        "Handlers that began.";
    FINISHED = Counter "callboard_attempts_finished_total" ["queue", "kind", "outcome"]
        "Attempts whose answer is written, by outcome: completed, retried, snoozed, cancelled, buried, released, refused.";
    DURATION = Seconds "callboard_attempt_duration_seconds" ["queue", "kind"]
        "How long handlers ran.";
    LATENCY = Seconds "callboard_queue_latency_seconds" ["queue", "kind"]
        "How long jobs waited since they could have run, until their handler began.";
    CLAIM_DURATION = Seconds "callboard_claim_duration_seconds" ["queue"]
        "How long claims took.";
    CLAIM_JOBS = Sizes "callboard_claim_jobs" ["queue"]
        "How many jobs claims brought.";
    SETTLE_DURATION = Seconds "callboard_settle_duration_seconds" []
        "How long the ledger's writes took.";
    SETTLE_ANSWERS = Sizes "callboard_settle_answers" []
        "How many answers the ledger wrote at once.";
    STALE = Counter "callboard_stale_answers_total" []
        "Answers of stale attempts, which were refused and changed nothing.";
    CONDEMNED = Counter "callboard_nodes_condemned_total" []
        "Nodes that this one found dead.";
    LAPSED = Counter "callboard_leases_lapsed_total" []
        "How often this node's own lease ran out.";
    RESTARTS = Counter "callboard_actor_restarts_total" ["role"]
        "Actors that were restarted: parts of the board by name, else queue, fetcher, stage, workers, worker, application.";
    SWAPPED = Counter "callboard_handlers_swapped_total" ["change"]
        "Handlers that were changed while this node ran: added, replaced, removed.";
    AVAILABLE = Gauge "callboard_queue_available_jobs" ["queue"]
        "Jobs that wait for a worker, counted up to 10,000. The same on all nodes.";
    OLDEST = Gauge "callboard_queue_oldest_job_age_seconds" ["queue"]
        "For how long the oldest of the next hundred jobs could have run; 0 if none waits. The same on all nodes.";
    DEMAND = Gauge "callboard_queue_demand" ["queue"]
        "Jobs that this node's workers have asked for and not got: idle hands.";
    WORKERS = Gauge "callboard_queue_workers" ["queue"]
        "Workers that this node has for the queue.";
    EXECUTING = Gauge "callboard_attempts_executing" ["queue"]
        "Attempts whose handlers run on this node.";
    IN_HAND = Gauge "callboard_attempts_in_hand" ["queue"]
        "Attempts that this node holds: executing, or about to, or not yet written.";
    WAITING = Gauge "callboard_jobs_waiting" []
        "Jobs that wait for their time, scheduled or to be retried, counted up to 10,000. The same on all nodes.";
    UNCONFIRMED = Gauge "callboard_answers_unconfirmed" []
        "Answers that the ledger has not written yet.";
    CONNECTIONS = Gauge "callboard_pool_connections" ["lane", "state"]
        "Open connections of the lanes claim, express, settle, upkeep and client: in_use or idle.";
    CONNECTIONS_MAX = Gauge "callboard_pool_connections_max" ["lane"]
        "How many connections a lane may have.";
    WAITERS = Gauge "callboard_pool_waiters" ["lane"]
        "Callers that wait for a connection.";
    PART = Gauge "callboard_part_working" ["part"]
        "Whether a part of the board works (1) or is degraded (0): liveness, ledger, notifier, fetcher of a queue, and so on.";
    BREAKER_STATE = Gauge "callboard_breaker_state" ["breaker", "state"]
        "Whether a breaker stands so (1) or not (0): closed, open, half_open, held_open, held_closed. The same on all nodes that have it.";
    BREAKER_OPENINGS = Counter "callboard_breaker_openings_total" ["breaker", "reason"]
        "How often this process opened a breaker: for failures, slow_calls, failed_probe, slow_probe, by_hand.";
    DEAD_ROWS = Gauge "callboard_hot_table_dead_rows" []
        "Dead rows in the table of unfinished jobs, which slow down claims until vacuum removes them. The same on all nodes.";
    OLDEST_TRANSACTION = Gauge "callboard_oldest_transaction_age_seconds" []
        "Age of the oldest transaction that keeps vacuum from removing dead rows; 0 if there is none. The same on all nodes.";
}

/// Describes every metric to the recorder that is installed.
pub(super) fn describe() {
    for metric in METRICS {
        let Metric { name, help, .. } = *metric;
        match (metric.kind, name.ends_with("_seconds")) {
            (MetricKind::Counter, _) => describe_counter!(name, Unit::Count, help),
            (MetricKind::Gauge, true) => describe_gauge!(name, Unit::Seconds, help),
            (MetricKind::Gauge, false) => describe_gauge!(name, Unit::Count, help),
            (MetricKind::Seconds, _) => describe_histogram!(name, Unit::Seconds, help),
            (MetricKind::Sizes, _) => describe_histogram!(name, Unit::Count, help),
        }
    }
}

impl MetricKind {
    /// What it is in the exposition format of Prometheus.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Seconds | Self::Sizes => "histogram",
        }
    }
}
