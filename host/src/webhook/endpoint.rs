//! `POST /webhook`: takes what senders post, and answers once it is durable.

use std::net::SocketAddr;
use std::time::Instant;

use axum::Router as Endpoints;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Collected, LengthLimitError, Limited};
use serde::Serialize;

use super::outliving::Outliving;
use super::payload::{self, BadAlert, Parsed, ParsedAlert};
use super::room::{Full, Share, Sharing};
use super::signature::Claim;
use crate::alert::{
    Alert, DeliveryId, Fingerprint, HandlerName, Labels, Priority, Status, Timestamp,
};
use crate::api::{ApiError, authorize, guard_webhook};
use crate::app::Shared;
use crate::config::Webhook;
use crate::queue::{AcceptError, Accepted, Parcel, Plan, Receipt, Refused, Submission, Verdict};
use crate::router::Router;
use crate::server;
use crate::telemetry::{Refusal, WebhookResult};

/// A body above this takes milliseconds to check and parse, and so does the answer to it: that is done on a thread of its
/// own, so that those who send little do not wait for it.
const LARGE_BYTES: u64 = 128 << 10;

/// The webhook's routes. Each handler calls [`guard_webhook`] first: nothing around them does.
pub(crate) fn endpoints() -> Endpoints<Shared> {
    Endpoints::new().route("/webhook", post(take).put(take))
}

async fn take(State(shared): State<Shared>, request: Request) -> Response {
    match take_body(&shared, request).await {
        Ok(answer) => answer,
        Err(error) => error.into_response(),
    }
}

async fn take_body(shared: &Shared, request: Request) -> Result<Response, ApiError> {
    let config = shared.config.load();
    guard_webhook(shared, &config, &request)?;
    let (head, body) = request.into_parts();
    check_rate(shared, &config.webhook, &head)?;
    let now = Timestamp::now();
    let claim = prove(&config.webhook, &head.headers, now)
        .inspect_err(|_| shared.metrics.request_refused(Refusal::Unauthorized))?;
    check_content_type(&head.headers)?;
    check_content_encoding(&head.headers)?;
    if !shared.is_ready() {
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the handlers are still being loaded; try again",
        ));
    }
    // Held until it is stored: what was parsed of the body takes as much again.
    let mut share = shared.bodies.share(&config.web);
    let body = read(body, config.webhook.body_bytes_max, &mut share).await?;
    drop(config);
    // What is stored is counted, even where the sender hangs up meanwhile.
    let stored = Outliving::new(store(shared.clone(), body, claim, now, share));
    stored.await.unwrap_or_else(|| Err(failed()))
}

async fn store(
    shared: Shared,
    body: Collected<Bytes>,
    claim: Option<Claim>,
    now: Timestamp,
    share: Share,
) -> Result<Response, ApiError> {
    let is_large = share.bytes() > LARGE_BYTES;
    let own = shared.clone();
    let sent = move || Sent::read(&own, body, claim, now);
    let Sent {
        parcel,
        described,
        bad,
    } = beside(&shared, is_large, sent).await??;
    let accepted = shared.queue.accept(parcel).await;
    let receipt = accepted.map_err(|error| refuse(&error))?;
    let own = shared.clone();
    let answer = move || axum::Json(answer(&own, described, bad, receipt)).into_response();
    let mut answer = beside(&shared, is_large, answer).await?;
    *answer.status_mut() = StatusCode::ACCEPTED;
    Ok(answer)
}

/// Does what takes long on a thread of its own, in its turn, and the rest here.
async fn beside<T: Send + 'static>(
    shared: &Shared,
    is_long: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    if !is_long {
        return Ok(work());
    }
    let _turn = shared.large_bodies.acquire().await;
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| failed())
}

/// The work on a body has panicked, which is a mistake of ours.
fn failed() -> ApiError {
    tracing::error!("the work on a body ended unexpectedly; its sender is told to try again");
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "storing the alerts failed; try again",
    )
}

