//! The API for people and programs: deliveries, handlers, health.

mod deliveries;
mod handlers;
mod health;
mod settings;

use axum::Router as Endpoints;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::app::Shared;
use crate::http::auth::authorize;
use crate::http::origin::{self, Proof};
use crate::http::server::Standing;

pub(crate) use settings::Settings;

/// Returns the routes of the API, and those for probes and Prometheus.
pub(super) fn endpoints(shared: &Shared) -> Endpoints<Shared> {
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
}

async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let (settings, own) = (shared.config.api.load(), shared.config.origin.load());
    let wanted = settings.authorization.as_ref();
    let (method, uri) = (request.method(), request.uri());
    let proof = Proof::asked_by(&own, &shared.bound, wanted.is_some());
    let judged = origin::judge(
        proof,
        method,
        uri,
        request.headers(),
        own.external_url.as_ref(),
    )
    .and_then(|()| authorize(wanted, request.headers()));
    if wanted.is_some()
        && judged.is_ok()
        && let Some(standing) = request.extensions().get::<Standing>()
    {
        standing.prove();
    }
    drop((settings, own));
    match judged {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Refuses web pages access to endpoints that need no authentication and return names.
async fn guard_open(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let (settings, own) = (shared.config.api.load(), shared.config.origin.load());
    let is_closed = settings.authorization.is_some();
    let judged = match Proof::asked_by(&own, &shared.bound, is_closed) {
        Proof::Asked => Ok(()),
        Proof::None => {
            origin::judge_reader(request.uri(), request.headers(), own.external_url.as_ref())
        }
    };
    drop((settings, own));
    match judged {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}
