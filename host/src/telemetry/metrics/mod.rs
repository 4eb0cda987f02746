//! The metrics that `/metrics` shows. No label holds what an alert or its sender wrote.

mod reasons;
mod table;

use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use prometheus::{Encoder as _, Histogram, IntGaugeVec, Registry, TextEncoder};

use crate::alert::{HandlerName, Priority, Status, StepKind, Timestamp};
use crate::api::{Channel, Gate};
use crate::queue::{ListedReplica, Losses};
use table::Collectors;

pub use reasons::WebhookResult;
pub(crate) use reasons::{Cut, Refusal};
pub use table::{Label, METRICS, Metric};

/// All metrics, registered once per server (a test runs several in one process).
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    collectors: Collectors,
    /// Since when everything is counted.
    since: Timestamp,
    /// Locked while series are replaced, and while the metrics are encoded.
    showing: Mutex<()>,
}

impl Metrics {
    /// Registers all metrics in a new registry.
    ///
    /// # Errors
    /// Returns an error if two metrics have the same name, which would be a mistake in the table.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let collectors = Collectors::register(&registry)?;
        #[cfg(target_os = "linux")]
        registry.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        let metrics = Self {
            registry,
            collectors,
            since: Timestamp::now(),
            showing: Mutex::new(()),
        };
        metrics.reloaded(Ok(()));
        let version = [env!("CARGO_PKG_VERSION")];
        let build = &metrics.collectors.build_info;
        build.with_label_values(&version).set(1);
        // A series that exists from the start shows a rate at its first increment.
        for status in [Status::Firing, Status::Resolved] {
            for result in WebhookResult::ALL {
                metrics.webhook_alerts(Some(status), result, 0);
            }
        }
        for reason in Refusal::names() {
            let counters = &metrics.collectors.requests_refused;
            counters.with_label_values(&[reason]);
        }
        Ok(metrics)
    }

    /// Counts alerts at the webhook; an alert whose status could not be read counts as firing.
    pub fn webhook_alerts(&self, status: Option<Status>, result: WebhookResult, count: u64) {
        self.collectors
            .webhook_alerts
            .with_label_values(&[status.unwrap_or(Status::Firing).as_str(), result.as_str()])
            .inc_by(count);
    }

    /// Counts alerts that a sender left out of a body.
    pub fn webhook_truncated(&self, count: u64) {
        self.collectors.webhook_truncated.inc_by(count);
    }

    /// Counts fields of bodies that were too long and were cut or dropped.
    pub fn webhook_fields_left_out(&self, count: u64) {
        self.collectors.webhook_fields_left_out.inc_by(count);
    }

    /// Counts an alert that no route matched.
    pub fn unrouted(&self) {
        self.collectors.unrouted.inc();
    }

    /// Counts an actor that ended, and observes the time since its alert was accepted.
    pub fn actor_ended(&self, handler: &HandlerName, outcome: &str, since_accepted: Duration) {
        self.collectors
            .deliveries
            .with_label_values(&[handler.as_str(), outcome])
            .inc();
        self.collectors
            .delivery_duration
            .with_label_values(&[handler.as_str()])
            .observe(since_accepted.as_secs_f64());
    }

    /// Returns since when everything is counted: the start of the server.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Returns how many actors of a handler ended done, and how many dead, since the start.
    #[must_use]
    pub fn ended(&self, handler: &HandlerName) -> (u64, u64) {
        let count = |outcome| {
            self.collectors
                .deliveries
                .with_label_values(&[handler.as_str(), outcome])
                .get()
        };
        (count("done"), count("dead"))
    }

    /// Returns the timer of a step.
    #[must_use]
    pub fn step_duration(&self, handler: &HandlerName, step: StepKind) -> Histogram {
        self.collectors
            .step_duration
            .with_label_values(&[handler.as_str(), step.as_str()])
    }

    /// Counts host calls.
    pub fn host_calls(&self, handler: &HandlerName, kind: &str, result: &str, count: u64) {
        self.collectors
            .host_calls
            .with_label_values(&[handler.as_str(), kind, result])
            .inc_by(count);
    }

    /// Counts recorded effects that were not asked for again.
    pub fn diverged(&self, handler: &HandlerName, count: u64) {
        self.collectors
            .diverged
            .with_label_values(&[handler.as_str()])
            .inc_by(count);
    }

    /// Sets the series to the handlers that serve now, with 1 for each that is paused.
    pub fn breakers<'a>(&self, handlers: impl Iterator<Item = (&'a str, i64)>) {
        show(&self.collectors.breaker_open, handlers);
    }

    /// Sets the series to the configured channels, with 1 for each that is held.
    pub fn slack_channels<'a>(&self, channels: impl Iterator<Item = (&'a str, i64)>) {
        show(&self.collectors.slack_channel_held, channels);
    }

    /// Sets the series to the configured channels, with what waits for its turn in each.
    pub fn channels_waiting<'a>(&self, channels: impl Iterator<Item = &'a Channel>) {
        let (waiting, oldest) = (
            &self.collectors.channel_waiting,
            &self.collectors.channel_oldest,
        );
        waiting.reset();
        oldest.reset();
        for Channel { gate, .. } in channels {
            for priority in Priority::ALL {
                let count = i64::try_from(gate.waiting.of(priority)).unwrap_or(i64::MAX);
                let labels = [gate.name.as_str(), priority.as_str()];
                waiting.with_label_values(&labels).set(count);
            }
            let since = gate.waiting_since.map_or(0, Timestamp::as_second);
            oldest.with_label_values(&[gate.name.as_str()]).set(since);
        }
    }

    /// Sets the series to what waits at the gates that are not those of channels.
    pub fn gates_waiting<'a>(&self, gates: impl Iterator<Item = &'a Gate>) {
        let waiting = &self.collectors.gate_waiting;
        waiting.reset();
        for gate in gates {
            let kind = gate.name.strip_prefix("slack ").unwrap_or_default();
            let kind = kind.split(' ').next().unwrap_or_default();
            if kind == "channel" {
                continue;
            }
            for priority in Priority::ALL {
                let count = i64::try_from(gate.waiting.of(priority)).unwrap_or(i64::MAX);
                let labels = [kind, priority.as_str()];
                waiting.with_label_values(&labels).add(count);
            }
        }
    }

    /// Sets the series to the handlers that serve now, with 1 for each whose newer file is refused.
    pub fn serving_old<'a>(&self, handlers: impl Iterator<Item = (&'a str, i64)>) {
        show(&self.collectors.serving_old, handlers);
    }

    /// Sets the series to the handlers that have open timers, with how many.
    pub fn timers<'a>(&self, timers: impl Iterator<Item = (&'a str, i64)>) {
        show(&self.collectors.timers_open, timers);
    }

    /// Sets whether the store can be written.
    pub fn store(&self, unwritable: Option<&str>) {
        self.collectors
            .store_writable
            .set(i64::from(unwritable.is_none()));
    }

    /// Sets whether this server has the term, and the series to the servers that have the store open. Of several with one name, the
    /// one that has beaten last is shown.
    pub fn replicas(&self, has_term: bool, listed: &[ListedReplica]) {
        let collectors = &self.collectors;
        collectors.term_holder.set(i64::from(has_term));
        collectors.replica_info.reset();
        collectors.replica_beat_age.reset();
        let mut oldest_first: Vec<_> = listed.iter().collect();
        oldest_first.sort_by_key(|replica| std::cmp::Reverse(replica.beat_age));
        for replica in oldest_first {
            let host = replica.about.host.as_str();
            let age = collectors.replica_beat_age.with_label_values(&[host]);
            age.set(replica.beat_age.as_secs_f64());
            if replica.is_alive() {
                let labels = [host, replica.about.version.as_str()];
                collectors.replica_info.with_label_values(&labels).set(1);
            }
        }
    }

    /// Sets the series to the heartbeats that are expected now, with 1 for each that is missing.
    pub fn heartbeats<'a>(&self, heartbeats: impl Iterator<Item = (&'a str, i64)>) {
        show(&self.collectors.heartbeat_missing, heartbeats);
    }

    /// Counts how often a limit was hit.
    pub fn limits(&self, handler: &HandlerName, limit: &str, count: u64) {
        self.collectors
            .limits
            .with_label_values(&[handler.as_str(), limit])
            .inc_by(count);
    }

    /// Returns the lock to hold from the first value that is set for a scrape until the metrics are encoded: a concurrent
    /// scrape, or a change of the handlers, would remove series in between.
    pub fn scrape(&self) -> MutexGuard<'_, ()> {
        self.showing.lock()
    }

    /// Sets the values of the queue.
    pub fn queue(&self, depth: usize, dead: u64, oldest_seconds: f64) {
        self.collectors
            .depth
            .set(i64::try_from(depth).unwrap_or(i64::MAX));
        self.collectors
            .dead
            .set(i64::try_from(dead).unwrap_or(i64::MAX));
        self.collectors.oldest.set(oldest_seconds);
    }

    /// Sets what the queue has discarded or coalesced since its start. To be called while [`Self::scrape`] is held.
    pub fn losses(&self, losses: &Losses) {
        for (reason, state, total) in [
            ("time", "done", losses.done_by_time),
            ("time", "dead", losses.dead_by_time),
            ("size", "done", losses.done_by_size),
            ("size", "dead", losses.dead_by_size),
        ] {
            let counter = self
                .collectors
                .retention_removed
                .with_label_values(&[reason, state]);
            counter.inc_by(total.saturating_sub(counter.get()));
        }
        for (reason, total) in [
            ("dead_letter", losses.reported_together),
            ("storm", losses.storm),
        ] {
            let counter = self.collectors.coalesced.with_label_values(&[reason]);
            counter.inc_by(total.saturating_sub(counter.get()));
        }
        let counter = &self.collectors.unreported;
        counter.inc_by(losses.unreported.saturating_sub(counter.get()));
    }

    /// Sets the series to the modules that serve now.
    pub fn handlers<'a>(&self, serving: impl Iterator<Item = (&'a str, &'a str, &'a str)>) {
        let _no_scrape_meanwhile = self.showing.lock();
        self.collectors.handler_info.reset();
        for (handler, version, sha256) in serving {
            self.collectors
                .handler_info
                .with_label_values(&[handler, version, sha256])
                .set(1);
            for outcome in ["done", "dead"] {
                // A series that exists before its first death shows that death as a rate.
                self.collectors
                    .deliveries
                    .with_label_values(&[handler, outcome]);
            }
        }
    }

    /// Counts a connection that was refused or cut off.
    pub(crate) fn connection_cut(&self, reason: Cut) {
        self.collectors
            .connections_cut
            .with_label_values(&[reason.as_str()])
            .inc();
    }

    /// Sets how many log lines were dropped since the start of the process.
    pub fn log_lines_dropped(&self, total: u64) {
        let counter = &self.collectors.log_lines_dropped;
        counter.inc_by(total.saturating_sub(counter.get()));
    }

    /// Counts a refused request.
    pub(crate) fn request_refused(&self, reason: Refusal) {
        self.collectors
            .requests_refused
            .with_label_values(&[reason.as_str()])
            .inc();
    }

    /// Counts a module that was refused.
    pub fn load_failure(&self) {
        self.collectors.load_failures.inc();
    }

    /// Sets whether the configuration was last read successfully.
    pub fn reloaded(&self, result: Result<(), ()>) {
        self.collectors
            .reload_successful
            .set(i64::from(result.is_ok()));
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

/// Sets exactly these values and removes all other series.
fn show<'a>(gauges: &IntGaugeVec, values: impl Iterator<Item = (&'a str, i64)>) {
    gauges.reset();
    for (label, value) in values {
        gauges.with_label_values(&[label]).set(value);
    }
}
