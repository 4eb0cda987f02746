//! The API for people and programs: deliveries, handlers, health.

mod endpoints;
mod events;
mod health;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Router as Endpoints};

use crate::http::access::{Access, Cookies};
use crate::http::answers::Answers;

/// Returns the routes of the API, and those for probes and for Prometheus.
pub(super) fn endpoints(answers: Arc<Answers>, access: &Arc<Access>) -> Endpoints {
    let events = get(events::follow).layer(Extension(Arc::clone(access)));
    let guarded = Endpoints::new()
        .route("/api/v1/deliveries", get(endpoints::deliveries))
        .route("/api/v1/deliveries/retry", post(endpoints::retry_all))
        .route("/api/v1/deliveries/{id}", get(endpoints::story))
        .route("/api/v1/deliveries/{id}/related", get(endpoints::related))
        .route("/api/v1/deliveries/{id}/retry", post(endpoints::retry))
        .route("/api/v1/deliveries/{id}/cancel", post(endpoints::cancel))
        .route("/api/v1/handlers", get(endpoints::handlers))
        .route("/api/v1/handlers/{name}", get(endpoints::handler))
        .route("/api/v1/now", get(endpoints::now))
        .route("/api/v1/activity", get(endpoints::activity))
        .route("/api/v1/events", events)
        .route("/api/v1/routes", get(endpoints::routes))
        .route("/api/v1/timeline", get(endpoints::timeline))
        .route("/api/v1/channels", get(endpoints::channels))
        .route("/api/v1/replicas", get(endpoints::replicas))
        .route("/-/reload", post(endpoints::reload).put(endpoints::reload))
        .route_layer(middleware::from_fn_with_state(Arc::clone(access), guard));
    let metrics = get(health::metrics);
    let open = middleware::from_fn_with_state(Arc::clone(access), guard_open);
    Endpoints::new()
        .route("/healthz", get(health::live))
        .route("/-/healthy", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/-/ready", get(health::ready))
        .route("/metrics", metrics.layer(open))
        .merge(guarded)
        .with_state(answers)
}

/// Checks the origin of a request and its credentials for `api.authorization`. A cookie of the page may read.
async fn guard(State(access): State<Arc<Access>>, mut request: Request, next: Next) -> Response {
    match access.admit(Cookies::Read, &request) {
        Ok(admitted) => {
            request.extensions_mut().insert(admitted.person);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

/// Refuses web pages access to endpoints that need no credentials and return names.
async fn guard_open(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    match access.admit_reader(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}
