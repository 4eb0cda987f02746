//! `POST /webhook`, and the paths that Prometheus and vmalert append to theirs: accepts alerts, and responds once they are stored
//! durably.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router as Endpoints;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};

use super::Webhook;
use super::body_budget::{Bounds, Full, Share};
use super::body_reader::{BodyReader, ReadError, refuse_body, refuse_full};
use super::intake::Intake;
use super::payload::PayloadError;
use super::settings::Settings;
use super::signature::Claim;
use crate::alert::Timestamp;
use crate::http::STILL_LOADING;
use crate::http::auth::authorize;
use crate::http::error::ApiError;
use crate::http::server::{self, Standing};
use crate::queue::AcceptError;
use crate::telemetry::{Refusal, WebhookResult};

/// A body larger than this takes milliseconds to check and parse, and so does its response: that is done on another thread, so
/// that small requests do not wait for it.
const LARGE_BYTES: u64 = 128 << 10;

/// Every path that accepts alerts.
pub(crate) const PATHS: [&str; 5] = [
    "/webhook",
    // Prometheus and vmalert append these to their path_prefix, which is `/webhook` or empty.
    "/webhook/api/v2/alerts",
    "/api/v2/alerts",
    // The paths of Prometheus before version 0.27.
    "/webhook/api/v1/alerts",
    "/api/v1/alerts",
];

/// Returns the webhook's routes. Each endpoint judges the request's origin first: nothing around them does.
pub(crate) fn endpoints(webhook: Webhook) -> Endpoints {
    let [own, below, bare, old_below, old_bare] = PATHS;
    Endpoints::new()
        .route(own, post(take).put(take))
        .route(below, post(take).put(take))
        .route(bare, post(take).put(take))
        .route(old_below, any(gone))
        .route(old_bare, any(gone))
        .with_state(Arc::new(webhook))
}

async fn take(State(webhook): State<Arc<Webhook>>, request: Request) -> Response {
    match take_body(&webhook, request).await {
        Ok(answer) => answer,
        Err(error) => error.into_response(),
    }
}

async fn gone(State(webhook): State<Arc<Webhook>>, request: Request) -> ApiError {
    let (head, _) = request.into_parts();
    let settings = webhook.settings.load();
    let standing = standing(&head);
    let judged = admit(&webhook, &settings, &head, &standing, Timestamp::now());
    judged.err().unwrap_or_else(|| {
        ApiError::new(
            StatusCode::GONE,
            "this is Alertmanager's API of before version 0.27: post to /api/v2/alerts (Prometheus: alerting.alertmanagers[].api_version: v2)",
        )
    })
}

fn standing(head: &Parts) -> Standing {
    let standing = head.extensions.get::<Standing>();
    standing.cloned().unwrap_or_else(Standing::detached)
}

/// Checks the head of a request: its origin, its rate and its authentication. Returns the signature that is left to check.
fn admit(
    webhook: &Webhook,
    settings: &Settings,
    head: &Parts,
    standing: &Standing,
    now: Timestamp,
) -> Result<Option<Claim>, ApiError> {
    webhook
        .origin
        .judge(settings.is_closed(), &head.method, &head.uri, &head.headers)?;
    check_rate(webhook, settings, head)?;
    let claim = prove(settings, &head.headers, now)?;
    if settings.is_closed() && claim.is_none() {
        standing.authenticate();
    }
    Ok(claim)
}

async fn take_body(webhook: &Arc<Webhook>, request: Request) -> Result<Response, ApiError> {
    let settings = webhook.settings.load();
    let (head, body) = request.into_parts();
    let now = Timestamp::now();
    let standing = standing(&head);
    let claim = admit(webhook, &settings, &head, &standing, now)?;
    check_content_type(&head.headers)?;
    check_content_encoding(&head.headers)?;
    if !webhook.is_ready() {
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{STILL_LOADING}; try again"),
        ));
    }
    let web = webhook.server.load();
    let bounds = Bounds {
        unauthenticated_bytes_max: settings.unauthenticated_bodies_bytes_max(&web),
        web: server::Settings::clone(&web),
    };
    let is_known = webhook.origin.bound.requires_client_certificate()
        || (settings.is_closed() && claim.is_none());
    // Held until it is stored: what was parsed of the body takes as much again.
    let share = if is_known {
        webhook.load.bodies.authenticated(bounds)
    } else {
        standing.awaits_body();
        webhook
            .load
            .bodies
            .unauthenticated(bounds, standing.clone())
    };
    let mut reader = BodyReader {
        claim,
        share,
        bytes_max: settings.body_bytes_max,
        body: Vec::new(),
    };
    drop((settings, web));
    let read = tokio::select! {
        biased;
        // The body of an authenticated sender is not cut off.
        () = standing.must_end_body(), if !is_known => Err(ReadError::Full(Full::Evicted)),
        read = reader.read(body) => read,
    };
    standing.has_body();
    read.map_err(|error| refuse_body(webhook, &standing, &reader, &error))?;
    let BodyReader {
        claim,
        mut share,
        body,
        ..
    } = reader;
    let settled = match claim {
        Some(claim) => {
            claim.verify()?;
            standing.authenticate();
            share.authenticate()
        }
        None => share.complete(),
    };
    settled.map_err(|full| refuse_full(webhook, &standing, &full))?;
    // A task: what is stored is counted, even if the sender hangs up meanwhile.
    let stored = tokio::spawn(store(Arc::clone(webhook), body, now, share));
    stored.await.unwrap_or_else(|_| Err(failed()))
}