fn check_rate(shared: &Shared, webhook: &Webhook, head: &Parts) -> Result<(), ApiError> {
    let Some(ConnectInfo(peer)) = head.extensions.get::<ConnectInfo<SocketAddr>>() else {
        return Ok(());
    };
    if shared.senders.take(peer.ip(), webhook.rate, Instant::now()) {
        return Ok(());
    }
    shared.metrics.request_refused(Refusal::Rate);
    // Alertmanager drops what it gets a 429 for.
    Err(ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "this sender posts too often (webhook.rate); try again",
    ))
}

/// Judges who a request is from, as far as its headers tell. A signature is left to be checked against the
/// body. Where both are configured either will do: Alertmanager cannot sign.
fn prove(
    webhook: &Webhook,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Option<Claim>, ApiError> {
    let Some(hmac) = &webhook.hmac else {
        authorize(webhook.authorization.as_ref(), headers)?;
        return Ok(None);
    };
    let claim = Claim::read(hmac, headers, now)?;
    if claim.is_none() {
        if webhook.authorization.is_none() {
            let message = format!("this needs a signature in the header {}", hmac.header);
            return Err(ApiError::new(StatusCode::UNAUTHORIZED, message));
        }
        authorize(webhook.authorization.as_ref(), headers)?;
    }
    Ok(claim)
}

/// A body, split into what is stored and what the answer tells of it.
struct Sent {
    parcel: Parcel,
    described: Vec<Described>,
    bad: Vec<BadAlert>,
}

/// What the answer needs of an alert that the queue has taken over.
struct Described {
    fingerprint: Fingerprint,
    alertname: String,
    status: Status,
    routed: bool,
}

impl Sent {
    /// Checks whose the body is, where that is left to be done, and reads it.
    fn read(
        shared: &Shared,
        body: Collected<Bytes>,
        claim: Option<Claim>,
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        let body = body.to_bytes();
        if let Some(claim) = claim {
            claim
                .check(&body)
                .inspect_err(|_| shared.metrics.request_refused(Refusal::Unauthorized))?;
        }
        let parsed = payload::parse(&body, now).map_err(|error| {
            let status = StatusCode::BAD_REQUEST;
            shared
                .metrics
                .webhook_alerts(None, WebhookResult::Rejected, error.alerts());
            ApiError::new(status, error.to_string())
        })?;
        drop(body);
        Ok(Self::new(shared, parsed))
    }

    fn new(shared: &Shared, parsed: Parsed) -> Self {
        if parsed.truncated_alerts > 0 {
            shared.metrics.webhook_truncated(parsed.truncated_alerts);
            tracing::warn!(
                alerts = parsed.truncated_alerts,
                "the sender cut its list: these alerts, and their resolves, never arrive. Raise or remove `max_alerts` in its webhook_configs"
            );
        }
        let router = shared.router.load();
        let mut submissions = Vec::with_capacity(parsed.alerts.len());
        let mut described = Vec::with_capacity(parsed.alerts.len());
        let (mut refused, mut all_bad) = (Vec::new(), Vec::new());
        for alert in parsed.alerts {
            match alert {
                Ok(ParsedAlert {
                    alert,
                    starts_at_missing,
                }) => {
                    shared.note_heartbeat(&alert);
                    let submission = submission(&router, alert, starts_at_missing);
                    let alert = &submission.alert;
                    described.push(Described {
                        fingerprint: alert.fingerprint,
                        alertname: alert.name().to_owned(),
                        status: alert.status,
                        routed: !submission.plans.is_empty(),
                    });
                    submissions.push(submission);
                }
                Err(bad) => {
                    refused.push(Refused {
                        error: bad.error.clone(),
                        json: bad.json.clone(),
                        alertname: bad.alertname.clone(),
                    });
                    all_bad.push(bad);
                }
            }
        }
        Self {
            parcel: Parcel::new(submissions, refused),
            described,
            bad: all_bad,
        }
    }
}

/// Routes an alert.
pub(crate) fn submission(router: &Router, alert: Alert, starts_at_missing: bool) -> Submission {
    Submission {
        plans: plans(router, &alert.labels),
        alert,
        starts_at_missing,
    }
}

fn plans(router: &Router, labels: &Labels) -> Vec<Plan> {
    router
        .matching(labels)
        .into_iter()
        .map(|place| {
            let route = &router.routes()[place];
            Plan {
                route: route.name.clone(),
                handlers: route.handlers.clone(),
                priority: route.priority.unwrap_or_else(|| Priority::of(labels)),
                repeat_after: route.repeat_after,
            }
        })
        .collect()
}

/// What became of a body.
#[derive(Default, Serialize)]
struct Answer {
    accepted: u64,
    duplicates: u64,
    stale: u64,
    rejected: Vec<Rejected>,
    deliveries: Vec<Taken>,
}

#[derive(Serialize)]
struct Rejected {
    index: usize,
    error: String,
}

#[derive(Serialize)]
struct Taken {
    id: DeliveryId,
    fingerprint: Fingerprint,
    alertname: String,
    handlers: Vec<HandlerName>,
}

fn answer(
    shared: &Shared,
    described: Vec<Described>,
    bad: Vec<BadAlert>,
    receipt: Receipt,
) -> Answer {
    let mut answer = Answer::default();
    for (alert, verdict) in described.into_iter().zip(receipt.verdicts) {
        let result = match verdict {
            Verdict::Accepted(taken) => {
                answer.accepted += 1;
                if !alert.routed {
                    shared.metrics.unrouted();
                    tracing::warn!(
                        alertname = alert.alertname,
                        "no route matches {:?}: stored as done, handled by nobody. A route without matchers would catch it",
                        alert.alertname
                    );
                }
                answer
                    .deliveries
                    .extend(taken.into_iter().map(|Accepted { id, handlers }| Taken {
                        id,
                        fingerprint: alert.fingerprint,
                        alertname: alert.alertname.clone(),
                        handlers,
                    }));
                WebhookResult::Accepted
            }
            Verdict::Duplicate => {
                answer.duplicates += 1;
                WebhookResult::Duplicate
            }
            Verdict::Stale => {
                answer.stale += 1;
                WebhookResult::Stale
            }
        };
        shared.metrics.webhook_alerts(Some(alert.status), result, 1);
    }
    let rejected = bad.into_iter().map(|bad| Rejected {
        index: bad.index,
        error: bad.error,
    });
    answer.rejected = rejected.collect();
    if !answer.rejected.is_empty() {
        let count = u64::try_from(answer.rejected.len()).unwrap_or(u64::MAX);
        shared
            .metrics
            .webhook_alerts(None, WebhookResult::Rejected, count);
    }
    answer
}

// Alertmanager retries 5xx but not 429, so what may pass answers 503.
fn refuse(error: &AcceptError) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

/// JSON, or nothing said: a form or a text is a mistake that is better told than guessed at.
fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let essence = value
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
    {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("content-type is {essence:?}: send application/json"),
    ))
}

/// No sender of alerts compresses, and what is not unpacked here cannot be larger than it came.
fn check_content_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    let is_plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    match headers.get(header::CONTENT_ENCODING) {
        Some(value) if !is_plain(value) => {
            let coding: String = String::from_utf8_lossy(value.as_bytes())
                .chars()
                .take(40)
                .collect();
            Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("content-encoding is {coding:?}: send the JSON as it is"),
            ))
        }
        _ => Ok(()),
    }
}

async fn read(
    body: Body,
    body_bytes_max: u64,
    share: &mut Share,
) -> Result<Collected<Bytes>, ApiError> {
    let limit = usize::try_from(body_bytes_max).unwrap_or(usize::MAX);
    let body = Sharing { inner: body, share };
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is over {body_bytes_max} bytes (webhook.body_bytes_max)"),
        )),
        Err(error) if error.is::<Full>() => Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many large bodies at one time (web.bodies_bytes_max); try again",
        )),
        // A congested way is no fault of the alerts: 5xx is tried again.
        Err(error) if server::is_too_slow(&*error) => Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the body came too slowly (web.body_timeout, web.body_rate_min, five minutes in all); try again",
        )),
        Err(_) => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "the body ended before its end",
        )),
    }
}
