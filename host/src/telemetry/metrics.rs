//! The metrics of `/metrics`. No label contains text that an alert or its sender wrote.

use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use prometheus::core::Collector;
use prometheus::{
    Encoder as _, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::alert::{HandlerName, Status, StepKind};
use crate::queue::Losses;

/// All metrics, registered once per server (a test runs several in one process).
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Locked while series are replaced, and while the metrics are encoded.
    showing: Mutex<()>,
    webhook_alerts: IntCounterVec,
    webhook_truncated: IntCounter,
    webhook_fields_left_out: IntCounter,
    unrouted: IntCounter,
    deliveries: IntCounterVec,
    dead: IntGauge,
    retention_removed: IntCounterVec,
    coalesced: IntCounterVec,
    unreported: IntCounter,
    depth: IntGauge,
    oldest: Gauge,
    step_duration: HistogramVec,
    delivery_duration: HistogramVec,
    host_calls: IntCounterVec,
    diverged: IntCounterVec,
    limits: IntCounterVec,
    breaker_open: IntGaugeVec,
    slack_channel_held: IntGaugeVec,
    serving_old: IntGaugeVec,
    store_writable: IntGauge,
    heartbeat_missing: IntGaugeVec,
    handler_info: IntGaugeVec,
    load_failures: IntCounter,
    connections_cut: IntCounterVec,
    requests_refused: IntCounterVec,
    log_lines_dropped: IntCounter,
    reload_successful: IntGauge,
}

/// The result for an alert at the webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookResult {
    /// It was committed and will run.
    Accepted,
    /// The same event was accepted before.
    Duplicate,
    /// A firing alert whose resolved alert was accepted before.
    Stale,
    /// Not a valid alert; it was stored as a dead delivery with its JSON, or the whole body was refused.
    Rejected,
}

impl WebhookResult {
    fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
            Self::Rejected => "rejected",
        }
    }
}

