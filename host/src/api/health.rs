//! Live, ready, metrics and reload.

use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::ApiError;
use crate::app::{Reloaded, Shared};
use crate::queue::Filter;
use crate::review::Findings;
use crate::runtime::ModuleState;
use crate::telemetry::log;

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
        return Err(not_yet("the handlers are still being loaded".into()));
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
            "the store has not answered for {} s: check its disk",
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
    let serving = shared.registry.serving();
    let look = shared.metrics.look();
    shared.metrics.queue(counts.depth, counts.dead, oldest);
    shared.metrics.losses(&counts.losses);
    shared.metrics.log_lines_dropped(log::dropped());
    shared.metrics.store(shared.queue.unwritable().as_deref());
    let named = serving
        .files()
        .iter()
        .filter_map(|file| Some((file.name.as_ref()?, file)));
    let breakers = named.clone().map(|(name, _)| {
        let paused = shared.breakers.paused(name);
        (name.as_str(), i64::from(paused.is_some()))
    });
    shared.metrics.breakers(breakers);
    let (config, holds) = (shared.config.load(), shared.runtime.holds().current());
    let is_held = |name: &String| {
        let mut holds = holds.iter();
        holds.any(|hold| hold.channel.as_ref().is_none_or(|held| held == name))
    };
    let channels = config.slack.channels.keys();
    let channels = channels.map(|name| (name.as_str(), i64::from(is_held(name))));
    shared.metrics.slack_channels(channels);
    let serving_old =
        named.map(|(name, file)| (name.as_str(), i64::from(file.state == ModuleState::Refused)));
    shared.metrics.serving_old(serving_old);
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

/// Reads configuration and folder again, and says what that changed and what is wrong now.
pub(super) async fn reload(State(shared): State<Shared>) -> Result<axum::Json<Value>, ApiError> {
    match shared.reload().await {
        Ok(Reloaded { changes, findings }) => Ok(axum::Json(json!({
            "reloaded": true,
            "changed": changes.changed,
            "needs_restart": changes.needs_restart,
            "problems": findings.problems,
            "warnings": findings.warnings,
        }))),
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
