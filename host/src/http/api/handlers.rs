//! `GET /api/v1/handlers`: what serves, what was refused, and why.

use std::time::{Duration, Instant};

use axum::extract::State;
use serde_json::{Value, json};

use crate::alert::Timestamp;
use crate::app::{Shared, module_state};
use crate::config::{Config, HandlerSettings};
use crate::queue::HandlerCounts;
use crate::review::missing_grants;
use crate::runtime::{Hold, Limits, ModuleInfo, Unit};
use crate::units::format_duration;
use crate::worker::Pause;

/// Lists every module of the folder, refused ones too.
pub(super) async fn list(State(shared): State<Shared>) -> axum::Json<Value> {
    let config = shared.config.load();
    let counts = shared.queue.counts().handlers;
    let handlers: Vec<_> = shared
        .handlers()
        .iter()
        .map(|module| describe(&shared, &config, &counts, module))
        .collect();
    axum::Json(json!({ "handlers": handlers }))
}

fn describe(
    shared: &Shared,
    config: &Config,
    counts: &[HandlerCounts],
    module: &ModuleInfo,
) -> Value {
    let name = module.name.as_ref();
    let settings = name.map(|name| config.handler(name));
    let served = name.and_then(|name| shared.registry.get(name));
    let description = served.as_ref().map(|served| served.module.description());
    let findings = name.map(|name| shared.reviewed.findings().about(name));
    let findings = findings.unwrap_or_default();
    let paused = name.and_then(|name| shared.breakers.paused(name));
    let held = held(shared, module, settings.as_deref());
    let reason = paused
        .as_ref()
        .map(|Pause { step, reason, .. }| format!("{} is paused: {reason}", step.as_str()))
        .or_else(|| {
            let held: Vec<_> = held.iter().map(ToString::to_string).collect();
            (!held.is_empty()).then(|| held.join("\n"))
        });
    json!({
        "name": name,
        "version": module.version,
        "summary": module.summary,
        "sha256": module.sha256,
        "file": module.origin,
        "state": module_state(config, module),
        // With a state `refused`: the module that was served before still is.
        "serving": module.name.is_some(),
        "paused": paused.as_ref().map(pause),
        "alerts": module.alerts,
        "imports": module.imports,
        "missing_grants": missing_grants(config, module, description),
        "settings": description.and_then(|d| d.settings.as_deref()),
        "problems": findings.problems,
        "warnings": findings.warnings,
        "grants": settings.as_ref().map(|s| grants(s)),
        "limits": settings.as_ref().map(|s| limits(s)),
        "counts": name.map(|name| {
            let now = counts.iter().find(|counts| counts.handler == *name);
            let (done, dead) = shared.metrics.ended(name);
            json!({
                "queued": now.map_or(0, |counts| counts.waiting),
                "running": now.map_or(0, |counts| counts.running),
                "done": done,
                "dead": dead,
            })
        }),
        "held": held.iter().map(|hold| json!({
            "channel": hold.channel,
            "code": hold.code,
            "advice": hold.advice,
            "since": hold.since,
        })).collect::<Vec<_>>(),
        "last_error": module.error.clone().or(reason),
    })
}

fn pause(pause: &Pause) -> Value {
    let left = pause.until.saturating_duration_since(Instant::now());
    let until = Timestamp::now().checked_add(left).unwrap_or(Timestamp::MAX);
    json!({ "step": pause.step.as_str(), "until": until, "reason": pause.reason })
}

/// Returns what Slack refuses this handler until the operator mends it.
fn held(shared: &Shared, module: &ModuleInfo, settings: Option<&HandlerSettings>) -> Vec<Hold> {
    let Some(settings) = settings.filter(|_| module.imports.iter().any(|import| import == "slack"))
    else {
        return Vec::new();
    };
    let granted = |hold: &Hold| match &hold.channel {
        Some(channel) => settings.grants.slack(channel).is_ok(),
        None => true,
    };
    let holds = shared.runtime.holds().current().into_iter();
    holds.filter(granted).collect()
}

fn grants(settings: &HandlerSettings) -> Value {
    let grants = &settings.grants;
    json!({
        "http": grants.http.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "slack": grants.slack,
        "credentials": grants.credentials,
    })
}

/// By the names of the configuration, the unit added where the name does not say it.
fn limits(settings: &HandlerSettings) -> Value {
    Limits::KEYS
        .iter()
        .map(|key| {
            let amount = (key.get)(&settings.limits);
            match key.unit {
                Unit::Size if !key.name.contains("bytes") => {
                    (format!("{}_bytes", key.name), json!(amount))
                }
                Unit::Time => {
                    let time = format_duration(Duration::from_millis(amount));
                    (key.name.to_owned(), json!(time))
                }
                Unit::Size | Unit::Count | Unit::Rate => (key.name.to_owned(), json!(amount)),
            }
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}
