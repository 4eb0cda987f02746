//! Liveness, readiness and metrics.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::findings::Findings;
use crate::http::STILL_LOADING;
use crate::http::answers::Answers;
use crate::http::error::ApiError;
use crate::queue::Filter;
use crate::runtime::ModuleState;
use crate::telemetry::log;

/// How long the store may take for one row until the server counts as not ready.
const STORE_ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Liveness: answers without touching the store.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// Readiness: the store answers and the first scan of the folder has ended.
///
/// Problems of the configuration and of modules do not make the server unready, since they affect only some alerts; they are
/// counted. The response is readable by anybody, so it has no names: these are in the log, and behind `answers.authorization`.
pub(super) async fn ready(State(answers): State<Arc<Answers>>) -> Result<String, ApiError> {
    let not_yet = |why: &str| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, why);
    if !answers.is_ready() {
        return Err(not_yet(STILL_LOADING));
    }
    if answers.queue.unwritable().is_some() {
        return Err(not_yet(
            "the store cannot be written: the log has the reason",
        ));
    }
    let newest = answers.queue.list(Filter {
        limit: 1,
        ..Filter::default()
    });
    match tokio::time::timeout(STORE_ANSWERS_WITHIN, newest).await {
        Ok(Ok(_)) => Ok(format!("ready\n{}", counted(&answers.server.findings()))),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the store cannot be read");
            Err(not_yet("the store cannot be read: the log has the reason"))
        }
        Err(_) => Err(not_yet(&format!(
            "the store has not answered for {} s: check its disk",
            STORE_ANSWERS_WITHIN.as_secs()
        ))),
    }
}

/// Returns the numbers of problems and warnings on one line; empty if there are none.
fn counted(findings: &Findings) -> String {
    let count = |count: usize, what: &str| match count {
        0 => None,
        1 => Some(format!("1 {what}")),
        count => Some(format!("{count} {what}s")),
    };
    let counts = [
        count(findings.problems.len(), "problem"),
        count(findings.warnings.len(), "warning"),
    ];
    let counts: Vec<_> = counts.into_iter().flatten().collect();
    if counts.is_empty() {
        return String::new();
    }
    format!(
        "{}: see the log or `alert-manager check`\n",
        counts.join(", ")
    )
}

/// Returns the metrics in Prometheus' text format.
pub(super) async fn metrics(State(answers): State<Arc<Answers>>) -> Result<Response, ApiError> {
    let overview = answers.overview().await;
    let counts = &overview.counts;
    let oldest = counts
        .oldest
        .map_or(0.0, |at| at.as_duration().as_secs_f64());
    let heartbeats = answers.heartbeats.missing();
    let serving = answers.registry.serving();
    let scrape = answers.metrics.scrape();
    answers.metrics.queue(counts.depth, counts.dead, oldest);
    answers.metrics.losses(&counts.losses);
    let timers = counts.timers.iter().map(|(handler, open)| {
        let open = i64::try_from(*open).unwrap_or(i64::MAX);
        (handler.as_str(), open)
    });
    answers.metrics.timers(timers);
    answers.metrics.log_lines_dropped(log::dropped());
    answers.metrics.store(answers.queue.unwritable().as_deref());
    let named = serving
        .listed()
        .iter()
        .filter_map(|file| Some((file.name.as_ref()?, file)));
    let breakers = named.clone().map(|(name, _)| {
        let paused = answers.breakers.paused(name);
        (name.as_str(), i64::from(paused.is_some()))
    });
    answers.metrics.breakers(breakers);
    let (slack, holds) = (answers.slack.load(), answers.slack_breaker.holds());
    let is_held = |name: &String| {
        let mut holds = holds.iter();
        holds.any(|hold| hold.channel.as_ref().is_none_or(|held| held == name))
    };
    let channels = slack.channels.keys();
    let channels = channels.map(|name| (name.as_str(), i64::from(is_held(name))));
    answers.metrics.slack_channels(channels);
    let gates = answers.channels_of(&overview.gates);
    answers.metrics.channels_waiting(gates.channels.iter());
    answers.metrics.gates_waiting(gates.gates.iter());
    let serving_old =
        named.map(|(name, file)| (name.as_str(), i64::from(file.state == ModuleState::Refused)));
    answers.metrics.serving_old(serving_old);
    let heartbeats = heartbeats
        .iter()
        .map(|(name, missing)| (name.as_str(), i64::from(*missing)));
    answers.metrics.heartbeats(heartbeats);
    let text = answers
        .metrics
        .encode()
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    drop(scrape);
    Ok((
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response())
}