async fn store(
    webhook: Arc<Webhook>,
    body: Vec<u8>,
    now: Timestamp,
    share: Share,
) -> Result<Response, ApiError> {
    let is_large = share.bytes() > LARGE_BYTES;
    let own = Arc::clone(&webhook);
    let opened = beside(&webhook, is_large, move || Intake::open(&own, body, now));
    let mut intake = opened.await?.map_err(|error| unusable(&webhook, &error))?;
    let (mut receipt, mut is_first) = (None, true);
    loop {
        let own = Arc::clone(&webhook);
        let advance = move || {
            let parcel = intake.advance(&own, receipt);
            (intake, parcel)
        };
        let parcel;
        (intake, parcel) = beside(&webhook, is_large, advance).await?;
        let Some(parcel) = parcel.map_err(|error| unusable(&webhook, &error))? else {
            break;
        };
        let accepted = if is_first {
            webhook.queue.accept(parcel).await
        } else {
            webhook.queue.accept_rest(parcel).await
        };
        receipt = Some(accepted.map_err(|error| refuse(&error))?);
        is_first = false;
    }
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok((StatusCode::ACCEPTED, kind, intake.into_answer()).into_response())
}

/// Nothing of the body can be taken.
fn unusable(webhook: &Webhook, error: &PayloadError) -> ApiError {
    let rejected = WebhookResult::Rejected;
    webhook
        .metrics
        .webhook_alerts(None, rejected, error.alerts());
    ApiError::new(StatusCode::BAD_REQUEST, error.to_string())
}

/// Runs long work on another thread, limited in number, and short work here.
async fn beside<T: Send + 'static>(
    webhook: &Webhook,
    is_long: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    if !is_long {
        return Ok(work());
    }
    let _turn = webhook.load.large_bodies.acquire().await;
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| failed())
}

/// Responds after a panic while reading a body, which is a mistake in the server.
fn failed() -> ApiError {
    tracing::error!("reading a body ended unexpectedly; its sender is answered 503, to try again");
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "storing the alerts failed; try again",
    )
}

fn check_rate(webhook: &Webhook, settings: &Settings, head: &Parts) -> Result<(), ApiError> {
    let Some(ConnectInfo(peer)) = head.extensions.get::<ConnectInfo<SocketAddr>>() else {
        return Ok(());
    };
    if webhook
        .load
        .senders
        .take(peer.ip(), settings.rate, Instant::now())
    {
        return Ok(());
    }
    // Alertmanager does not retry 429, so it would drop the alerts.
    Err(ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "this sender posts too often (webhook.rate); try again",
    )
    .because(Refusal::Rate))
}

/// Authenticates a request by its headers. A signature is returned to be checked against the body. If both are configured,
/// either suffices, since Alertmanager cannot sign.
fn prove(
    settings: &Settings,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Option<Claim>, ApiError> {
    let Some(hmac) = &settings.hmac else {
        authorize(settings.authorization.as_ref(), headers)?;
        return Ok(None);
    };
    let claim = Claim::read(hmac, headers, now)?;
    if claim.is_none() {
        if settings.authorization.is_none() {
            let message = format!("this needs a signature in the header {}", hmac.header);
            return Err(ApiError::new(StatusCode::UNAUTHORIZED, message));
        }
        authorize(settings.authorization.as_ref(), headers)?;
    }
    Ok(claim)
}

// Alertmanager retries 5xx but not 429, so transient errors are answered 503.
fn refuse(error: &AcceptError) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

/// Accepts JSON or no content type; a form or a text is a mistake, which is reported.
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

/// Refuses compressed bodies: no sender of alerts compresses, and a body that is not unpacked cannot grow.
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