impl Metrics {
    /// Registers all metrics in a new registry.
    ///
    /// # Errors
    /// Returns an error if two metrics have the same name, which would be a mistake in this file.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let metrics = Self {
            webhook_alerts: counters(
                &registry,
                "alert_manager_webhook_alerts_total",
                "Alerts received by the webhook, by status and result.",
                &["status", "result"],
            )?,
            webhook_fields_left_out: counter(
                &registry,
                "alert_manager_webhook_fields_left_out_total",
                "Fields of alerts and their groups that were too long and were cut or dropped.",
            )?,
            webhook_truncated: counter(
                &registry,
                "alert_manager_webhook_truncated_alerts_total",
                "Alerts that a sender left out of its bodies (max_alerts), so that they never arrive.",
            )?,
            unrouted: counter(
                &registry,
                "alert_manager_deliveries_unrouted_total",
                "Alerts that no route matched: stored as done, without a handler.",
            )?,
            deliveries: counters(
                &registry,
                "alert_manager_deliveries_total",
                "Actors that ended, by handler and outcome.",
                &["handler", "outcome"],
            )?,
            dead: gauge(
                &registry,
                "alert_manager_dead_deliveries",
                "Dead letters: dead deliveries, but for those that a person cancelled.",
            )?,
            retention_removed: counters(
                &registry,
                "alert_manager_retention_removed_total",
                "Settled deliveries removed from the store, by reason (time, or size, which removes them early) and by state.",
                &["reason", "state"],
            )?,
            coalesced: counters(
                &registry,
                "alert_manager_deliveries_coalesced_total",
                "Deliveries that were reported or handled together with others, by reason.",
                &["reason"],
            )?,
            unreported: counter(
                &registry,
                "alert_manager_dead_letters_unreported_total",
                "Notices about dead letters, and other alarms of the server, that could not be delivered on any configured way.",
            )?,
            depth: gauge(
                &registry,
                "alert_manager_queue_depth",
                "Deliveries accepted and not yet settled.",
            )?,
            oldest: register(
                &registry,
                Gauge::new(
                    "alert_manager_queue_oldest_timestamp_seconds",
                    "When the oldest delivery not yet settled was accepted; 0 if there is none.",
                )?,
            )?,
            step_duration: histograms(
                &registry,
                "alert_manager_step_duration_seconds",
                "Time of one call of a handler's hook, instantiation included.",
                &["handler", "step"],
                vec![
                    0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0,
                ],
            )?,
            delivery_duration: histograms(
                &registry,
                "alert_manager_delivery_duration_seconds",
                "Time from acceptance to the end of an actor.",
                &["handler"],
                vec![
                    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0,
                ],
            )?,
            host_calls: counters(
                &registry,
                "alert_manager_host_calls_total",
                "Host calls of handlers, by interface and result.",
                &["handler", "kind", "result"],
            )?,
            diverged: counters(
                &registry,
                "alert_manager_effects_diverged_total",
                "Recorded effects that a retry did not ask for again.",
                &["handler"],
            )?,
            limits: counters(
                &registry,
                "alert_manager_limits_total",
                "Limits that handlers hit, by the limit's name in the configuration; for log_lines, the lines dropped.",
                &["handler", "limit"],
            )?,
            breaker_open: gauges(
                &registry,
                "alert_manager_handler_breaker_open",
                "1 while a handler is paused because it failed several times in a row.",
                &["handler"],
            )?,
            slack_channel_held: gauges(
                &registry,
                "alert_manager_slack_channel_held",
                "1 while Slack rejects a channel of slack.channels, or the token, so that messages wait for the operator.",
                &["channel"],
            )?,
            serving_old: gauges(
                &registry,
                "alert_manager_handler_serving_old",
                "1 while the handler's current file is refused and the previous version serves.",
                &["handler"],
            )?,
            store_writable: gauge(
                &registry,
                "alert_manager_store_writable",
                "0 while the store cannot be written: alerts are refused until it can.",
            )?,
            heartbeat_missing: gauges(
                &registry,
                "alert_manager_heartbeat_missing",
                "1 while an expected heartbeat is missing.",
                &["heartbeat"],
            )?,
            handler_info: gauges(
                &registry,
                "alert_manager_handler_info",
                "1 for each module that serves.",
                &["handler", "version", "sha256"],
            )?,
            connections_cut: counters(
                &registry,
                "alert_manager_connections_cut_total",
                "Connections refused or cut off by this server, by reason.",
                &["reason"],
            )?,
            requests_refused: counters(
                &registry,
                "alert_manager_webhook_refused_requests_total",
                "Refused requests to the webhook, and POST requests to unknown paths, by reason.",
                &["reason"],
            )?,
            log_lines_dropped: counter(
                &registry,
                "alert_manager_log_lines_dropped_total",
                "Log lines dropped because standard error was not read fast enough.",
            )?,
            load_failures: counter(
                &registry,
                "alert_manager_handler_load_failures_total",
                "Modules that were refused.",
            )?,
            reload_successful: gauge(
                &registry,
                "alert_manager_config_last_reload_successful",
                "1 if the configuration was last read successfully.",
            )?,
            registry,
            showing: Mutex::new(()),
        };
        metrics.reload_successful.set(1);
        let build = gauges(
            &metrics.registry,
            "alert_manager_build_info",
            "1, labelled with the version that runs.",
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        // Series that exist from the start show a rate at their first increment.
        for status in [Status::Firing, Status::Resolved] {
            for result in [
                WebhookResult::Accepted,
                WebhookResult::Duplicate,
                WebhookResult::Stale,
                WebhookResult::Rejected,
            ] {
                metrics.webhook_alerts(Some(status), result, 0);
            }
        }
        for reason in Refusal::ALL {
            metrics
                .requests_refused
                .with_label_values(&[reason.as_str()]);
        }
        #[cfg(target_os = "linux")]
        metrics.registry.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        Ok(metrics)
    }

    /// Counts alerts at the webhook; an alert whose status could not be read counts as firing.
    pub fn webhook_alerts(&self, status: Option<Status>, result: WebhookResult, count: u64) {
        self.webhook_alerts
            .with_label_values(&[status.unwrap_or(Status::Firing).as_str(), result.as_str()])
            .inc_by(count);
    }

    /// Counts alerts that a sender left out of a body.
    pub fn webhook_truncated(&self, count: u64) {
        self.webhook_truncated.inc_by(count);
    }

    /// Counts fields of bodies that were too long and were cut or dropped.
    pub fn webhook_fields_left_out(&self, count: u64) {
        self.webhook_fields_left_out.inc_by(count);
    }

    /// Counts an alert that no route matched.
    pub fn unrouted(&self) {
        self.unrouted.inc();
    }

    /// Counts an actor that ended, and observes the time since its alert was accepted.
    pub fn actor_ended(&self, handler: &HandlerName, outcome: &str, since_accepted: Duration) {
        self.deliveries
            .with_label_values(&[handler.as_str(), outcome])
            .inc();
        self.delivery_duration
            .with_label_values(&[handler.as_str()])
            .observe(since_accepted.as_secs_f64());
    }

    /// Returns how many actors of a handler ended done and how many dead since the start.
    #[must_use]
    pub fn ended(&self, handler: &HandlerName) -> (u64, u64) {
        let count = |outcome| {
            self.deliveries
                .with_label_values(&[handler.as_str(), outcome])
                .get()
        };
        (count("done"), count("dead"))
    }

    /// Returns the timer of a step.
    #[must_use]
    pub fn step_duration(&self, handler: &HandlerName, step: StepKind) -> Histogram {
        self.step_duration
            .with_label_values(&[handler.as_str(), step.as_str()])
    }

    /// Counts host calls.
    pub fn host_calls(&self, handler: &HandlerName, kind: &str, result: &str, count: u64) {
        self.host_calls
            .with_label_values(&[handler.as_str(), kind, result])
            .inc_by(count);
    }

    /// Counts recorded effects that were not asked for again.
    pub fn diverged(&self, handler: &HandlerName, count: u64) {
        self.diverged
            .with_label_values(&[handler.as_str()])
            .inc_by(count);
    }

    /// Sets the series to the handlers that serve now, with 1 for each that is paused.
    pub fn breakers<'a>(&self, handlers: impl Iterator<Item = (&'a str, i64)>) {
        show(&self.breaker_open, handlers);
    }

    /// Sets the series to the configured channels, with 1 for each that is held.
    pub fn slack_channels<'a>(&self, channels: impl Iterator<Item = (&'a str, i64)>) {
        show(&self.slack_channel_held, channels);
    }

    /// Sets the series to the handlers that serve now, with 1 for each whose newer file is refused.
    pub fn serving_old<'a>(&self, handlers: impl Iterator<Item = (&'a str, i64)>) {
        show(&self.serving_old, handlers);
    }

    /// Sets whether the store can be written.
    pub fn store(&self, unwritable: Option<&str>) {
        self.store_writable.set(i64::from(unwritable.is_none()));
    }

    /// Sets the series to the heartbeats that are expected now, with 1 for each that is missing.
    pub fn heartbeats<'a>(&self, heartbeats: impl Iterator<Item = (&'a str, i64)>) {
        show(&self.heartbeat_missing, heartbeats);
    }

    /// Counts how often a limit was hit.
    pub fn limits(&self, handler: &HandlerName, limit: &str, count: u64) {
        self.limits
            .with_label_values(&[handler.as_str(), limit])
            .inc_by(count);
    }

    /// Returns the lock to hold from the first value that is set until the metrics are encoded: a concurrent request, or a
    /// change of the handlers, would remove series in between.
    pub fn look(&self) -> MutexGuard<'_, ()> {
        self.showing.lock()
    }

    /// Sets the values of the queue.
    pub fn queue(&self, depth: usize, dead: u64, oldest_seconds: f64) {
        self.depth.set(i64::try_from(depth).unwrap_or(i64::MAX));
        self.dead.set(i64::try_from(dead).unwrap_or(i64::MAX));
        self.oldest.set(oldest_seconds);
    }

    /// Sets what the queue has discarded or coalesced since its start. To be called while [`Self::look`] is held.
    pub fn losses(&self, losses: &Losses) {
        for (reason, state, total) in [
            ("time", "done", losses.done_by_time),
            ("time", "dead", losses.dead_by_time),
            ("size", "done", losses.done_by_size),
            ("size", "dead", losses.dead_by_size),
        ] {
            let counter = self.retention_removed.with_label_values(&[reason, state]);
            counter.inc_by(total.saturating_sub(counter.get()));
        }
        let counter = self.coalesced.with_label_values(&["dead_letter"]);
        counter.inc_by(losses.reported_together.saturating_sub(counter.get()));
        let counter = &self.unreported;
        counter.inc_by(losses.unreported.saturating_sub(counter.get()));
    }

    /// Sets the series to the modules that serve now.
    pub fn handlers<'a>(&self, serving: impl Iterator<Item = (&'a str, &'a str, &'a str)>) {
        let _no_look_meanwhile = self.showing.lock();
        self.handler_info.reset();
        for (handler, version, sha256) in serving {
            self.handler_info
                .with_label_values(&[handler, version, sha256])
                .set(1);
            for outcome in ["done", "dead"] {
                // A series that exists before the first dead delivery shows that delivery as a rate.
                self.deliveries.with_label_values(&[handler, outcome]);
            }
        }
    }

    /// Counts a connection that was refused or cut off.
    pub(crate) fn connection_cut(&self, reason: Cut) {
        self.connections_cut
            .with_label_values(&[reason.as_str()])
            .inc();
    }

    /// Sets how many log lines were dropped since the start of the process.
    pub fn log_lines_dropped(&self, total: u64) {
        let counter = &self.log_lines_dropped;
        counter.inc_by(total.saturating_sub(counter.get()));
    }

    /// Counts a refused request.
    pub(crate) fn request_refused(&self, reason: Refusal) {
        self.requests_refused
            .with_label_values(&[reason.as_str()])
            .inc();
    }

    /// Counts a module that was refused.
    pub fn load_failure(&self) {
        self.load_failures.inc();
    }

    /// Sets whether the configuration was last read successfully.
    pub fn reloaded(&self, result: Result<(), ()>) {
        self.reload_successful.set(i64::from(result.is_ok()));
    }

    /// Returns the metrics in Prometheus' text format.
    ///
    /// # Errors
    /// Returns an error if a metric cannot be encoded.
    pub fn encode(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|e| prometheus::Error::Msg(e.to_string()))
    }
}

