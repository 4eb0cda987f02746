//! The table of all metrics: collector, name, labels and help text. The registry and the page of the documentation are generated
//! from it.

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry,
};

use super::reasons::{Cut, Refusal, WebhookResult};
use crate::alert::{Priority, Status, StepKind};
use crate::journal::CallKind;

/// The prefix of all names.
const PREFIX: &str = "alert_manager_";

/// The buckets of the time of one invocation, in seconds.
const INVOCATION_SECONDS: &[f64] = &[
    0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0,
];

/// The buckets of the time of a delivery, in seconds.
const DELIVERY_SECONDS: &[f64] = &[
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0,
];

/// A metric.
#[derive(Clone, Debug)]
pub struct Metric {
    /// Without the prefix `alert_manager_`.
    name: &'static str,
    /// Its type, as Prometheus names it.
    pub kind: &'static str,
    /// Its labels, in order.
    pub labels: &'static [Label],
    /// What it shows.
    pub help: &'static str,
    buckets: &'static [f64],
}

impl Metric {
    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }

    /// Returns the unit of its values; `None` for a count.
    #[must_use]
    pub fn unit(&self) -> Option<&'static str> {
        self.name.ends_with("_seconds").then_some("seconds")
    }

    fn options(&self) -> Opts {
        Opts::new(self.name(), self.help)
    }

    fn label_names(&self) -> Vec<&'static str> {
        self.labels.iter().map(|label| label.name).collect()
    }
}

/// A label of a metric.
#[derive(Clone, Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    values: fn() -> Vec<&'static str>,
}

impl Label {
    /// Returns the values that it can have; nothing if they are names of the operator's.
    #[must_use]
    pub fn values(&self) -> Vec<&'static str> {
        (self.values)()
    }
}

/// A label whose values are names of the operator's, never a text of an alert.
const fn named(name: &'static str) -> Label {
    Label {
        name,
        values: Vec::new,
    }
}

/// A label that has one of these values.
const fn one_of(name: &'static str, values: fn() -> Vec<&'static str>) -> Label {
    Label { name, values }
}

fn statuses() -> Vec<&'static str> {
    [Status::Firing, Status::Resolved]
        .map(Status::as_str)
        .into()
}

fn outcomes() -> Vec<&'static str> {
    vec!["done", "dead"]
}

fn steps() -> Vec<&'static str> {
    [StepKind::Enrich, StepKind::Act]
        .map(StepKind::as_str)
        .into()
}

fn priorities() -> Vec<&'static str> {
    Priority::ALL.map(Priority::as_str).into()
}

fn gates() -> Vec<&'static str> {
    vec!["workspace", "updates", "reactions", "message"]
}

fn interfaces() -> Vec<&'static str> {
    CallKind::ALL.map(CallKind::as_str).into()
}

/// A type of collectors.
trait Register: Sized + Clone + Collector + 'static {
    /// As Prometheus names it.
    const KIND: &'static str;

    fn new(metric: &Metric) -> Result<Self, prometheus::Error>;

    fn register(registry: &Registry, metric: &Metric) -> Result<Self, prometheus::Error> {
        let collector = Self::new(metric)?;
        registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
}

macro_rules! register {
    ($($collector:ident, $kind:literal, $metric:ident => $new:expr;)*) => {$(
        impl Register for $collector {
            const KIND: &'static str = $kind;

            fn new($metric: &Metric) -> Result<Self, prometheus::Error> {
                $new
            }
        }
    )*};
}

register! {
    IntCounter, "counter", metric => Self::with_opts(metric.options());
    IntCounterVec, "counter", metric => Self::new(metric.options(), &metric.label_names());
    IntGauge, "gauge", metric => Self::with_opts(metric.options());
    IntGaugeVec, "gauge", metric => Self::new(metric.options(), &metric.label_names());
    Gauge, "gauge", metric => Self::with_opts(metric.options());
    GaugeVec, "gauge", metric => Self::new(metric.options(), &metric.label_names());
    HistogramVec, "histogram", metric => {
        let options = HistogramOpts::from(metric.options()).buckets(metric.buckets.to_vec());
        Self::new(options, &metric.label_names())
    };
}

/// Makes the struct of all collectors and the table. A line is: the field and its type, the name, the labels, the buckets of a
/// histogram, the help text.
macro_rules! metrics {
    ($($field:ident: $collector:ident, $name:literal [$($label:expr),*] $(in $buckets:ident)?, $help:literal;)*) => {
        /// A collector for each metric.
        #[derive(Debug)]
        pub(super) struct Collectors {
            $(pub(super) $field: $collector,)*
        }

        /// Every metric of the server's own.
        pub const METRICS: &[Metric] = &[$(
            Metric {
                name: $name,
                kind: <$collector as Register>::KIND,
                labels: &[$($label),*],
                help: $help,
                buckets: metrics!(@buckets $($buckets)?),
            },
        )*];

        impl Collectors {
            /// Registers all of them.
            ///
            /// # Errors
            /// If two share a name: a mistake in the table.
            pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
                let mut metrics = METRICS.iter();
                let mut next = || metrics.next().ok_or(prometheus::Error::AlreadyReg);
                Ok(Self {
                    $($field: Register::register(registry, next()?)?,)*
                })
            }
        }
    };
    (@buckets) => { &[] };
    (@buckets $buckets:ident) => { $buckets };
}

