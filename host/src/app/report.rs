//! Log lines about deliveries, the store and reloads.

use tokio::sync::mpsc;

use crate::alert::{HandlerName, Timestamp};
use crate::config::{Changes, Config};
use crate::queue::{Delivery, LastEnd, Reason, Recovered, Settled, State};

/// To how many bytes an alert's name and an error are cut in a line.
const SHOWN_BYTES_MAX: usize = 256;

/// Logs each delivery that is settled, until the store is closed. The store does not wait for this: deliveries that it could
/// not report are counted.
pub(super) async fn settled(mut reports: mpsc::Receiver<Settled>) {
    while let Some(Settled { deliveries, missed }) = reports.recv().await {
        if missed > 0 {
            tracing::warn!(
                deliveries = missed,
                "{missed} settled deliveries have no line of their own: there were too many at once"
            );
        }
        deliveries.iter().for_each(log_settled);
    }
}

/// A dead letter needs a person, so it is a warning; one that a person cancelled does not.
fn log_settled(delivery: &Delivery) {
    let outcome = outcome(delivery);
    let error = delivery.last_error.as_deref().unwrap_or_default();
    let handlers = joined(&delivery.handlers);
    let duration = delivery
        .settled_at
        .map_or(0.0, |end| seconds_between(delivery.received_at, end));
    macro_rules! line {
        ($level:ident $(, $error:ident)?) => {
            tracing::$level!(
                delivery = %delivery.id,
                alertname = cut(&delivery.alertname),
                status = delivery.status,
                route = delivery.route,
                handlers,
                outcome,
                duration_seconds = duration,
                attempts = delivery.attempts,
                $(error = cut($error),)?
                "delivery settled"
            )
        };
    }
    if delivery.reason.is_some_and(Reason::is_dead_letter) {
        line!(warn, error);
    } else {
        line!(info);
    }
}

/// Returns the field `outcome` of the log, which distinguishes unrouted and cancelled deliveries.
fn outcome(delivery: &Delivery) -> &'static str {
    match (delivery.state, delivery.reason) {
        (_, Some(reason @ (Reason::Unrouted | Reason::Cancelled))) => reason.as_str(),
        (State::Dead, _) => "dead",
        _ => "done",
    }
}

/// Logs the state of the store at the start.
pub(super) fn started(config: &Config, recovered: &Recovered) {
    let oldest = recovered
        .oldest
        .map_or(0.0, |at| seconds_between(at, Timestamp::now()));
    macro_rules! line {
        ($level:ident, $($message:tt)+) => {
            tracing::$level!(
                store = %config.store,
                last_end = recovered.last_end.as_str(),
                under_lease = recovered.under_lease,
                queued = recovered.queued,
                retrying = recovered.retrying,
                dead = recovered.dead,
                oldest_seconds = oldest,
                $($message)+
            )
        };
    }
    match recovered.last_end {
        LastEnd::None => line!(info, "a new store was made"),
        LastEnd::Clean => line!(info, "store opened"),
        LastEnd::Crash => line!(
            warn,
            "store opened; the last process did not end in order: what it had under lease runs again"
        ),
    }
    recovered.died.iter().for_each(log_settled);
}

fn joined(handlers: &[HandlerName]) -> String {
    let names: Vec<_> = handlers.iter().map(HandlerName::as_str).collect();
    names.join(",")
}

/// Returns a duration in milliseconds' precision, since the store has no finer times.
fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    let millis = (to.as_millisecond() - from.as_millisecond()).max(0);
    #[allow(
        clippy::cast_precision_loss,
        reason = "exact for 285,000 years of milliseconds"
    )]
    let seconds = millis as f64 / 1_000.0;
    seconds
}

fn cut(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    &line[..line.floor_char_boundary(SHOWN_BYTES_MAX)]
}

/// Logs what a reload changed. `keep_settings` are the handlers that the new settings do not fit.
pub(super) fn reloaded(changes: &Changes, keep_settings: &[HandlerName]) {
    tracing::info!(
        changed = changes.summary(),
        "configuration and folder read again"
    );
    if !changes.needs_restart.is_empty() {
        let keys = changes.needs_restart.join(", ");
        tracing::warn!(
            keys,
            "these keys of the configuration take effect after a restart"
        );
    }
    if !keep_settings.is_empty() {
        let handlers = joined(keep_settings);
        tracing::warn!(
            handlers,
            "these handlers keep the settings that they had, since the new ones do not fit them: correct what is reported and reload again. Everything else of the new configuration is in use"
        );
    }
}
