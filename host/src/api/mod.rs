//! What people and programs ask a running server: its deliveries, its handlers, its health.

mod authorize;
mod deliveries;
mod error;
mod handlers;
mod health;
mod refused;
mod visitors;

use axum::Router as Endpoints;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::app::Shared;
use crate::config::Config;
use crate::server::Standing;
use crate::telemetry::{self, Refusal};

use visitors::Proof;

pub(crate) use authorize::authorize;
pub(crate) use error::ApiError;

/// Every route: the webhook's, and those of people and programs that ask.
pub(crate) fn endpoints(shared: &Shared, webhook: Endpoints<Shared>) -> Endpoints<Shared> {
    let guarded = Endpoints::new()
        .route("/", get(health::index))
        .route("/api/v1/deliveries", get(deliveries::list))
        .route("/api/v1/deliveries/retry", post(deliveries::retry_all))
        .route("/api/v1/deliveries/{id}", get(deliveries::story))
        .route("/api/v1/deliveries/{id}/retry", post(deliveries::retry))
        .route("/api/v1/deliveries/{id}/cancel", post(deliveries::cancel))
        .route("/api/v1/handlers", get(handlers::list))
        .route("/-/reload", post(health::reload).put(health::reload))
        .route_layer(middleware::from_fn_with_state(shared.clone(), guard));
    Endpoints::new()
        .route("/healthz", get(health::live))
        .route("/-/healthy", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/-/ready", get(health::ready))
        .route(
            "/metrics",
            get(health::metrics).layer(middleware::from_fn_with_state(shared.clone(), guard_open)),
        )
        .merge(guarded)
        .merge(webhook)
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(
            shared.clone(),
            refused::watch,
        ))
}

async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let config = shared.config.load();
    let wanted = config.api.authorization.as_ref();
    let (method, uri) = (request.method(), request.uri());
    let judged = judge(
        &shared,
        &config,
        wanted.is_some(),
        method,
        uri,
        request.headers(),
    )
    .and_then(|()| authorize(wanted, request.headers()));
    if wanted.is_some()
        && judged.is_ok()
        && let Some(standing) = request.extensions().get::<Standing>()
    {
        standing.prove();
    }
    drop(config);
    match judged {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Keeps web pages away from what asks for no proof and has names in it.
async fn guard_open(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let config = shared.config.load();
    let judged = match proof(&shared, &config, config.api.authorization.is_some()) {
        Proof::Asked => Ok(()),
        Proof::None => visitors::judge_reader(
            request.uri(),
            request.headers(),
            config.external_url.as_ref(),
        ),
    };
    drop(config);
    match judged {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Keeps web pages away from the webhook, which proves its senders itself.
pub(crate) fn guard_webhook(
    shared: &Shared,
    config: &Config,
    head: &Parts,
) -> Result<(), ApiError> {
    let is_closed = config.webhook.is_closed();
    judge(
        shared,
        config,
        is_closed,
        &head.method,
        &head.uri,
        &head.headers,
    )
}

fn judge(
    shared: &Shared,
    config: &Config,
    is_closed: bool,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), ApiError> {
    let proof = proof(shared, config, is_closed);
    visitors::judge(proof, method, uri, headers, config.external_url.as_ref())
}

fn proof(shared: &Shared, config: &Config, is_closed: bool) -> Proof {
    if is_closed || config.insecure || shared.bound.requires_client_certificate() {
        Proof::Asked
    } else {
        Proof::None
    }
}

async fn unknown_path(request: Request) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        format!(
            "no such path: {}. Alerts go to POST /webhook; the rest is below /api/v1, /metrics, /healthz, /readyz",
            telemetry::shown(request.uri().path())
        ),
    )
    .because(Refusal::Path)
}

async fn wrong_method(request: Request) -> ApiError {
    let (path, method) = (request.uri().path(), request.method());
    // A browser, mostly: somebody looks whether this is the right address.
    let advice = match path {
        "/webhook" | "/webhook/api/v2/alerts" | "/api/v2/alerts" => {
            ": POST alerts to it; what became of them is at /api/v1/deliveries"
        }
        _ => "",
    };
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{path} does not take {method}{advice}"),
    )
}
