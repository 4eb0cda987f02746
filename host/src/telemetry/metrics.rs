//! The metrics that `/metrics` shows. No label holds what an alert or its sender wrote.

use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use prometheus::core::Collector;
use prometheus::{
    Encoder as _, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::alert::{HandlerName, Status, StepKind};
use crate::queue::Losses;

/// Every metric, registered once for each server (a test runs many in one process).
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Held by whoever takes series away to set them anew, and by a look at them meanwhile.
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

/// What became of an alert at the webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookResult {
    /// Committed, and on its way.
    Accepted,
    /// The same event was taken before.
    Duplicate,
    /// A firing whose resolved was taken before.
    Stale,
    /// No alert; kept dead with its JSON, or refused with the whole body.
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
    /// Registers every metric in a registry of its own.
    ///
    /// # Errors
    /// Where two metrics share a name: a mistake in this file.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let metrics = Self {
            webhook_alerts: counters(
                &registry,
                "alert_manager_webhook_alerts_total",
                "Alerts received by the webhook, by status and by what became of them.",
                &["status", "result"],
            )?,
            webhook_fields_left_out: counter(
                &registry,
                "alert_manager_webhook_fields_left_out_total",
                "Fields of alerts and their groups that were too long and are cut or not kept.",
            )?,
            webhook_truncated: counter(
                &registry,
                "alert_manager_webhook_truncated_alerts_total",
                "Alerts that a sender left out of its bodies (max_alerts): they never arrive.",
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
                "Settled deliveries removed from the store, by why (time, or size: before their time) and by how they had ended.",
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
                "Notices about dead letters, and other alarms of the server, that no configured way could deliver.",
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
                    "When the oldest delivery not yet settled was accepted; 0 where there is none.",
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
                "Calls of handlers to their host, by interface and by how they were answered.",
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
                "Limits that handlers met, by the limit's name in the configuration; for a log, lines dropped.",
                &["handler", "limit"],
            )?,
            breaker_open: gauges(
                &registry,
                "alert_manager_handler_breaker_open",
                "1 while a handler is paused because it failed again and again.",
                &["handler"],
            )?,
            slack_channel_held: gauges(
                &registry,
                "alert_manager_slack_channel_held",
                "1 while Slack refuses a channel of slack.channels, or the token, so that messages wait for the operator.",
                &["channel"],
            )?,
            serving_old: gauges(
                &registry,
                "alert_manager_handler_serving_old",
                "1 while the handler's file as it is now is refused and the version before it serves.",
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
                "1 while an expected heartbeat does not come.",
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
                "Requests to the webhook, or posted to no known path, that were refused, by reason.",
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
                "1 where the last read of the configuration succeeded.",
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
        // A series that exists from the start shows a rate at its first increment.
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

    /// Counts alerts at the webhook; one whose status could not be read counts as firing.
    pub fn webhook_alerts(&self, status: Option<Status>, result: WebhookResult, count: u64) {
        self.webhook_alerts
            .with_label_values(&[status.unwrap_or(Status::Firing).as_str(), result.as_str()])
            .inc_by(count);
    }

    /// Counts alerts that a sender cut off.
    pub fn webhook_truncated(&self, count: u64) {
        self.webhook_truncated.inc_by(count);
    }

    /// Counts fields of bodies that were too long and are cut or not kept.
    pub fn webhook_fields_left_out(&self, count: u64) {
        self.webhook_fields_left_out.inc_by(count);
    }

    /// Counts an alert that no route matched.
    pub fn unrouted(&self) {
        self.unrouted.inc();
    }

    /// Counts an actor that ended, and how long its alert took from acceptance.
    pub fn actor_ended(&self, handler: &HandlerName, outcome: &str, since_accepted: Duration) {
        self.deliveries
            .with_label_values(&[handler.as_str(), outcome])
            .inc();
        self.delivery_duration
            .with_label_values(&[handler.as_str()])
            .observe(since_accepted.as_secs_f64());
    }

    /// Returns how many actors of a handler ended done, and how many dead, since the start.
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

    /// Shows the handlers that serve now, each with 1 where it is paused, and those alone.
    pub fn breakers<'a>(&self, handlers: impl Iterator<Item = (&'a str, i64)>) {
        show(&self.breaker_open, handlers);
    }

    /// Shows the channels that are set, each with 1 while it is held, and those alone.
    pub fn slack_channels<'a>(&self, channels: impl Iterator<Item = (&'a str, i64)>) {
        show(&self.slack_channel_held, channels);
    }

    /// Shows the handlers that serve now, each with 1 if a newer file of it is refused, and those alone.
    pub fn serving_old<'a>(&self, handlers: impl Iterator<Item = (&'a str, i64)>) {
        show(&self.serving_old, handlers);
    }

    /// Shows whether the store can be written.
    pub fn store(&self, unwritable: Option<&str>) {
        self.store_writable.set(i64::from(unwritable.is_none()));
    }

    /// Shows the heartbeats that are expected now, each with 1 where it is missing, and those alone.
    pub fn heartbeats<'a>(&self, heartbeats: impl Iterator<Item = (&'a str, i64)>) {
        show(&self.heartbeat_missing, heartbeats);
    }

    /// Counts how often a limit was met.
    pub fn limits(&self, handler: &HandlerName, limit: &str, count: u64) {
        self.limits
            .with_label_values(&[handler.as_str(), limit])
            .inc_by(count);
    }

    /// Returns what a look at the metrics holds from the first value that it sets until they are encoded: another look,
    /// or a change of the handlers, would take series away in between.
    pub fn look(&self) -> MutexGuard<'_, ()> {
        self.showing.lock()
    }

    /// Shows the queue as it is now.
    pub fn queue(&self, depth: usize, dead: u64, oldest_seconds: f64) {
        self.depth.set(i64::try_from(depth).unwrap_or(i64::MAX));
        self.dead.set(i64::try_from(dead).unwrap_or(i64::MAX));
        self.oldest.set(oldest_seconds);
    }

    /// Shows what the queue has discarded or coalesced since its start. To be called while [`Self::look`] is held.
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

    /// Shows the modules that serve now, and those alone.
    pub fn handlers<'a>(&self, serving: impl Iterator<Item = (&'a str, &'a str, &'a str)>) {
        let _no_look_meanwhile = self.showing.lock();
        self.handler_info.reset();
        for (handler, version, sha256) in serving {
            self.handler_info
                .with_label_values(&[handler, version, sha256])
                .set(1);
            for outcome in ["done", "dead"] {
                // A series that exists before its first death shows that death as a rate.
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

    /// Shows how many log lines were dropped since the start of the process.
    pub fn log_lines_dropped(&self, total: u64) {
        let counter = &self.log_lines_dropped;
        counter.inc_by(total.saturating_sub(counter.get()));
    }

    /// Counts a request that brings no alerts in.
    pub(crate) fn request_refused(&self, reason: Refusal) {
        self.requests_refused
            .with_label_values(&[reason.as_str()])
            .inc();
    }

    /// Counts a module that was refused.
    pub fn load_failure(&self) {
        self.load_failures.inc();
    }

    /// Shows whether the last read of the configuration succeeded.
    pub fn reloaded(&self, result: Result<(), ()>) {
        self.reload_successful.set(i64::from(result.is_ok()));
    }

    /// Returns the metrics in Prometheus' text format.
    ///
    /// # Errors
    /// Where a metric cannot be encoded.
    pub fn encode(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|e| prometheus::Error::Msg(e.to_string()))
    }
}

/// Why a connection was refused or cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// There were too many, each with a request under way.
    Full,
    /// It had proved nothing, or asked nothing, and another took its place.
    Displaced,
    /// Its body, whose sender had proved nothing, made room for another.
    DisplacedBody,
    /// Its headers did not come in time.
    SlowHeaders,
    /// Its body paused too long or was too slow.
    SlowBody,
    /// It did not read its answer.
    SlowReader,
    /// No TLS connection came about.
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
    /// It did not prove who it is from.
    Unauthorized,
    /// Its sender made too many.
    Rate,
    /// A web page is behind it.
    Page,
    /// Nothing in its body is an alert.
    Invalid,
    /// Its body is too large.
    TooLarge,
    /// Its body is not JSON, or compressed.
    MediaType,
    /// Its path does not take its method.
    Method,
    /// It was posted to a path that there is not.
    Path,
    /// There are too many connections. Counted by `connections_cut_total`.
    Connections,
    /// Its alerts cannot be stored now: a start, a full queue, a store that cannot be written, too many bodies.
    Unavailable,
}

impl Refusal {
    /// Those of requests that may bring alerts.
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

/// Shows these values and no other.
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
