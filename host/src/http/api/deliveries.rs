//! `/api/v1/deliveries`: what became of each alert, and sending dead ones again.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, RawQuery, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::alert::{DeliveryId, HandlerName, StepKind, Timestamp};
use crate::app::Shared;
use crate::config::Config;
use crate::http::error::ApiError;
use crate::queue::{
    CancelError, Filter, Force, LabelTest, Progress, ReadError, Reason, RetryError, Selected,
    Selection, State as DeliveryState, Step, StepStatus,
};
use crate::router::Matcher;

/// The most deliveries in one answer.
const LIMIT_MAX: u32 = 1_000;
const LIMIT_DEFAULT: u32 = 100;

/// A longer matcher is none that somebody wrote.
const MATCHER_BYTES_MAX: usize = 4 << 10;

/// Reads the question of a list. All values are texts here: what is wrong with one is better said here than by a
/// decoder. One that is given and empty (`state=&limit=5`) is one that is not given.
fn parse_list_query(query: &str) -> Result<Filter, ApiError> {
    let mut filter = Filter {
        limit: LIMIT_DEFAULT,
        ..Filter::default()
    };
    let mut matchers = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if value.is_empty() {
            continue;
        }
        match &*name {
            "state" => filter.state = Some(parse_state(&value)?),
            "reason" => filter.reason = Some(parse_reason(&value)?),
            "alertname" => filter.alertname = Some(value.into_owned()),
            "handler" => filter.handler = Some(value.into_owned()),
            "fingerprint" => {
                let parsed = value
                    .parse()
                    .map_err(|e| bad(format!("fingerprint: {e}")))?;
                filter.fingerprint = Some(parsed);
            }
            "match" => matchers.extend(parse_matchers(&value)?),
            "from" => filter.from = Some(parse_moment("from", &value)?),
            "to" => filter.to = Some(parse_moment("to", &value)?),
            "before" => filter.before = Some(parse_id(&value)?),
            "limit" => filter.limit = parse_limit(&value)?,
            other => {
                return Err(bad(format!(
                    "unknown parameter {:?}: state, reason, alertname, handler, fingerprint, match, from, to, before and limit are known",
                    shown(other)
                )));
            }
        }
    }
    if !matchers.is_empty() {
        filter.labels = Some(label_test(matchers));
    }
    Ok(filter)
}

/// As much of what somebody typed as an error repeats.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

fn parse_matchers(text: &str) -> Result<Vec<Matcher>, ApiError> {
    if text.len() > MATCHER_BYTES_MAX {
        return Err(bad(format!(
            "match: {} bytes, at most {MATCHER_BYTES_MAX}",
            text.len()
        )));
    }
    Matcher::parse(text).map_err(|error| bad(format!("match {:?}: {error}", shown(text))))
}

fn parse_moment(name: &str, text: &str) -> Result<Timestamp, ApiError> {
    text.parse().map_err(|_| {
        bad(format!(
            "{name} is a moment such as 2026-01-02T03:04:05Z, not {:?}",
            shown(text)
        ))
    })
}

fn parse_state(text: &str) -> Result<DeliveryState, ApiError> {
    serde_json::from_value(text.into()).map_err(|_| {
        let shown = shown(text);
        bad(format!(
            "state is queued, running, retrying, done or dead, not {shown:?}"
        ))
    })
}

fn parse_reason(text: &str) -> Result<Reason, ApiError> {
    text.parse()
        .map_err(|error| bad(format!("reason: {:?} is {error}", shown(text))))
}

