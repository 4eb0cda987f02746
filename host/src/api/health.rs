//! Live, ready, metrics and reload.

use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::ApiError;
use crate::app::Shared;
use crate::queue::Filter;
use crate::review::Findings;

/// A store that takes longer for one row is no longer of use to senders.
const STORE_ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Live: answers without touching the store.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// Ready: the store answers and the first scan of the folder has ended.
///
/// What is wrong with configuration and modules takes no alert away from the others: it is named, and the server is ready.
pub(super) async fn ready(State(shared): State<Shared>) -> Result<String, ApiError> {
    let not_yet = |why: String| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, why);
    if !shared.is_ready() {
        return Err(not_yet(
            "the first scan of the handlers' folder has not ended".into(),
        ));
    }
    if let Some(reason) = shared.queue.unwritable() {
        return Err(not_yet(format!("the store cannot be written: {reason}")));
    }
    let newest = shared.queue.list(Filter {
        limit: 1,
        ..Filter::default()
    });
    match tokio::time::timeout(STORE_ANSWERS_WITHIN, newest).await {
        Ok(Ok(_)) => Ok(format!("ready\n{}", listed(&shared.reviewed.findings()))),
        Ok(Err(error)) => Err(not_yet(format!("the store cannot be read: {error}"))),
        Err(_) => Err(not_yet(format!(
            "the store has not answered for {} s: look at its disk",
            STORE_ANSWERS_WITHIN.as_secs()
        ))),
    }
}

/// Findings that are listed; `check` and the log have all.
const FINDINGS_MAX: usize = 50;

/// Returns each finding in one line.
fn listed(findings: &Findings) -> String {
    let problems = findings.problems.iter().map(|finding| ("problem", finding));
    let warnings = findings.warnings.iter().map(|finding| ("warning", finding));
    let all = problems.chain(warnings);
    let dropped = all.clone().count().saturating_sub(FINDINGS_MAX);
    let mut text: String = all
        .take(FINDINGS_MAX)
        .map(|(kind, finding)| format!("{kind}: {}\n", finding.one_line()))
        .collect();
    if dropped > 0 {
        text.push_str(&format!("and {dropped} more: see `alert-manager check`\n"));
    }
    text
}

/// Prometheus' text format.
pub(super) async fn metrics(State(shared): State<Shared>) -> Result<Response, ApiError> {
    let counts = shared.queue.counts();
    let oldest = counts
        .oldest
        .map_or(0.0, |at| at.as_duration().as_secs_f64());
    let heartbeats = shared.heartbeats.missing();
    let modules = shared.registry.modules();
    let look = shared.metrics.look();
    shared.metrics.queue(counts.depth, counts.dead, oldest);
    shared.metrics.losses(&counts.losses);
    shared.metrics.store(shared.queue.unwritable().as_deref());
    let breakers = modules.iter().map(|module| {
        let paused = shared.breakers.paused(module.name());
        (module.name().as_str(), i64::from(paused.is_some()))
    });
    shared.metrics.breakers(breakers);
    let heartbeats = heartbeats
        .iter()
        .map(|(name, missing)| (name.as_str(), i64::from(*missing)));
    shared.metrics.heartbeats(heartbeats);
    let text = shared
        .metrics
        .encode()
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    drop(look);
    Ok((
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response())
}

/// Reads configuration and folder again.
pub(super) async fn reload(State(shared): State<Shared>) -> Result<String, ApiError> {
    match shared.reload().await {
        Ok(reloaded) => {
            let restarts: String = reloaded
                .needs_restart
                .iter()
                .map(|key| format!("warning: {key} has changed: that takes a restart\n"))
                .collect();
            Ok(format!(
                "reloaded\n{restarts}{}",
                listed(&reloaded.findings)
            ))
        }
        Err(problems) => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            format!("refused, the old configuration stays: {problems}"),
        )),
    }
}

/// Says what this is to somebody who opens it in a browser.
pub(super) async fn index() -> &'static str {
    concat!(
        "Alert Manager ",
        env!("CARGO_PKG_VERSION"),
        "\n\n",
        "POST /webhook            alerts, as Alertmanager, Grafana or Prometheus send them\n",
        "GET  /api/v1/deliveries  what became of them\n",
        "GET  /api/v1/handlers    what answers them\n",
        "GET  /metrics            Prometheus' text format\n",
        "GET  /healthz /readyz    live, ready\n",
    )
}