metrics! {
    webhook_alerts: IntCounterVec, "webhook_alerts_total" [one_of("status", statuses), one_of("result", WebhookResult::names)],
        "Alerts received by the webhook, by status and result. A part of a body that is no alert counts as firing and rejected.";
    requests_refused: IntCounterVec, "webhook_refused_requests_total" [one_of("reason", Refusal::names)],
        "Requests to the webhook, or posted to no known path, that were refused.";
    webhook_truncated: IntCounter, "webhook_truncated_alerts_total" [],
        "Alerts that a sender left out of its bodies (max_alerts): they never arrive.";
    webhook_fields_left_out: IntCounter, "webhook_fields_left_out_total" [],
        "Fields of alerts and their groups that were too long and were cut or left out. `alert_manager.left_out` in the alert's origin names them.";
    connections_cut: IntCounterVec, "connections_cut_total" [one_of("reason", Cut::names)],
        "Connections refused or cut off by this server.";
    depth: IntGauge, "queue_depth" [],
        "Deliveries accepted and not yet settled.";
    oldest: Gauge, "queue_oldest_timestamp_seconds" [],
        "When the oldest delivery not yet settled was accepted; 0 if there is none.";
    deliveries: IntCounterVec, "deliveries_total" [named("handler"), one_of("outcome", outcomes)],
        "Actors that ended, by handler and outcome.";
    unrouted: IntCounter, "deliveries_unrouted_total" [],
        "Alerts that no route matched: stored as done, without a handler.";
    coalesced: IntCounterVec, "deliveries_coalesced_total" [one_of("reason", || vec!["dead_letter", "storm"])],
        "Deliveries that were reported or handled together with others.";
    dead: IntGauge, "dead_deliveries" [],
        "Dead letters: dead deliveries, but for those that a person cancelled.";
    unreported: IntCounter, "dead_letters_unreported_total" [],
        "Notices about dead letters, and other alarms of the server, that no configured way could deliver. The log has them.";
    retention_removed: IntCounterVec, "retention_removed_total" [one_of("reason", || vec!["time", "size"]), one_of("state", outcomes)],
        "Settled deliveries removed from the store: because of their age (time), or before that because of the store's size (size).";
    delivery_duration: HistogramVec, "delivery_duration_seconds" [named("handler")] in DELIVERY_SECONDS,
        "Time from acceptance to the end of an actor.";
    step_duration: HistogramVec, "step_duration_seconds" [named("handler"), one_of("step", steps)] in INVOCATION_SECONDS,
        "Time of one call of a handler's hook, instantiation included.";
    host_calls: IntCounterVec, "host_calls_total" [named("handler"), one_of("kind", interfaces), named("result")],
        "Calls of handlers to their host, by interface and by how they were answered: ok, error, or as the story says it.";
    diverged: IntCounterVec, "effects_diverged_total" [named("handler")],
        "Recorded effects that a retry did not ask for again.";
    limits: IntCounterVec, "limits_total" [named("handler"), named("limit")],
        "Limits that handlers hit, by the limit's name in the configuration; for a log, lines dropped.";
    handler_info: IntGaugeVec, "handler_info" [named("handler"), named("version"), named("sha256")],
        "1 for each module that serves.";
    load_failures: IntCounter, "handler_load_failures_total" [],
        "Modules that were refused.";
    serving_old: IntGaugeVec, "handler_serving_old" [named("handler")],
        "1 while the handler's file as it is now is refused and the version before it serves.";
    breaker_open: IntGaugeVec, "handler_breaker_open" [named("handler")],
        "1 while a handler is paused because it failed several times in a row.";
    slack_channel_held: IntGaugeVec, "slack_channel_held" [named("channel")],
        "1 while Slack refuses a channel of slack.channels, or the token, so that messages wait for the operator.";
    channel_waiting: IntGaugeVec, "channel_waiting" [named("channel"), one_of("priority", priorities)],
        "Deliveries that wait for the rate limit of a channel of slack.channels.";
    channel_oldest: IntGaugeVec, "channel_oldest_timestamp_seconds" [named("channel")],
        "Since when the first delivery has waited for the rate limit of a channel of slack.channels; 0 if none waits.";
    gate_waiting: IntGaugeVec, "gate_waiting" [one_of("gate", gates), one_of("priority", priorities)],
        "Deliveries that wait for the other rate limits of Slack: of the workspace, of updates, of reactions, of the updates of one message.";
    timers_open: IntGaugeVec, "timers_open" [named("handler")],
        "Timers that handlers have set and that have not become deliveries yet.";
    heartbeat_missing: IntGaugeVec, "heartbeat_missing" [named("heartbeat")],
        "1 while an expected heartbeat does not come.";
    store_writable: IntGauge, "store_writable" [],
        "0 while the store cannot be written: alerts are refused until it can.";
    term_holder: IntGauge, "term_holder" [],
        "1 while this server decides and runs: it has the store alone, or the term among those that have it open.";
    replica_info: IntGaugeVec, "replica_info" [named("replica"), named("version")],
        "1 for each server that has the store open and is alive, as this one sees it.";
    replica_beat_age: GaugeVec, "replica_last_beat_age_seconds" [named("replica")],
        "How long ago each server that has the store open has last shown that it is alive, as this one has seen it.";
    log_lines_dropped: IntCounter, "log_lines_dropped_total" [],
        "Log lines dropped because standard error was not read fast enough.";
    reload_successful: IntGauge, "config_last_reload_successful" [],
        "1 if the last read of the configuration succeeded.";
    build_info: IntGaugeVec, "build_info" [named("version")],
        "1, labelled with the version that runs.";
}