/// Why a connection was refused or cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// There were too many connections, each with a request in progress.
    Full,
    /// It was unauthenticated or had no request, and another connection took its place.
    Displaced,
    /// Its body, from an unauthenticated sender, was dropped in favour of another.
    DisplacedBody,
    /// Its headers did not arrive in time.
    SlowHeaders,
    /// Its body paused for too long or was too slow.
    SlowBody,
    /// It did not read its response.
    SlowReader,
    /// The TLS handshake failed.
    Tls,
}

impl Cut {
    fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Displaced => "displaced",
            Self::DisplacedBody => "displaced_body",
            Self::SlowHeaders => "slow_headers",
            Self::SlowBody => "slow_body",
            Self::SlowReader => "slow_reader",
            Self::Tls => "tls",
        }
    }
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It was not authenticated.
    Unauthorized,
    /// Its sender exceeded the rate limit.
    Rate,
    /// It was made by a web page.
    Page,
    /// Its body contains no valid alert.
    Invalid,
    /// Its body is too large.
    TooLarge,
    /// Its body is not JSON, or is compressed.
    MediaType,
    /// Its method is not allowed for its path.
    Method,
    /// It is a POST request to an unknown path.
    Path,
    /// There are too many connections. Counted by `connections_cut_total`.
    Connections,
    /// Its alerts cannot be stored now: the server starts, the queue is full, the store cannot be written, or there are too
    /// many bodies.
    Unavailable,
}

impl Refusal {
    /// The reasons for requests that may bring alerts.
    pub(crate) const ALL: [Self; 9] = [
        Self::Unauthorized,
        Self::Rate,
        Self::Page,
        Self::Invalid,
        Self::TooLarge,
        Self::MediaType,
        Self::Method,
        Self::Path,
        Self::Unavailable,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Rate => "rate",
            Self::Page => "page",
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::MediaType => "media_type",
            Self::Method => "method",
            Self::Path => "path",
            Self::Connections => "connections",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Sets exactly these values and removes all other series.
fn show<'a>(gauges: &IntGaugeVec, values: impl Iterator<Item = (&'a str, i64)>) {
    gauges.reset();
    for (label, value) in values {
        gauges.with_label_values(&[label]).set(value);
    }
}

fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    register(registry, IntCounter::new(name, help)?)
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    register(registry, IntGauge::new(name, help)?)
}

fn gauges(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntGaugeVec, prometheus::Error> {
    register(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
    buckets: Vec<f64>,
) -> Result<HistogramVec, prometheus::Error> {
    register(
        registry,
        HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), labels)?,
    )
}