fn parse_limit(text: &str) -> Result<u32, ApiError> {
    match text.parse() {
        Ok(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
        _ => {
            let shown = shown(text);
            Err(bad(format!("limit is 1 to {LIMIT_MAX}, not {shown:?}")))
        }
    }
}

/// Lists deliveries, newest first.
pub(super) async fn list(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<axum::Json<Value>, ApiError> {
    let filter = parse_list_query(query.as_deref().unwrap_or_default())?;
    let page = shared.queue.list(filter).await.map_err(|e| store(&e))?;
    Ok(axum::Json(
        json!({ "deliveries": page.deliveries, "next": page.next }),
    ))
}

/// Tells the whole story of one delivery.
pub(super) async fn story(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<axum::Json<Value>, ApiError> {
    let id = parse_id(&id)?;
    let story = shared
        .queue
        .story(id)
        .await
        .map_err(|e| store(&e))?
        .ok_or_else(|| unknown(id))?;
    let mut body = serde_json::to_value(&story.delivery)
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let effects: Vec<_> = story
        .journal
        .iter()
        .map(|(step, entry)| {
            json!({
                "step": step,
                "kind": entry.kind,
                "effect": entry.effect,
                "ambiguous": entry.in_doubt,
                "request": entry.request,
                "result": entry.result,
                "at": entry.at,
            })
        })
        .collect();
    if let Some(fields) = body.as_object_mut() {
        fields.insert("alert".into(), story.alert);
        fields.insert(
            "steps".into(),
            steps(&shared.config.load(), &story.progress),
        );
        fields.insert("not_before".into(), json!(story.not_before));
        fields.insert("story".into(), json!(story.attempts));
        fields.insert("attempts_omitted".into(), json!(story.attempts_omitted));
        fields.insert("journal".into(), json!(effects));
        fields.insert("duplicates".into(), json!(story.duplicates));
    }
    Ok(axum::Json(body))
}

/// Returns the steps with what the retry policy counts. That is another number than the delivery's `attempts`: a dependency
/// that does not answer uses up no try.
fn steps(config: &Config, progress: &Progress) -> Value {
    let step = |step: &Step| {
        let mut json = json!(step);
        let policy = config.handler(&step.handler);
        let max = match step.kind {
            StepKind::Enrich => policy.enrich.attempts_max,
            StepKind::Act => policy.retry.attempts_max,
        };
        let left = match step.status {
            StepStatus::Pending => max.saturating_sub(step.attempts),
            StepStatus::Done | StepStatus::Failed => 0,
        };
        json["attempts_used"] = json!(step.attempts);
        json["attempts_max"] = json!(max);
        json["tries_left"] = json!(left);
        json
    };
    progress.steps.iter().map(step).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryQuery {
    force: Option<bool>,
}

/// Sends a dead delivery again, or lets one run now that waits for another try: `was` says which.
pub(super) async fn retry(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    query: Result<Query<RetryQuery>, QueryRejection>,
) -> Result<axum::Json<Value>, ApiError> {
    let force = query.map_err(|error| bad(error.body_text()))?.force;
    let id = parse_id(&id)?;
    shared.runtime.holds().try_now();
    let was = shared
        .queue
        .retry(
            id,
            if force.unwrap_or(false) {
                Force::Yes
            } else {
                Force::No
            },
        )
        .await
        .map_err(|error| retry_error(id, &error))?;
    Ok(axum::Json(
        json!({ "id": id, "was": was.state(), "state": DeliveryState::Queued }),
    ))
}

/// Reads which deliveries are to be sent again, and after which one. A value that is given and empty matches nothing that
/// anybody means, but must not match everything: a variable that is not set must not send all of them.
fn parse_retry_query(query: &str) -> Result<(Selection, Option<DeliveryId>), ApiError> {
    let (mut selection, mut after) = (Selection::default(), None);
    let mut matchers = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "after" if value.is_empty() => {}
            "after" => after = Some(parse_id(&value)?),
            // No handler has an empty name.
            "handler" => selection.handler = Some(HandlerName::new(&value)),
            "reason" | "match" | "state" if value.is_empty() => {
                return Err(bad(format!("{name} is empty: leave it out to send all")));
            }
            "reason" => selection.reason = Some(value.into_owned()),
            "match" => matchers.extend(parse_matchers(&value)?),
            "state" => {
                selection.state = match parse_state(&value)? {
                    DeliveryState::Dead => Selected::Dead,
                    DeliveryState::Retrying => Selected::Retrying,
                    _ => return Err(bad("state is dead or retrying".to_owned())),
                }
            }
            other => {
                return Err(bad(format!(
                    "unknown parameter {:?}: handler, reason, match, state and after are known",
                    shown(other)
                )));
            }
        }
    }
    if !matchers.is_empty() {
        selection.labels = Some(label_test(matchers));
    }
    Ok((selection, after))
}

fn label_test(matchers: Vec<Matcher>) -> LabelTest {
    LabelTest::new(move |labels| matchers.iter().all(|matcher| matcher.matches(labels)))
}

/// Sends every dead delivery again that the question selects, or lets what waits for another try run now: as many as the queue has room for and as a request has time for.
/// `rest` says what was not looked at, and where the next request goes on.
pub(super) async fn retry_all(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<axum::Json<Value>, ApiError> {
    let (selection, after) = parse_retry_query(query.as_deref().unwrap_or_default())?;
    shared.runtime.holds().try_now();
    let outcome = shared
        .queue
        .retry_all(selection, after)
        .await
        .map_err(|e| store(&e))?;
    let left: Vec<_> = outcome
        .left
        .iter()
        .map(|(id, why)| json!({ "id": id, "error": why.to_string() }))
        .collect();
    let left_counts: Vec<_> = outcome
        .left_counts
        .iter()
        .map(|(why, count)| json!({ "error": why.to_string(), "count": count }))
        .collect();
    let rest = outcome.rest.map(|rest| {
        json!({
            "after": rest.after,
            "count": rest.count,
            "reason": rest.why.as_str(),
            "error": rest.why.to_string(),
        })
    });
    Ok(axum::Json(json!({
        "retried": outcome.retried,
        "left": left,
        "left_counts": left_counts,
        "rest": rest,
    })))
}

/// Gives up a delivery that is not settled.
pub(super) async fn cancel(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<axum::Json<Value>, ApiError> {
    let id = parse_id(&id)?;
    shared.queue.cancel(id).await.map_err(|error| match error {
        CancelError::NotFound => unknown(id),
        CancelError::Settled => ApiError::new(StatusCode::CONFLICT, error.to_string()),
        CancelError::Unavailable(_) => unavailable(error.to_string()),
    })?;
    Ok(axum::Json(
        json!({ "id": id, "state": DeliveryState::Dead }),
    ))
}

fn retry_error(id: DeliveryId, error: &RetryError) -> ApiError {
    match error {
        RetryError::NotFound => unknown(id),
        RetryError::Unavailable(_) => unavailable(error.to_string()),
        _ => ApiError::new(StatusCode::CONFLICT, error.to_string()),
    }
}

fn parse_id(text: &str) -> Result<DeliveryId, ApiError> {
    text.parse().map_err(|error| {
        bad(format!(
            "{:?}: {error}",
            text.chars().take(40).collect::<String>()
        ))
    })
}

fn unknown(id: DeliveryId) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        format!("there is no delivery {id}: the ID is wrong, or retention has removed it"),
    )
}

fn bad(message: String) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, message)
}

fn store(error: &ReadError) -> ApiError {
    unavailable(error.to_string())
}

fn unavailable(message: String) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message)
}
